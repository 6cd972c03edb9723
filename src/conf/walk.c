/* The tree of the file against the schema: each value into its place, each mistake into the report.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

enum { PARAMETER_MAX = 1024, KEYS_MAX = 16 };

struct walk {
    struct conf *conf;
    struct report *report;
};

/* One key of the file, its row, and where its value goes. */
struct place {
    const struct conf_row *row;
    const struct yaml *key;
    const char *path; /* with free keys filled in */
    void *base;       /* struct conf, or the class, claim or volume */
};

static void refuse(struct walk *w, const struct place *at, const struct yaml *y, const char *why)
{
    char shown[128];

    report_add(w->report, y->line, y->column, at->key->text, "\"%s\" %s",
               str_show(shown, sizeof(shown), y->text, strlen(y->text)), why);
}

/* Is it a text, as the row wants? Otherwise that is reported. */
static bool expect_text(struct walk *w, const struct place *at, const struct yaml *y,
                        enum conf_type type)
{
    const char *noun = conf_type_noun(type);

    if (y->kind == YAML_NONE)
        report_add(w->report, at->key->line, at->key->column, at->key->text,
                   "has no value; give %s, or remove it", noun);
    else if (y->kind == YAML_MAP || y->kind == YAML_LIST)
        report_add(w->report, y->line, y->column, at->key->text, "a %s where %s is expected",
                   y->kind == YAML_MAP ? "map" : "list", noun);
    return y->kind == YAML_TEXT;
}

static void add_item(struct walk *w, const struct place *at, const struct yaml *y,
                     const char *value)
{
    char origin[96];

    (void)snprintf(origin, sizeof(origin), "%s:%u", w->report->name, y->line);
    conf_item_add(w->conf, at->path, value, origin, at->row->at_start_only);
}

static void walk_text(struct walk *w, const struct place *at, const struct yaml *y)
{
    char why[VALUE_WHY];

    if (!expect_text(w, at, y, at->row->type))
        return;
    if (at->row->type == CONF_NUMBER && y->quoted) {
        refuse(w, at, y, "is text where a number is expected; remove the quotes");
        return;
    }
    if (conf_value(at->row, y->text, (char *)at->base + at->row->offset, why) < 0) {
        refuse(w, at, y, why);
        return;
    }
    add_item(w, at, y, y->text);
}

static void walk_networks(struct walk *w, const struct place *at, const struct yaml *y)
{
    struct conf_networks *list = &w->conf->plaintext;
    AUTO_FREE char *shown = NULL;
    char why[VALUE_WHY];

    *list = (struct conf_networks){0};
    for (const struct yaml *one = y->first; one != NULL; one = one->next) {
        if (one->kind == YAML_BAD || !expect_text(w, at, one, CONF_NETWORKS))
            continue;
        if (list->n == CONF_NETWORKS_MAX) {
            report_add(w->report, one->line, one->column, at->key->text, "more than %d networks",
                       CONF_NETWORKS_MAX);
            return;
        }
        if (conf_network(one->text, &list->at[list->n], why) < 0)
            refuse(w, at, one, why);
        else
            list->n++;
    }
    shown = conf_networks_text(list);
    add_item(w, at, y, shown);
}

static void walk_modes(struct walk *w, const struct place *at, const struct yaml *y)
{
    unsigned *modes = (unsigned *)((char *)at->base + at->row->offset);
    AUTO_FREE char *shown = NULL;
    char why[VALUE_WHY];

    *modes = 0;
    if (y->first == NULL)
        report_add(w->report, y->line, y->column, at->key->text,
                   "an empty list; give an access mode, as in [ReadWriteOnce]");
    for (const struct yaml *one = y->first; one != NULL && !report_full(w->report);
         one = one->next) {
        unsigned mode = 0;

        if (one->kind == YAML_BAD || !expect_text(w, at, one, CONF_MODES))
            continue;
        if (conf_access_mode(at->row, one->text, &mode, why) < 0)
            refuse(w, at, one, why);
        *modes |= mode;
    }
    shown = conf_modes_text(*modes);
    add_item(w, at, y, shown);
}

