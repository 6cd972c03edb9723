/* From bytes to a small tree. libfyaml finds the words; what a hub file may not have is refused
 * here. */
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

enum { NODES_MAX = 10000 };

struct reader {
    struct fy_parser *parser; /* owned */
    struct fy_diag *diag;     /* owned */
    struct fy_event *event;   /* owned; NULL before the first */
    struct report *report;
    unsigned nodes;
    unsigned line, column; /* where the last event with a place was */
    bool broken;           /* no further event is to be read; why is reported, or known to diag */
};

/* Length of the character at p, 0 when it is not UTF-8. */
static size_t char_len(const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    return n <= left && (c == 0 || str_utf8(p, n)) ? n : 0;
}

/*
 * Refuse what no hub file needs before libfyaml sees it. At most one report a line, so that a file
 * indented with tabs is not reported tab by tab.
 */
static bool scan(const char *text, size_t len, struct report *r)
{
    unsigned line = 1, column = 1, told = 0;

    for (size_t i = 0, n; i < len && !report_full(r); i += n) {
        char c = text[i];
        const char *why = NULL;

        n = char_len(text + i, len - i);
        if (n == 0)
            why = "this is not UTF-8 text";
        else if (c == '\t')
            why = "a tab; use spaces";
        else if ((c >= 0 && c < 0x20 && c != '\n' && c != '\r') || c == 0x7f ||
                 (c == '\r' && (i + 1 == len || text[i + 1] != '\n')))
            why = "a control character";
        else if (c == '%' && column == 1)
            why = "YAML directives are not supported; remove this line";
        if (why != NULL && told != line) {
            report_add(r, line, column, NULL, "%s", why);
            told = line;
        }
        if (n == 0)
            return false; /* where the next character begins is a guess */
        line += c == '\n';
        column = c == '\n' ? 1 : column + 1;
    }
    return told == 0;
}

static void next(struct reader *r)
{
    const struct fy_mark *mark;

    fy_parser_event_free(r->parser, r->event);
    r->event = r->broken ? NULL : fy_parser_parse(r->parser);
    if (r->event == NULL) {
        r->broken = true;
        return;
    }
    mark = fy_event_start_mark(r->event);
    if (mark != NULL) {
        r->line = (unsigned)mark->line + 1;
        r->column = (unsigned)mark->column + 1;
    }
}

static bool at(const struct reader *r, enum fy_event_type type)
{
    return !r->broken && r->event->type == type;
}

static struct yaml *node_new(struct reader *r, enum yaml_kind kind, unsigned line, unsigned column)
{
    struct yaml *y = mem_new(sizeof(*y));

    y->kind = kind;
    y->line = line;
    y->column = column;
    if (++r->nodes == NODES_MAX) {
        report_add(r->report, line, column, NULL, "more than %d keys and values", NODES_MAX);
        r->broken = true;
    }
    return y;
}

static bool fits_on_a_line(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return str_utf8(text, len);
}

/*
 * The text of a scalar token. Not by fy_token_get_text(): of a text with many escapes or
 * folded lines that one leaks memory (0.7.12).
 */
static void token_text(struct fy_token *token, struct buf *b)
{
    struct fy_token_iter *pieces = fy_token_iter_create(token);
    const struct fy_iter_chunk *piece = NULL;

    if (pieces == NULL)
        abort(); /* only for want of memory */
    while ((piece = fy_token_iter_chunk_next(pieces, piece, NULL)) != NULL)
        if (!buf_put(b, piece->str, piece->len))
            break;
    fy_token_iter_destroy(pieces);
}

