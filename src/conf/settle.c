/* What one key says about another: known only when all of the file is read. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "conf-int.h"

_Static_assert(sizeof(((struct conf_claim *)0)->class) == sizeof(((struct conf_class *)0)->name),
               "a claim's class is the name of one");

struct settle {
    struct conf *conf;
    struct report *report;
    const struct yaml *root; /* borrowed */
};

/* Nothing, when the value is no text: then that is reported. */
static void refuse(struct settle *s, const struct yaml *map, const char *key, const char *why)
{
    const struct yaml *value = yaml_value(map, key);
    char shown[128];

    if (value != NULL && value->kind == YAML_TEXT)
        report_add(s->report, value->line, value->column, key, "\"%s\" %s",
                   str_show(shown, sizeof(shown), value->text, strlen(value->text)), why);
}

static bool is_text(const struct yaml *map, const char *key, const char *text)
{
    const struct yaml *value = yaml_value(map, key);

    return value != NULL && value->kind == YAML_TEXT && str_is(value->text, text);
}

static void no_class(struct settle *s, const struct yaml *map, const char *class)
{
    const char *names[CONF_CLASSES_MAX], *nearest;
    char why[VALUE_WHY];

    for (size_t i = 0; i < s->conf->storage_n; i++)
        names[i] = s->conf->storage[i].name;
    nearest = str_nearest(class, names, s->conf->storage_n);
    (void)snprintf(why, sizeof(why), "is not a class of storage; %s %s%s",
                   nearest == NULL ? "the first is" : "did you mean",
                   nearest == NULL ? names[0] : nearest, nearest == NULL ? "" : "?");
    refuse(s, map, "class", why);
}

static void settle_claim_class(struct settle *s, struct conf_claim *claim, const struct yaml *map)
{
    claim->static_only = is_text(map, "class", "");
    if (yaml_key(map, "class") == NULL) /* as a whole: two values are compared as bytes */
        memcpy(claim->class, s->conf->storage[0].name, sizeof(claim->class));
    else if (*claim->class != '\0' && conf_class(s->conf, claim->class) == NULL)
        no_class(s, map, claim->class);
}

/* The keys of another driver, and those that this one needs. */
static void settle_driver(struct settle *s, const struct conf_class *class)
{
    const struct yaml *classes = yaml_value(s->root, "storage"),
                      *map = yaml_value(classes, class->name);
    const char *driver = conf_driver_name(class->driver);

    if (yaml_key(map, "driver") != NULL && !is_text(map, "driver", driver))
        return; /* reported; what it was meant to be is unknown */
    for (size_t i = 0; i < conf_row_n; i++) {
        const struct conf_row *row = &conf_rows[i];
        int of = conf_row_driver(row);
        const char *name = of < 0 ? NULL : conf_many_key(&conf_manies[CONF_MANY_CLASSES], row);
        const struct yaml *key = name == NULL ? NULL : yaml_key(map, name);
        bool needed = name != NULL && !str_is(name, "pool") && !str_is(name, "options");

        if (key != NULL && of != (int)class->driver)
            report_add(s->report, key->line, key->column, name,
                       "is a key of driver %s; this class has driver %s",
                       conf_driver_name((enum conf_driver)of), driver);
        else if (needed && of == (int)class->driver && (key == NULL || is_text(map, name, ""))) {
            const struct yaml *at = key != NULL ? key : yaml_key(classes, class->name);

            report_add(s->report, at->line, at->column, class->name, "driver %s needs %s: %s",
                       driver, name, conf_type_noun(row->type));
        }
    }
}

static void settle_shared(struct settle *s, const struct conf_claim *claim, const struct yaml *map)
{
    static const char why[] = "has no {username} in it, so that all servers share it: "
                              "accessModes must be [ReadWriteMany] or [ReadOnlyMany]";

    if (*claim->name != '\0' && strstr(claim->name, "{username}") == NULL && claim->modes != 0 &&
        (claim->modes & (CONF_RWX | CONF_ROX)) == 0)
        refuse(s, map, "name", why);
}

/* Two of a list may have neither the same name nor places in one another. */
static bool meets(struct settle *s, const struct yaml *map, const char *key, const char *noun,
                  const char *const mine[2], const char *const others[2])
{
    bool is_named = *mine[0] != '\0' && str_is(mine[0], others[0]);
    bool is_there = *mine[1] != '\0' && *others[1] != '\0' && conf_paths_meet(mine[1], others[1]);
    char why[VALUE_WHY], shown[65];

    (void)snprintf(why, sizeof(why), "is the name of another %s above", noun);
    if (is_named)
        refuse(s, map, "name", why);
    (void)snprintf(why, sizeof(why), "and \"%s\" of another %s are one, or in one another",
                   str_show(shown, sizeof(shown), others[1], strlen(others[1])), noun);
    if (is_there)
        refuse(s, map, key, why);
    return is_named || is_there;
}