static void walk_list(struct walk *w, const struct place *at, const struct yaml *y)
{
    char why[VALUE_WHY];

    if (y->kind == YAML_LIST) {
        if (at->row->type == CONF_NETWORKS)
            walk_networks(w, at, y);
        else
            walk_modes(w, at, y);
        return;
    }
    (void)snprintf(why, sizeof(why), "is text where %s is expected; put it in [ ]",
                   conf_type_noun(at->row->type));
    if (expect_text(w, at, y, at->row->type))
        refuse(w, at, y, why);
}

static bool is_twice(struct walk *w, const struct yaml *map, const struct yaml *key)
{
    for (const struct yaml *k = map->first; k != key; k = k->next)
        if (k->kind == YAML_TEXT && str_is(k->text, key->text)) {
            report_add(w->report, key->line, key->column, key->text,
                       "is there twice; the first is on line %u", k->line);
            return true;
        }
    return false;
}

static void walk_value(struct walk *w, const struct place *at, const struct yaml *y);

static void unknown_key(struct walk *w, const char *row_path, const struct yaml *key)
{
    const char *keys[KEYS_MAX];
    size_t n = conf_row_keys(row_path, keys, KEYS_MAX);
    const char *nearest = str_nearest(key->text, keys, n);

    if (str_is(key->text, "<<"))
        report_add(w->report, key->line, key->column, key->text,
                   "merge keys are not supported; write the keys out");
    else if (nearest != NULL)
        report_add(w->report, key->line, key->column, key->text, "unknown key; did you mean %s?",
                   nearest);
    else
        report_add(w->report, key->line, key->column, key->text, "unknown key");
}

/* row_path is "" for the file as a whole. */
static void walk_map(struct walk *w, const char *row_path, const char *path, const struct yaml *y,
                     void *base)
{
    for (const struct yaml *key = y->first; key != NULL && !report_full(w->report);
         key = key->next) {
        const struct conf_row *row;
        AUTO_FREE char *sub = NULL;

        if (key->kind == YAML_BAD)
            continue;
        row = conf_row(row_path, key->text);
        if (row == NULL) {
            unknown_key(w, row_path, key);
            continue;
        }
        if (is_twice(w, y, key))
            continue;
        sub = mem_printf("%s%s%s", path, *path == '\0' ? "" : ".", key->text);
        walk_value(w, &(struct place){row, key, sub, base}, key->value);
    }
}

/* Does the map have all keys that it must have? */
static void expect_keys(struct walk *w, const struct place *at, const struct yaml *y)
{
    const char *keys[KEYS_MAX];
    size_t n = conf_row_keys(at->row->path, keys, KEYS_MAX);

    for (size_t i = 0; i < n; i++) {
        const struct conf_row *row = conf_row(at->row->path, keys[i]);

        if (row->fallback == conf_required && yaml_key(y, keys[i]) == NULL)
            report_add(w->report, y->line, y->column, at->key->text, "has no %s; give %s", keys[i],
                       conf_type_noun(row->type));
    }
}

static bool is_too_many(struct walk *w, const struct place *at, const struct conf_many *many,
                        const struct yaml *y)
{
    if (conf_many_n(many, w->conf) < many->max)
        return false;
    report_add(w->report, y->line, y->column, at->key->text, "more than %zu %s", many->max,
               many->noun);
    return true;
}

static void walk_class(struct walk *w, const struct place *at, const struct yaml *key)
{
    const struct conf_many *many = &conf_manies[CONF_MANY_CLASSES];
    AUTO_FREE char *path = NULL;
    struct conf_class *class;

    if (!conf_is_name(key->text)) {
        refuse(w, at, key, "is not the name of a class: a letter, then a-z, 0-9 or -, at most 31");
        return;
    }
    if (is_too_many(w, at, many, key))
        return;
    class = conf_many_add(many, w->conf);
    (void)snprintf(class->name, sizeof(class->name), "%s", key->text);
    path = mem_printf("%s.%s", at->path, key->text);
    walk_value(w, &(struct place){conf_row("storage", "*"), key, path, class}, key->value);
}