static void read_text(struct reader *r, struct yaml *y)
{
    struct fy_token *token = fy_event_get_token(r->event);
    enum fy_scalar_style style = token == NULL ? FYSS_PLAIN : fy_token_scalar_style(token);
    struct buf text;

    buf_init(&text, 2 * CONF_FILE_MAX); /* an escape is at most half as long again as written */
    if (token != NULL)
        token_text(token, &text);
    y->quoted = style != FYSS_PLAIN;
    if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
        y->column -= y->column > 1; /* the mark is behind the quote */
    if (buf_len(&text) > 0 && !fits_on_a_line(buf_data(&text), buf_len(&text))) {
        report_add(r->report, y->line, y->column, NULL,
                   "a text with line breaks or control characters in it");
        y->kind = YAML_BAD;
    } else {
        y->text = mem_printf("%.*s", (int)buf_len(&text),
                             buf_len(&text) == 0 ? "" : (const char *)buf_data(&text));
        if (!y->quoted && (*y->text == '\0' || str_is(y->text, "~") || str_is(y->text, "null")))
            y->kind = YAML_NONE;
    }
    buf_done(&text);
}

/* Anchors and tags; without aliases an anchor is harmless, so that the value is still looked at. */
static void refuse_properties(struct reader *r)
{
    struct fy_token *anchor = fy_event_get_anchor_token(r->event);
    struct fy_token *tag = fy_event_get_tag_token(r->event);
    const struct fy_mark *mark = anchor == NULL ? NULL : fy_token_start_mark(anchor);

    if (anchor != NULL)
        report_add(r->report, mark == NULL ? r->line : (unsigned)mark->line + 1,
                   mark == NULL ? r->column : (unsigned)mark->column, NULL,
                   "anchors (&) are not supported");
    mark = tag == NULL ? NULL : fy_token_start_mark(tag);
    if (tag != NULL)
        report_add(r->report, mark == NULL ? r->line : (unsigned)mark->line + 1,
                   mark == NULL ? r->column : (unsigned)mark->column + 1, NULL,
                   "tags (!) are not supported");
}

static struct yaml *read_node(struct reader *r, unsigned depth, unsigned line, unsigned column);

/* The key, with its value hung on it. */
static struct yaml *read_pair(struct reader *r, unsigned depth)
{
    struct yaml *key = read_node(r, depth, r->line, r->column);

    if (key->kind != YAML_TEXT && key->kind != YAML_BAD) {
        if (!r->broken)
            report_add(r->report, key->line, key->column, NULL, "a key must be a word");
        key->kind = YAML_BAD;
    }
    next(r);
    if (!r->broken)
        key->value = read_node(r, depth, key->line, key->column);
    else
        key->kind = YAML_BAD;
    return key;
}

static void read_children(struct reader *r, struct yaml *y, unsigned depth)
{
    struct yaml **tail = &y->first;
    bool map = y->kind == YAML_MAP;

    for (next(r); !r->broken; next(r)) {
        if (at(r, map ? FYET_MAPPING_END : FYET_SEQUENCE_END))
            return;
        *tail = map ? read_pair(r, depth) : read_node(r, depth, y->line, y->column);
        tail = &(*tail)->next;
        if (report_full(r->report))
            r->broken = true;
    }
}

/*
 * The node that the current event begins; afterwards the current event is its last. line and column
 * are those of a value that is not there.
 */
static struct yaml *read_node(struct reader *r, unsigned depth, unsigned line, unsigned column)
{
    const struct fy_mark *mark = fy_event_start_mark(r->event);
    enum fy_event_type type = r->event->type;
    struct yaml *y = node_new(r, YAML_BAD, mark == NULL ? line : (unsigned)mark->line + 1,
                              mark == NULL ? column : (unsigned)mark->column + 1);

    if (r->broken)
        return y;
    if (type == FYET_ALIAS) {
        y->column -= y->column > 1; /* the mark is behind the * */
        report_add(r->report, y->line, y->column, NULL,
                   "aliases (*) are not supported; write the value out");
        return y;
    }
    refuse_properties(r);
    if (type == FYET_SCALAR) {
        y->kind = YAML_TEXT;
        read_text(r, y);
    } else if (depth >= CONF_DEPTH_MAX) {
        report_add(r->report, y->line, y->column, NULL, "nested more than %d deep", CONF_DEPTH_MAX);
        r->broken = true;
    } else {
        y->kind = type == FYET_MAPPING_START ? YAML_MAP : YAML_LIST;
        read_children(r, y, depth + 1);
    }
    return y;
}

