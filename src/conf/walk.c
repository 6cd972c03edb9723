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
    const struct yaml *class; /* borrowed from the tree: where the file names the claim's class */
};

/* One key of the file, its row, and where its value goes. */
struct place {
    const struct conf_row *row;
    const struct yaml *key;
    const char *path; /* with free keys filled in */
    void *base;       /* struct conf, or the class */
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
    if (at->row->type == CONF_CLASS)
        w->class = at->key;
    add_item(w, at, y, y->text);
}

static void walk_networks(struct walk *w, const struct place *at, const struct yaml *y)
{
    struct conf_networks *list = &w->conf->plaintext;
    AUTO_FREE char *shown = NULL;
    char why[VALUE_WHY];

    if (y->kind != YAML_LIST) {
        if (expect_text(w, at, y, CONF_NETWORKS))
            refuse(w, at, y, "is text where a list of networks is expected; put it in [ ]");
        return;
    }
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

static void class_add(struct conf *c, const char *name)
{
    struct conf_class *class;
    char why[VALUE_WHY];

    c->storage = mem_resize(c->storage, (c->storage_n + 1) * sizeof(*c->storage));
    class = &c->storage[c->storage_n++];
    *class = (struct conf_class){0};
    (void)snprintf(class->name, sizeof(class->name), "%s", name);
    for (size_t i = 0; i < conf_row_n; i++)
        if (conf_row_is_leaf(&conf_rows[i]) && str_starts(conf_rows[i].path, "storage.*.") &&
            conf_value(&conf_rows[i], conf_rows[i].fallback, (char *)class + conf_rows[i].offset,
                       why) < 0)
            abort(); /* the table contradicts itself */
}

static void walk_class(struct walk *w, const struct place *at, const struct yaml *key)
{
    struct conf *c = w->conf;
    AUTO_FREE char *path = NULL;

    if (!conf_is_name(key->text)) {
        refuse(w, at, key, "is not the name of a class: a letter, then a-z, 0-9 or -, at most 31");
        return;
    }
    if (c->storage_n == CONF_CLASSES_MAX) {
        report_add(w->report, key->line, key->column, at->key->text, "more than %d classes",
                   CONF_CLASSES_MAX);
        return;
    }
    class_add(c, key->text);
    path = mem_printf("%s.%s", at->path, key->text);
    walk_value(w,
               &(struct place){conf_row("storage", "*"), key, path, &c->storage[c->storage_n - 1]},
               key->value);
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
    char shown[128];

    if (y->kind == YAML_BAD)
        return;
    if (conf_row_is_leaf(at->row)) {
        if (at->row->type == CONF_NETWORKS)
            walk_networks(w, at, y);
        else
            walk_text(w, at, y);
        return;
    }
    if (y->kind == YAML_LIST)
        report_add(w->report, y->line, y->column, at->key->text, "a list where %s is expected",
                   conf_type_noun(at->row->type));
    else if (y->kind == YAML_TEXT)
        report_add(w->report, y->line, y->column, at->key->text,
                   "\"%s\" is text where %s is expected",
                   str_show(shown, sizeof(shown), y->text, strlen(y->text)),
                   conf_type_noun(at->row->type));
    else if (at->row->type == CONF_MAP)
        walk_map(w, at->row->path, at->path, y, at->base); /* none: all in it is commented out */
    else
        walk_free_map(w, at, y);
}

/* What can be said only once all of the file is read. */
static void settle(struct walk *w)
{
    struct conf *c = w->conf;
    const char *names[CONF_CLASSES_MAX], *nearest;
    char *class = c->server.claim.class;

    if (c->storage_n == 0)
        class_add(c, "standard");
    if (*class == '\0') {
        (void)snprintf(class, sizeof(c->server.claim.class), "%s", c->storage[0].name);
        return;
    }
    if (conf_class(c, class) != NULL || w->class == NULL)
        return;
    for (size_t i = 0; i < c->storage_n; i++)
        names[i] = c->storage[i].name;
    nearest = str_nearest(class, names, c->storage_n);
    report_add(w->report, w->class->value->line, w->class->value->column, w->class->text,
               "\"%s\" is not a class of storage; %s %s%s", class,
               nearest == NULL ? "the first is" : "did you mean",
               nearest == NULL ? c->storage[0].name : nearest, nearest == NULL ? "" : "?");
}

void conf_walk(struct conf *c, const struct yaml *root, struct report *r)
{
    struct walk w = {.conf = c, .report = r};

    if (root->kind == YAML_MAP)
        walk_map(&w, "", "", root, c);
    else if (root->kind == YAML_TEXT || root->kind == YAML_LIST)
        report_add(r, root->line, root->column, NULL, "a %s where keys are expected",
                   root->kind == YAML_LIST ? "list" : "text");
    settle(&w);
}