/* A list of maps. One that is no map is added all the same, to keep the numbers of the others. */
static void walk_elements(struct walk *w, const struct place *at, const struct yaml *y)
{
    const struct conf_many *many = conf_many_of(at->row->path);
    size_t i = 0;

    for (const struct yaml *one = y->first; one != NULL && !report_full(w->report);
         one = one->next, i++) {
        AUTO_FREE char *path = mem_printf("%s.%zu", at->path, i);
        struct place place = {conf_row(at->row->path, "#"), at->key, path, NULL};

        if (is_too_many(w, at, many, one))
            return;
        place.base = conf_many_add(many, w->conf);
        if (one->kind == YAML_NONE)
            report_add(w->report, one->line, one->column, at->key->text,
                       "an empty element where a map is expected");
        else
            walk_value(w, &place, one);
    }
}

static void walk_parameter(struct walk *w, const struct place *at, const struct yaml *key)
{
    struct conf_server *s = &w->conf->server;
    AUTO_FREE char *path = mem_printf("%s.%s", at->path, key->text);
    struct place place = {conf_row(at->row->path, "*"), key, path, NULL};
    struct conf_parameter *p;
    char why[VALUE_WHY];

    if (conf_parameter_name(key->text, why) < 0) {
        refuse(w, at, key, why);
        return;
    }
    if (key->value->kind == YAML_BAD || !expect_text(w, &place, key->value, CONF_VALUE))
        return;
    if (s->parameter_n == CONF_PARAMETERS_MAX || strlen(key->value->text) > PARAMETER_MAX) {
        if (s->parameter_n == CONF_PARAMETERS_MAX)
            report_add(w->report, key->line, key->column, at->key->text, "more than %d settings",
                       CONF_PARAMETERS_MAX);
        else
            report_add(w->report, key->value->line, key->value->column, key->text,
                       "longer than %d bytes", PARAMETER_MAX);
        return;
    }
    s->parameters = mem_resize(s->parameters, (s->parameter_n + 1) * sizeof(*s->parameters));
    p = &s->parameters[s->parameter_n++];
    (void)snprintf(p->name, sizeof(p->name), "%s", key->text);
    p->value = mem_copy(key->value->text);
    p->name_at = (struct conf_spot){key->line, key->column};
    p->value_at = (struct conf_spot){key->value->line, key->value->column};
    add_item(w, &place, key->value, p->value);
}

/* A map whose keys the operator chooses. */
static void walk_free_map(struct walk *w, const struct place *at, const struct yaml *y)
{
    for (const struct yaml *key = y->first; key != NULL && !report_full(w->report);
         key = key->next) {
        if (key->kind == YAML_BAD || is_twice(w, y, key))
            continue;
        if (at->row->type == CONF_CLASSES)
            walk_class(w, at, key);
        else
            walk_parameter(w, at, key);
    }
}

static void walk_value(struct walk *w, const struct place *at, const struct yaml *y)
{
    enum conf_type type = at->row->type;
    enum yaml_kind wanted = type == CONF_CLAIMS || type == CONF_VOLUMES ? YAML_LIST : YAML_MAP;
    char shown[128];

    if (y->kind == YAML_BAD)
        return;
    if (type == CONF_NETWORKS || type == CONF_MODES)
        walk_list(w, at, y);
    else if (conf_row_is_leaf(at->row))
        walk_text(w, at, y);
    else if (y->kind == YAML_TEXT)
        report_add(w->report, y->line, y->column, at->key->text,
                   "\"%s\" is text where %s is expected",
                   str_show(shown, sizeof(shown), y->text, strlen(y->text)), conf_type_noun(type));
    else if (y->kind != YAML_NONE && y->kind != wanted)
        report_add(w->report, y->line, y->column, at->key->text, "a %s where %s is expected",
                   y->kind == YAML_MAP ? "map" : "list", conf_type_noun(type));
    else if (y->kind == YAML_NONE)
        return; /* all in it is commented out */
    else if (wanted == YAML_LIST)
        walk_elements(w, at, y);
    else if (type == CONF_MAP) {
        walk_map(w, at->row->path, at->path, y, at->base);
        expect_keys(w, at, y);
    } else
        walk_free_map(w, at, y);
}

void conf_walk(struct conf *c, const struct yaml *root, struct report *r)
{
    struct walk w = {.conf = c, .report = r};

    if (root->kind == YAML_MAP)
        walk_map(&w, "", "", root, c);
    else if (root->kind == YAML_TEXT || root->kind == YAML_LIST)
        report_add(r, root->line, root->column, NULL, "a %s where keys are expected",
                   root->kind == YAML_LIST ? "list" : "text");
}