/* NULL when the stream holds no document at all, or none that could be read. */
static struct yaml *read_document(struct reader *r)
{
    struct yaml *root = NULL;

    next(r); /* the start of the stream */
    next(r);
    if (at(r, FYET_DOCUMENT_START)) {
        next(r);
        if (!r->broken)
            root = read_node(r, 0, r->line, r->column);
        next(r);
        next(r);
    }
    if (at(r, FYET_DOCUMENT_START)) {
        report_add(r->report, r->line, r->column, NULL,
                   "a second document begins; a hub file has only one");
        r->broken = true;
    }
    return root;
}

/* Why the parser stopped, when it was not we who stopped it. */
static void report_syntax(struct reader *r, unsigned before)
{
    struct fy_diag_error *why;
    void *previous = NULL;

    while ((why = fy_diag_errors_iterate(r->diag, &previous)) != NULL)
        if (why->type == FYET_ERROR) {
            char shown[128];

            (void)str_show(shown, sizeof(shown), why->msg, strlen(why->msg));
            report_add(r->report, why->line < 1 ? r->line : (unsigned)why->line,
                       why->column < 1 ? r->column : (unsigned)why->column, NULL, "%s", shown);
            return;
        }
    if (r->report->to->n == before)
        report_add(r->report, r->line, r->column, NULL, "this is not YAML");
}

static void quiet(struct fy_diag *diag, void *user, const char *text, size_t len)
{
    (void)diag, (void)user, (void)text, (void)len;
}

static bool reader_open(struct reader *r, const char *text, size_t len)
{
    struct fy_diag_cfg diag_cfg;
    struct fy_parse_cfg cfg = {.flags = FYPCF_JSON_NONE};

    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL; /* the default is stderr */
    diag_cfg.output_fn = quiet;
    r->diag = fy_diag_create(&diag_cfg);
    if (r->diag == NULL)
        return false;
    fy_diag_set_collect_errors(r->diag, true);
    cfg.diag = r->diag;
    r->parser = fy_parser_create(&cfg);
    return r->parser != NULL && fy_parser_set_string(r->parser, text, len) == 0;
}

struct yaml *yaml_read(const char *text, size_t len, struct report *report)
{
    struct reader r = {.report = report, .line = 1, .column = 1};
    struct yaml *root = NULL;
    unsigned before = report->to->n;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (!scan(text, len, report))
        return NULL;
    if (!reader_open(&r, text, len))
        abort(); /* only for want of memory */
    root = read_document(&r);
    if (r.broken) {
        report_syntax(&r, before);
        yaml_free(root);
        root = NULL;
    } else if (root == NULL) {
        root = node_new(&r, YAML_NONE, 1, 1);
        root->text = mem_copy("");
    }
    if (r.event != NULL)
        fy_parser_event_free(r.parser, r.event);
    fy_parser_destroy(r.parser);
    fy_diag_destroy(r.diag);
    return root;
}

void yaml_free(struct yaml *y)
{
    while (y != NULL) {
        struct yaml *after = y->next;

        yaml_free(y->first);
        yaml_free(y->value);
        free(y->text);
        free(y);
        y = after;
    }
}

const struct yaml *yaml_key(const struct yaml *y, const char *key)
{
    if (y == NULL || y->kind != YAML_MAP)
        return NULL;
    for (const struct yaml *k = y->first; k != NULL; k = k->next)
        if (k->kind == YAML_TEXT && str_is(k->text, key))
            return k;
    return NULL;
}

const struct yaml *yaml_value(const struct yaml *y, const char *key)
{
    const struct yaml *k = yaml_key(y, key);

    return k == NULL ? NULL : k->value;
}

const struct yaml *yaml_nth(const struct yaml *y, size_t i)
{
    const struct yaml *one = y == NULL || y->kind != YAML_LIST ? NULL : y->first;

    while (one != NULL && i-- > 0)
        one = one->next;
    return one;
}