static void settle_claims(struct settle *s)
{
    struct conf_server *server = &s->conf->server;
    const struct yaml *map = yaml_value(s->root, "server"), *list = yaml_value(map, "extraClaims");

    settle_claim_class(s, &server->claim, yaml_value(map, "claim"));
    for (size_t i = 0; i < server->extra_n; i++) {
        struct conf_claim *claim = &server->extra[i];
        const struct yaml *one = yaml_nth(list, i);

        settle_claim_class(s, claim, one);
        settle_shared(s, claim, one);
        if (str_is(claim->name, server->claim.name))
            refuse(s, one, "name", "is the name of the server's own claim");
        for (size_t k = 0; k < i; k++)
            if (meets(s, one, "mount", "claim", (const char *const[]){claim->name, claim->mount},
                      (const char *const[]){server->extra[k].name, server->extra[k].mount}))
                break;
    }
}

/* Is there a value, and was it reported? Then the default stands where it would. */
static bool is_wrong(const struct yaml *map, const char *path, const char *key)
{
    const struct yaml *value = yaml_value(map, key);
    struct conf_share room; /* as large as what any of these keys becomes */
    char why[VALUE_WHY];

    return value != NULL && (value->kind != YAML_TEXT ||
                             conf_value(conf_row(path, key), value->text, &room, why) < 0);
}

static void settle_requests(struct settle *s)
{
    static const char limits_path[] = "server.limits", requests_path[] = "server.requests";
    const struct conf_server *server = &s->conf->server;
    const struct yaml *map = yaml_value(s->root, "server"), *limits = yaml_value(map, "limits"),
                      *requests = yaml_value(map, "requests");
    uint64_t all = s->conf->machine.memory.bytes; /* 0: a percentage of what is not known here */
    char why[VALUE_WHY], text[16];

    (void)snprintf(why, sizeof(why), "is above limits.memory, %s: a server cannot be given it",
                   str_size(text, sizeof(text), server->limits.memory));
    if (server->requests.memory > server->limits.memory &&
        !is_wrong(limits, limits_path, "memory") && !is_wrong(requests, requests_path, "memory"))
        refuse(s, requests, "memory", why);
    (void)snprintf(why, sizeof(why), "is above limits.cpu, %um: a server cannot be given it",
                   server->limits.cpu_milli);
    if (server->requests.cpu_milli > server->limits.cpu_milli &&
        !is_wrong(limits, limits_path, "cpu") && !is_wrong(requests, requests_path, "cpu"))
        refuse(s, requests, "cpu", why);
    (void)snprintf(why, sizeof(why), "is less than requests.memory, %s: no server would ever start",
                   str_size(text, sizeof(text), server->requests.memory));
    map = yaml_value(s->root, "machine");
    if (all != 0 && all < server->requests.memory && !is_wrong(map, "machine", "memory"))
        refuse(s, map, "memory", why);
}

/* Only what was written: "auto" gives way to a short time until it is stopped. */
static void settle_sleep(struct settle *s)
{
    const struct conf_server *server = &s->conf->server;
    const struct yaml *map = yaml_value(yaml_value(s->root, "server"), "sleep");
    char why[VALUE_WHY], text[16];

    (void)snprintf(why, sizeof(why),
                   "is not shorter than sleep.connected, %s: it would be stopped first; "
                   "write never if it is not to nap",
                   str_duration(text, sizeof(text), server->sleep_connected_ms));
    if (server->nap_ms != UINT64_MAX && server->nap_ms >= server->sleep_connected_ms &&
        !is_wrong(map, "server.sleep", "nap") && !is_wrong(map, "server.sleep", "connected"))
        refuse(s, map, "nap", why);
}

static void settle_volume(struct settle *s, size_t i)
{
    struct conf_volume *volume = &s->conf->volumes[i];
    const struct yaml *map = yaml_nth(yaml_value(s->root, "volumes"), i);

    if (*volume->class != '\0' && conf_class(s->conf, volume->class) == NULL)
        no_class(s, map, volume->class);
    if (*volume->ref_name != '\0' && *volume->ref_hub == '\0')
        (void)snprintf(volume->ref_hub, sizeof(volume->ref_hub), "%s", s->conf->hub);
    for (size_t k = 0; k < i; k++) {
        const struct conf_volume *other = &s->conf->volumes[k];

        if (meets(s, map, "hostPath", "volume",
                  (const char *const[]){volume->name, volume->host_path},
                  (const char *const[]){other->name, other->host_path}))
            break;
    }
}

void conf_settle(struct conf *c, const struct yaml *root, struct report *r)
{
    struct settle s = {c, r, root};

    if (c->storage_n == 0) {
        struct conf_class *class = conf_many_add(&conf_manies[CONF_MANY_CLASSES], c);

        (void)snprintf(class->name, sizeof(class->name), "standard");
    } else {
        for (size_t i = 0; i < c->storage_n; i++)
            settle_driver(&s, &c->storage[i]);
    }
    settle_claims(&s);
    settle_requests(&s);
    settle_sleep(&s);
    for (size_t i = 0; i < c->volume_n; i++)
        settle_volume(&s, i);
    if (c->backup.minute >= 0 && *c->backup.target == '\0' &&
        (yaml_value(yaml_value(root, "backup"), "target") == NULL ||
         is_text(yaml_value(root, "backup"), "target", "")))
        refuse(&s, yaml_value(root, "backup"), "schedule",
               "has no place to write to; set backup.target to a directory");
}
