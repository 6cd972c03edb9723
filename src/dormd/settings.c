#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "pg/origin.h"
#include "pg/place.h"
#include "pg/settings.h"
#include "vol/vol.h"

enum { PATIENCE_MS = 3000, AUTO_MAX = 256 << 10 };

struct show {
    char volume[ID_SIZE], superuser[STORE_NAME_SIZE];
    int major;
    int fd;                           /* owned: a connection to it; -1: it is not asked */
    bool all;                         /* also what is forced, and our defaults */
    const struct engine_server *spec; /* as it was started; borrowed until the fork; may be NULL */
    struct call *call;
};

#define PREFIX "server.parameters."

static void put(struct call *c, const char *name, const char *value, const char *from,
                const char *note)
{
    char field[80];

    (void)snprintf(field, sizeof(field), "parameters%s%s", *name == '\0' ? "" : ".", name);
    call_row(c, field, value, from, note);
}

/* The hub file's word about a setting, or NULL. */
static const struct conf_item *hub_says(const struct call *c, const char *name)
{
    const struct conf *conf = c->hub->conf;

    for (size_t i = 0; i < conf->item_n; i++)
        if (str_starts(conf->items[i].path, PREFIX) &&
            strcasecmp(conf->items[i].path + strlen(PREFIX), name) == 0)
            return &conf->items[i];
    return NULL;
}

/* ---- a server that runs ---- */

static const char *conf_value(const struct call *c, const char *name)
{
    const struct conf_server *server = &c->hub->conf->server;

    for (size_t i = 0; i < server->parameter_n; i++)
        if (strcasecmp(server->parameters[i].name, name) == 0)
            return server->parameters[i].value;
    return NULL;
}

/* What the hub file said when it was started, as far as we know. */
static const char *started_with(const struct show *s, const char *name)
{
    for (size_t i = 0; s->spec != NULL && i + 1 < s->spec->parameters_n; i += 2)
        if (strcasecmp(s->spec->parameters[i], name) == 0)
            return s->spec->parameters[i + 1];
    return NULL;
}

/* The hub file has another value now, which no running server takes up. */
static void put_hub_line(const struct show *s, const struct pg_told *t,
                         const struct conf_item *item)
{
    const char *was = started_with(s, t->name), *is = conf_value(s->call, t->name);
    char note[200] = "", shown[100];

    if (was != NULL && is != NULL && !str_is(was, is))
        (void)snprintf(note, sizeof(note),
                       "needs a restart: %s from the next wake; sooner with dorm server stop",
                       str_show(shown, sizeof(shown), is, strlen(is)));
    put(s->call, t->name, t->value, item->origin, note);
}

/* What was added to the hub file since it was started. */
static void put_added(const struct show *s)
{
    const struct conf_server *server = &s->call->hub->conf->server;

    for (size_t i = 0; s->spec != NULL && i < server->parameter_n; i++) {
        const char *name = server->parameters[i].name, *value = server->parameters[i].value;
        const struct conf_item *item = hub_says(s->call, name);
        char note[200], shown[100];

        if (item == NULL || started_with(s, name) != NULL)
            continue;
        (void)snprintf(note, sizeof(note),
                       "needs a restart: %s from the next wake; sooner with dorm server stop",
                       str_show(shown, sizeof(shown), value, strlen(value)));
        put(s->call, name, "", item->origin, note);
    }
}

/* What is on its command line: from the hub file as it was when it started, or ours. */
static void put_line(struct show *s, const struct pg_told *t)
{
    const struct conf_item *item = hub_says(s->call, t->name);
    const struct pg_setting *ours = pg_setting_find(t->name, s->major);

    if (item != NULL)
        put_hub_line(s, t, item);
    else if (ours == NULL || ours->rank == PG_DEFAULT)
        put(s->call, t->name, t->value, "the hub file, before",
            "is not in the hub file any more: goes at the next wake");
    else if (ours->rank == PG_SIZED)
        put(s->call, t->name, t->value, "Dormouse",
            ours->value == NULL ? "sized by limits and capacity" : ours->reason);
    else if (s->all)
        put(s->call, t->name, t->value, "Dormouse", ours->reason);
}

/* Why what its owner has set has no effect. */
static void overruled(const struct show *s, const char *name, char note[200])
{
    const struct conf_item *item = hub_says(s->call, name);
    const struct pg_setting *ours = pg_setting_find(name, s->major);

    if (item != NULL)
        (void)snprintf(note, 200, "no effect: %s says %s", item->origin, item->value);
    else if (ours != NULL && ours->rank == PG_FORCED)
        (void)snprintf(note, 200, "no effect: Dormouse sets it: %s", ours->reason);
    else if (ours != NULL && ours->rank == PG_SIZED)
        (void)snprintf(note, 200, "no effect: sized by Dormouse; the hub file can change it");
    else
        (void)snprintf(note, 200, "no effect: the hub file said otherwise at its last wake");
}

