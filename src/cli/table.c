#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

/* Rows are aligned in blocks, so that a list without end needs no memory without end. */
enum { BLOCK_CELLS = 50000 };

void table_init(struct table *t, FILE *out, enum cli_output form)
{
    *t = (struct table){.out = out, .form = form};
}

static void free_all(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
}

void table_done(struct table *t)
{
    free_all(t->names, t->columns);
    free_all(t->cells, t->cells_n);
    free(t->names);
    free(t->cells);
    free(t->widths);
    table_init(t, t->out, t->form);
}

char *table_harmless(const char *text)
{
    size_t len = strlen(text);
    char *at;

    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = 0;

        n = str_utf8_next(text + i, len - i, &c);
        if (n == 0 || str_steers(c)) {
            at = mem_new(4 * len + 1); /* a byte becomes four at most */
            return str_show(at, 4 * len + 1, text, len);
        }
    }
    return mem_copy(text);
}

/* Characters, which is what a column is wide as long as nobody has a name in Chinese. */
static size_t width(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static void widen(struct table *t, size_t column, const char *text)
{
    size_t n = width(text);

    if (n > t->widths[column])
        t->widths[column] = n;
}

void table_columns(struct table *t, const char *const *names, size_t n)
{
    if (t->columns > 0 || n == 0)
        return; /* once: what comes later would not fit what is out */
    t->columns = n;
    t->names = mem_new(n * sizeof(*t->names));
    t->widths = mem_new(n * sizeof(*t->widths));
    for (size_t i = 0; i < n; i++) {
        t->names[i] = table_harmless(names[i]);
        widen(t, i, t->names[i]);
    }
}

static void put_padded(struct table *t, size_t column, const char *text)
{
    bool last = column + 1 == t->columns;
    size_t pad = last ? 0 : t->widths[column] - width(text) + 2;

    (void)fprintf(t->out, "%s%*s%s", text, (int)pad, "", last ? "\n" : "");
}

static void put_head(struct table *t)
{
    if (t->head_done || t->columns == 0)
        return;
    t->head_done = true;
    for (size_t i = 0; i < t->columns; i++) {
        AUTO_FREE char *name = mem_copy(t->names[i]);

        for (char *p = name; *p != '\0'; p++)
            if (*p >= 'a' && *p <= 'z')
                *p = (char)(*p - 'a' + 'A');
        put_padded(t, i, name);
    }
}

static void flush(struct table *t)
{
    put_head(t);
    for (size_t i = 0; i < t->cells_n; i++)
        put_padded(t, i % t->columns, t->cells[i]);
    free_all(t->cells, t->cells_n);
    t->cells_n = 0;
}

static void put_json(struct table *t, const struct buf *element)
{
    (void)fprintf(t->out, "%s%.*s", t->head_done ? ",\n " : "[", (int)buf_len(element),
                  (const char *)buf_data(element));
    t->head_done = true;
}

/* Larger than any message, escaped: it always fits. */
static void element_init(struct buf *b)
{
    buf_init(b, 16 << 20);
}

static void must(bool put)
{
    if (!put)
        abort();
}

static void row_as_json(struct table *t, const char *const *cells, size_t n)
{
    struct buf b;

    element_init(&b);
    must(buf_put_u8(&b, '{'));
    for (size_t i = 0; i < t->columns; i++) {
        const char *cell = i < n ? cells[i] : "";

        must((i == 0 || buf_put(&b, ", ", 2)) &&
             json_put_string(&b, t->names[i], strlen(t->names[i])) && buf_put(&b, ": ", 2) &&
             json_put_string(&b, cell, strlen(cell)));
    }
    must(buf_put_u8(&b, '}'));
    put_json(t, &b);
    buf_done(&b);
}

static void row_as_cells(struct table *t, const char *const *cells, size_t n)
{
    if (t->cells_n + t->columns > t->cells_size) {
        t->cells_size = t->cells_size == 0 ? 16 * t->columns : 2 * t->cells_size;
        t->cells = mem_resize(t->cells, t->cells_size * sizeof(*t->cells));
    }
    for (size_t i = 0; i < t->columns; i++) {
        char *cell = table_harmless(i < n ? cells[i] : "");

        t->cells[t->cells_n++] = cell;
        widen(t, i, cell);
    }
    if (t->cells_n >= BLOCK_CELLS || t->live)
        flush(t);
}

void table_row(struct table *t, const char *const *cells, size_t n)
{
    if (t->columns == 0)
        return;
    if (t->form == CLI_JSON) {
        row_as_json(t, cells, n);
    } else if (t->form == CLI_TABLE) {
        row_as_cells(t, cells, n);
    } else {
        AUTO_FREE char *name = table_harmless(n > 0 ? cells[0] : "");

        (void)fprintf(t->out, "%s\n", name);
    }
    if (t->live)
        (void)fflush(t->out);
}

void table_say(struct table *t, const char *line)
{
    AUTO_FREE char *text = NULL;
    struct buf b;

    if (t->form == CLI_JSON && t->columns == 0) {
        element_init(&b);
        must(json_put_string(&b, line, strlen(line)));
        put_json(t, &b);
        buf_done(&b);
        return;
    }
    text = table_harmless(line);
    if (t->form == CLI_JSON) {
        (void)fprintf(stderr, "%s\n", text); /* between objects there is no place for it */
        return;
    }
    if (t->form == CLI_TABLE && t->columns > 0)
        flush(t);
    (void)fprintf(t->out, "%s\n", text);
    (void)fflush(t->out); /* it may be some time until the next */
}

void table_end(struct table *t)
{
    if (t->form == CLI_TABLE && t->columns > 0)
        flush(t);
    if (t->form == CLI_JSON)
        (void)fprintf(t->out, "%s]\n", t->head_done ? "" : "[");
    (void)fflush(t->out);
}
