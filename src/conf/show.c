/* The hub file the other way: each value with its origin, what a new one changes, and the default.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

static char *show(const char *value)
{
    size_t len = strlen(value), size = 4 * len + 4;
    char *shown = mem_new(size);

    return str_show(shown, size, len == 0 ? "\"\"" : value, len == 0 ? 2 : len);
}

/* Takes value. */
static void item_push(struct conf *c, const char *path, char *value, const char *origin,
                      bool at_start_only)
{
    c->items = mem_resize(c->items, (c->item_n + 1) * sizeof(*c->items));
    c->items[c->item_n++] =
        (struct conf_item){mem_copy(path), value, mem_copy(origin), at_start_only};
}

void conf_item_add(struct conf *c, const char *path, const char *value, const char *origin,
                   bool at_start_only)
{
    item_push(c, path, show(value), origin, at_start_only);
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

/* The item of a path: what the file said, or else the default. */
static void complete(struct conf *c, const struct conf_item *said, size_t said_n, const char *path,
                     const struct conf_row *row)
{
    const struct conf_item *item = item_find(said, said_n, path);
    const char *origin = item == NULL ? "default" : item->origin;

    if (row->type == CONF_CLASS) /* empty means the first one: say which */
        item_push(c, path, show(c->server.claim.class), origin, row->at_start_only);
    else if (item != NULL)
        item_push(c, path, mem_copy(item->value), origin, row->at_start_only);
    else if (row->type == CONF_NETWORKS)
        item_push(c, path, conf_networks_text(&c->plaintext), origin, row->at_start_only);
    else
        item_push(c, path, show(row->fallback), origin, row->at_start_only);
}

static void complete_classes(struct conf *c, const struct conf_item *said, size_t said_n)
{
    for (size_t i = 0; i < c->storage_n; i++)
        for (size_t k = 0; k < conf_row_n; k++) {
            const struct conf_row *row = &conf_rows[k];
            AUTO_FREE char *path = NULL;

            if (!str_starts(row->path, "storage.*."))
                continue;
            path =
                mem_printf("storage.%s.%s", c->storage[i].name, row->path + strlen("storage.*."));
            complete(c, said, said_n, path, row);
        }
}

void conf_items_complete(struct conf *c)
{
    struct conf_item *said = take_ptr(c->items);
    size_t said_n = c->item_n;

    c->item_n = 0;
    for (size_t k = 0; k < conf_row_n; k++) {
        const struct conf_row *row = &conf_rows[k];

        if (row->type == CONF_CLASSES)
            complete_classes(c, said, said_n);
        for (size_t i = 0; row->type == CONF_PARAMETERS && i < c->server.parameter_n; i++) {
            AUTO_FREE char *path = mem_printf("%s.%s", row->path, c->server.parameters[i].name);

            complete(c, said, said_n, path, row);
        }
        if (conf_row_is_leaf(row) && !conf_row_is_free(row))
            complete(c, said, said_n, row->path, row);
    }
    conf_items_free(said, said_n);
}

static bool is_same(const struct conf *was, const struct conf *now, const struct conf_item *a,
                    const struct conf_item *b)
{
    for (size_t k = 0; k < conf_row_n; k++)
        if (str_is(conf_rows[k].path, a->path))
            return memcmp((const char *)was + conf_rows[k].offset,
                          (const char *)now + conf_rows[k].offset, conf_rows[k].size) == 0;
    return str_is(a->value, b->value);
}

size_t conf_changes(const struct conf *was, const struct conf *now, conf_change_fn fn, void *arg)
{
    size_t n = 0;

    for (size_t i = 0; i < was->item_n; i++) {
        const struct conf_item *a = &was->items[i],
                               *b = item_find(now->items, now->item_n, a->path);

        if (b != NULL && is_same(was, now, a, b))
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

static const char head[] =
    "## The hub file of Dormouse. Every key has a default, shown here behind its #; an empty file "
    "is\n"
    "## a valid hub. To change a value, remove the # of its line and of the lines it stands "
    "below.\n"
    "## \"dorm config check\" says what is wrong with the file, \"dorm config show\" what holds.\n"
    "## Keys marked (start) take effect when dormd starts, all others on \"dorm reload\".\n";

static bool put_row(struct buf *b, const struct conf_row *row)
{
    const char *key = strrchr(row->path, '.');
    int depth = 0;
    const char *quote = "";
    struct conf_networks defaults;
    char why[VALUE_WHY];

    for (const char *p = row->path; *p != '\0'; p++)
        depth += *p == '.';
    key = key == NULL ? row->path : key + 1;
    if (!buf_printf(b, "%s#%*s# %s%s\n#%*s", depth == 0 ? "#\n" : "", 2 * depth, "", row->help,
                    row->at_start_only && conf_row_is_leaf(row) ? " (start)" : "", 2 * depth, ""))
        return false;
    if (row->type == CONF_PARAMETERS)
        return buf_printf(b, "%s: {}\n", key);
    if (!conf_row_is_leaf(row))
        return buf_printf(b, "%s:\n", str_is(key, "*") ? "standard" : key);
    if (row->type == CONF_NETWORKS) {
        AUTO_FREE char *text = NULL;

        (void)conf_value(row, row->fallback, &defaults, why);
        text = conf_networks_text(&defaults);
        return buf_printf(b, "%s: %s\n", key, text);
    }
    if (*row->fallback == '\0' || strchr(row->fallback, '{') != NULL)
        quote = "\"";
    return buf_printf(b, "%s: %s%s%s\n", key, quote, row->fallback, quote);
}

bool conf_default_text(struct buf *b)
{
    if (!buf_put(b, head, sizeof(head) - 1))
        return false;
    for (size_t k = 0; k < conf_row_n; k++)
        if (!str_is(conf_rows[k].path, "server.parameters.*") && !put_row(b, &conf_rows[k]))
            return false;
    return true;
}

int conf_write_default(const char *path, struct err *e)
{
    struct stat st;
    struct buf b;
    int r = -1;

    if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    buf_init(&b, 1 << 16);
    if (!conf_default_text(&b))
        (void)err_set(e, ERR_INTERNAL, "could not write \"%s\": the default is too long", path);
    else if (fd_write_file(AT_FDCWD, path, 0644, (uid_t)-1, (gid_t)-1, buf_data(&b), buf_len(&b),
                           e) == 0)
        r = 1;
    buf_done(&b);
    return r;
}
