/* The hub file the other way: each value with its origin, and what a new file changes. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

static char *show(const char *value)
{
    size_t len = strlen(value), size = 4 * len + 4;
    char *shown = mem_new(size);

    return str_show(shown, size, len == 0 ? "\"\"" : value, len == 0 ? 2 : len);
}

/* Takes path and value. */
static struct conf_item *item_push(struct conf *c, char *path, char *value, const char *origin,
                                   bool at_start_only)
{
    c->items = mem_resize(c->items, (c->item_n + 1) * sizeof(*c->items));
    c->items[c->item_n] = (struct conf_item){
        .path = path, .value = value, .origin = mem_copy(origin), .at_start_only = at_start_only};
    return &c->items[c->item_n++];
}

void conf_item_add(struct conf *c, const char *path, const char *value, const char *origin,
                   bool at_start_only)
{
    (void)item_push(c, mem_copy(path), show(value), origin, at_start_only);
}

void conf_items_free(struct conf_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(items[i].path);
        free(items[i].value);
        free(items[i].origin);
    }
    free(items);
}

char *conf_networks_text(const struct conf_networks *list)
{
    char *text = mem_copy("[");

    for (size_t i = 0; i < list->n; i++) {
        const struct conf_network *n = &list->at[i];
        const char *quote = n->family == AF_INET6 ? "\"" : ""; /* a colon would begin a map */
        char address[INET6_ADDRSTRLEN] = "";
        char *longer;

        (void)inet_ntop(n->family, n->address, address, sizeof(address));
        longer =
            mem_printf("%s%s%s%s/%u%s", text, i == 0 ? "" : ", ", quote, address, n->bits, quote);
        free(text);
        text = longer;
    }
    text = mem_resize(text, strlen(text) + 2);
    memcpy(text + strlen(text), "]", 2);
    return text;
}

static const struct conf_item *item_find(const struct conf_item *items, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(items[i].path, path))
            return &items[i];
    return NULL;
}

struct completion {
    struct conf *conf;
    const struct conf_item *said;
    size_t said_n;
};

/* What a value is shown as when the file does not say it, or says it by leaving it empty. */
static char *value_text(const struct conf_row *row, const void *at)
{
    if (at == NULL) /* a setting of PostgreSQL's, which has no default here */
        return show("");
    if (row->type == CONF_NETWORKS)
        return conf_networks_text(at);
    if (row->type == CONF_MODES)
        return conf_modes_text(*(const unsigned *)at);
    if (row->type == CONF_CLASS || row->type == CONF_NAME) /* empty may mean another: say which */
        return show(at);
    return show(row->fallback);
}

/* The item of a path: what the file said, or else the default. Takes path. */
static void complete(struct completion *x, const char *said_as, char *path,
                     const struct conf_row *row, const void *at)
{
    const struct conf_item *said = item_find(x->said, x->said_n, said_as);
    bool is_text = said != NULL && row->type != CONF_CLASS && row->type != CONF_NAME;
    char *value = is_text ? mem_copy(said->value) : value_text(row, at);
    struct conf_item *item = item_push(x->conf, path, value,
                                       said == NULL ? "default" : said->origin, row->at_start_only);

    item->row = row;
    item->at = at;
}

static bool is_shown(const struct conf_many *m, const struct conf_row *row, const void *one)
{
    const char *key = conf_many_key(m, row);
    int driver = conf_row_driver(row);

    if (key == NULL || !conf_row_is_leaf(row) || str_is(key, "name")) /* it is in the path */
        return false;
    if (str_starts(key, "claimRef."))
        return *((const struct conf_volume *)one)->ref_name != '\0';
    return driver < 0 || driver == (int)((const struct conf_class *)one)->driver;
}

static void complete_many(struct completion *x, const struct conf_many *m)
{
    bool numbered = strchr(m->element, '#') != NULL;

    for (size_t i = 0; i < conf_many_n(m, x->conf); i++)
        for (size_t k = 0; k < conf_row_n; k++) {
            const char *one = conf_many_get(m, x->conf, i), *key;
            AUTO_FREE char *number = mem_printf("%zu", i), *said_as = NULL;

            if (!is_shown(m, &conf_rows[k], one))
                continue;
            key = conf_many_key(m, &conf_rows[k]);
            said_as = mem_printf("%s.%s.%s", m->path, numbered ? number : one, key);
            complete(x, said_as, mem_printf("%s.%s.%s", m->path, one, key), &conf_rows[k],
                     one + conf_rows[k].offset);
        }
}

static void complete_parameters(struct completion *x, const struct conf_row *row)
{
    const struct conf_server *s = &x->conf->server;

    for (size_t i = 0; i < s->parameter_n; i++) {
        char *path = mem_printf("server.parameters.%s", s->parameters[i].name);

        complete(x, path, path, row, NULL);
    }
}

void conf_items_complete(struct conf *c)
{
    struct conf_item *said = take_ptr(c->items);
    struct completion x = {c, said, c->item_n};

    c->item_n = 0;
    for (size_t k = 0; k < conf_row_n; k++) {
        const struct conf_row *row = &conf_rows[k];
        const struct conf_many *many = conf_many_of(row->path);

        if (many != NULL)
            complete_many(&x, many);
        else if (row->type == CONF_VALUE)
            complete_parameters(&x, row);
        else if (conf_row_is_leaf(row) && !conf_row_is_free(row))
            complete(&x, row->path, mem_copy(row->path), row, (const char *)c + row->offset);
    }
    conf_items_free(said, x.said_n);
}

static bool is_same(const struct conf_item *a, const struct conf_item *b)
{
    if (a->at == NULL || b->at == NULL)
        return str_is(a->value, b->value);
    return memcmp(a->at, b->at, a->row->size) == 0; /* one path is of one row */
}

size_t conf_changes(const struct conf *was, const struct conf *now, conf_change_fn fn, void *arg)
{
    size_t n = 0;

    for (size_t i = 0; i < was->item_n; i++) {
        const struct conf_item *a = &was->items[i],
                               *b = item_find(now->items, now->item_n, a->path);

        if (b != NULL && is_same(a, b))
            continue;
        fn(arg, a, b);
        n++;
    }
    for (size_t i = 0; i < now->item_n; i++)
        if (item_find(was->items, was->item_n, now->items[i].path) == NULL) {
            fn(arg, NULL, &now->items[i]);
            n++;
        }
    return n;
}
