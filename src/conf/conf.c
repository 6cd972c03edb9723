#include "conf.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

void report_add(struct report *r, unsigned line, unsigned column, const char *label,
                const char *fmt, ...)
{
    struct conf_problem *p;
    char shown[80] = "";
    va_list ap;
    int n;

    if (report_full(r))
        return;
    p = &r->to->at[r->to->n++];
    p->line = line;
    p->column = column;
    if (label != NULL)
        (void)str_show(shown, sizeof(shown), label, strlen(label));
    n = snprintf(p->text, sizeof(p->text), "%s:%u:%u: %s%s", r->name, line, column, shown,
                 label == NULL ? "" : ": ");
    va_start(ap, fmt);
    (void)vsnprintf(p->text + n, sizeof(p->text) - (size_t)n, fmt, ap);
    va_end(ap);
}

static struct conf *conf_new(void)
{
    struct conf *c = mem_new(sizeof(*c));
    char why[VALUE_WHY];

    for (size_t i = 0; i < conf_row_n; i++)
        if (conf_row_is_leaf(&conf_rows[i]) && !conf_row_is_free(&conf_rows[i]) &&
            conf_value(&conf_rows[i], conf_rows[i].fallback, (char *)c + conf_rows[i].offset, why) <
                0)
            abort(); /* the table contradicts itself */
    return c;
}

static int by_place(const void *a, const void *b)
{
    const struct conf_problem *p = a, *q = b;

    if (p->line != q->line)
        return p->line < q->line ? -1 : 1;
    return (p->column > q->column) - (p->column < q->column);
}

static int fail(const struct report *r, struct conf_problems *problems, struct err *e)
{
    struct conf_problems *all = r->to;

    qsort(all->at, all->n, sizeof(all->at[0]), by_place);
    (void)err_set(e, ERR_CONFIG, "%s", all->at[0].text);
    all->full = report_full(r);
    if (all->n > 1)
        (void)err_hint(e, "%s has %s%u more problem%s", r->name, all->full ? "at least " : "",
                       all->n - 1, all->n == 2 ? "" : "s");
    if (problems != NULL && problems != all)
        *problems = *all;
    return -1;
}

static void report_init(struct report *r, struct conf_problems *to, const char *name)
{
    const char *slash = strrchr(name, '/');

    *to = (struct conf_problems){0};
    r->to = to;
    name = slash == NULL ? name : slash + 1;
    (void)str_show(r->name, sizeof(r->name), name, strlen(name));
}

int conf_parse(const char *text, size_t len, const char *name, struct conf **ret,
               struct conf_problems *problems, struct err *e)
{
    struct conf_problems found;
    struct report report;
    struct conf *c;
    struct yaml *root = NULL;

    report_init(&report, &found, name);
    if (len > CONF_FILE_MAX) {
        report_add(&report, 1, 1, NULL, "the file is larger than %d bytes", CONF_FILE_MAX);
        return fail(&report, problems, e);
    }
    root = yaml_read(text, len, &report);
    if (root == NULL)
        return fail(&report, problems, e);
    c = conf_new();
    memcpy(c->file, report.name, sizeof(c->file));
    conf_walk(c, root, &report);
    conf_settle(c, root, &report);
    yaml_free(root);
    if (found.n > 0) {
        conf_free(c);
        return fail(&report, problems, e);
    }
    conf_items_complete(c);
    if (problems != NULL)
        *problems = found;
    *ret = c;
    return 0;
}

int conf_load(const char *path, struct conf **ret, struct conf_problems *problems, struct err *e)
{
    AUTO_FREE char *text = NULL;
    struct conf_problems found;
    struct report report;
    int len = fd_read_file(AT_FDCWD, path, CONF_FILE_MAX, &text, e);

    if (len >= 0)
        return conf_parse(text, (size_t)len, path, ret, problems, e);
    if (problems != NULL)
        *problems = (struct conf_problems){0};
    if (e->kind != ERR_LIMIT)
        return -1;
    report_init(&report, &found, path);
    report_add(&report, 1, 1, NULL, "the file is larger than %d bytes", CONF_FILE_MAX);
    return fail(&report, problems, e);
}

void conf_blame(const struct conf *c, const struct conf_parameter *p, enum conf_blamed what,
                const char *why, struct conf_problems *to)
{
    const struct conf_spot *at = what == CONF_BLAME_NAME ? &p->name_at : &p->value_at;
    struct report r = {.to = to};
    char shown[128];

    memcpy(r.name, c->file, sizeof(r.name));
    if (what == CONF_BLAME_NAME)
        report_add(&r, at->line, at->column, p->name, "%s", why);
    else
        report_add(&r, at->line, at->column, p->name, "\"%s\" %s",
                   str_show(shown, sizeof(shown), p->value, strlen(p->value)), why);
}

int conf_blame_end(const struct conf *c, struct conf_problems *all, struct err *e)
{
    struct report r = {.to = all};

    memcpy(r.name, c->file, sizeof(r.name));
    return all->n == 0 ? 0 : fail(&r, all, e);
}

void conf_free(struct conf *c)
{
    if (c == NULL)
        return;
    conf_items_free(c->items, c->item_n);
    for (size_t i = 0; i < c->server.parameter_n; i++)
        free(c->server.parameters[i].value);
    free(c->server.parameters);
    free(c->server.extra);
    free(c->storage);
    free(c->volumes);
    free(c);
}

const struct conf_class *conf_class(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->storage_n; i++)
        if (str_is(c->storage[i].name, name))
            return &c->storage[i];
    return NULL;
}

size_t conf_listen_addresses(const struct conf *c, const char *ret[2])
{
    if (*c->listen.address != '\0') {
        ret[0] = c->listen.address;
        return 1;
    }
    ret[0] = *c->domain == '\0' ? "127.0.0.1" : "0.0.0.0";
    ret[1] = *c->domain == '\0' ? "::1" : "::";
    return 2;
}

bool conf_expand(char *at, size_t size, const char *template, const char *username, const char *hub)
{
    const struct {
        const char *word, *with;
    } words[] = {{"{username}", username}, {"{hub}", hub}};
    size_t n = 0;

    while (*template != '\0') {
        const char *piece = template;
        size_t len = 1, taken = 1;

        for (size_t i = 0; i < 2; i++)
            if (str_starts(template, words[i].word)) {
                piece = words[i].with;
                len = strlen(piece);
                taken = strlen(words[i].word);
            }
        if (len >= size - n) {
            at[0] = '\0';
            return false;
        }
        memcpy(at + n, piece, len);
        n += len;
        template += taken;
    }
    at[n] = '\0';
    return true;
}