static void put_theirs(const struct show *s, const struct pg_told *t)
{
    char from[160] = "ALTER SYSTEM", note[200] = "";
    const char *file = str_starts(t->file, PG_DATA "/") ? t->file + strlen(PG_DATA "/") : t->file;

    if (t->says == PG_SAYS_FILE)
        (void)snprintf(from, sizeof(from), "%s:%u", file, t->line);
    switch (t->holds) {
    case PG_HOLDS_NEVER:
        overruled(s, t->name, note);
        break;
    case PG_HOLDS_AT_START:
        (void)snprintf(note, sizeof(note),
                       "needs a restart: holds from the next wake; sooner with dorm server stop");
        break;
    case PG_HOLDS_AT_RELOAD:
        (void)snprintf(note, sizeof(note),
                       "not read yet: holds after SELECT pg_reload_conf(), or the next wake");
        break;
    case PG_HOLDS_WRONG:
        (void)snprintf(note, sizeof(note), "not valid: %.120s%s", t->error,
                       *t->name == '\0' ? "; nothing that was changed is read until it is right"
                                        : "");
        break;
    case PG_HOLDS_NOW:
    case PG_HOLDS_N:
        break;
    }
    put(s->call, t->name, t->value, from, note);
}

static void one_told(void *owner, const struct pg_told *t)
{
    struct show *s = owner;

    if (t->says == PG_SAYS_LINE)
        put_line(s, t);
    else if (t->says != PG_SAYS_HUB)
        put_theirs(s, t);
    else if (s->all)
        put(s->call, t->name, t->value, "Dormouse", "a default; ALTER SYSTEM can change it");
}

static int dial(void *of, struct err *e)
{
    struct show *s = of;

    return s->fd >= 0 ? take_fd(&s->fd)
                      : err_set(e, ERR_BUSY, "the server takes no connection of ours");
}

static int ask(struct show *s, struct err *e)
{
    struct pg_dial way = {dial, s};

    if (pg_origin_ask(&way, s->superuser, clock_ms() + PATIENCE_MS, one_told, s, e) < 0)
        return -1;
    put_added(s);
    return 0;
}

/* ---- one that sleeps ---- */

static void one_written(void *owner, const struct pg_told *t)
{
    const struct show *s = owner;
    const struct pg_setting *ours = pg_setting_find(t->name, s->major);
    char note[200] = "";

    if (hub_says(s->call, t->name) != NULL || (ours != NULL && ours->rank != PG_DEFAULT))
        overruled(s, t->name, note);
    put(s->call, t->name, t->value, "ALTER SYSTEM", note);
}

/* The file is its owner's: it may be anything, or a link to anything. */
static int read_auto(const struct show *s, char **ret_text, size_t *ret_len, struct err *e)
{
    AUTO_FREE char *mount = mem_printf("%s/vol/%s", s->call->hub->run_dir, s->volume);
    AUTO_CLOSE int dir = open(mount, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd = -1;
    struct stat st;
    ssize_t n;

    if (dir < 0)
        return err_set_os(e, errno, "could not open \"%s\"", mount);
    fd = fd_open_beneath(dir, VOL_DIR_POD "/" PG_DATA_NAME "/" PG_AUTO_CONF,
                         O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, PG_AUTO_CONF " is not a file");
    *ret_text = mem_new(AUTO_MAX);
    n = read(fd, *ret_text, AUTO_MAX);
    if (n < 0)
        return err_set_os(e, errno, "could not read " PG_AUTO_CONF);
    *ret_len = (size_t)n;
    return 0;
}

static void put_hub(struct call *c)
{
    const struct conf *conf = c->hub->conf;

    for (size_t i = 0; i < conf->item_n; i++)
        if (str_starts(conf->items[i].path, PREFIX))
            put(c, conf->items[i].path + strlen(PREFIX), conf->items[i].value,
                conf->items[i].origin, "");
}

static int look(struct show *s, struct err *e)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;

    put_hub(s->call);
    if (read_auto(s, &text, &len, e) == 0)
        pg_auto_parse(text, len, one_written, s);
    else if (e->os_errno == ENOENT)
        call_remark(s->call, "asleep, and its volume is not mounted: what ALTER SYSTEM has set "
                             "was not looked at");
    else
        call_remark(s->call, "what ALTER SYSTEM has set was not looked at: %s", e->msg);
    return 0;
}

/* ---- both ---- */

static int run(void *arg, struct err *e)
{
    struct call *c = arg;
    struct show *s = c->state;

    if (s->fd < 0)
        return look(s, e);
    if (ask(s, e) < 0)
        call_remark(c, "the server was not asked about its settings: %s", e->msg);
    return 0;
}

static void gone(struct call *c)
{
    struct show *s = c->state;

    close_fd(&s->fd);
}

struct wanted {
    const char *id;
    struct show *show;
};

static void one_server(void *owner, const struct fleet_view *view, const struct engine_server *spec,
                       const char *name)
{
    const struct wanted *w = owner;

    (void)view, (void)name;
    if (str_is(spec->id, w->id))
        w->show->spec = spec;
}

void settings_show(struct call *c, const struct store_account *a)
{
    struct show *s = mem_new(sizeof(*s));
    struct err e;

    *s = (struct show){
        .major = a->server.image, .fd = -1, .call = c, .all = call_arg(c, "all") != NULL};
    (void)snprintf(s->volume, sizeof(s->volume), "%s", a->volume.id);
    (void)snprintf(s->superuser, sizeof(s->superuser), "%s", a->server.superuser);
    c->state = s;
    c->gone = gone;
    fleet_each(c->hub->fleet, one_server, &(struct wanted){a->server.id, s});
    if (fleet_look(c->hub->fleet, a->server.id).state == LIFE_AWAKE &&
        fleet_connect(c->hub->fleet, a->server.id, &s->fd, &e) < 0)
        call_remark(c, "the server was not asked about its settings: %s", e.msg);
    call_job(c, "look at the settings of a server", run);
}
