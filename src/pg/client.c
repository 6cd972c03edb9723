#include "client.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "pgwire/message.h"
#include "pgwire/startup.h"

#include "talk.h"

#define MESSAGE_MAX (64u << 10)
#define ANSWER_MAX                                                                 \
    (1u << 20) /* of one statement: none of ours answers with more than a few rows \
                */

/* The next whole message; it points into c->in until the next call. */
static int next(struct pg_client *c, struct msg *ret, struct err *e)
{
    buf_eat(&c->in, c->held);
    c->held = 0;
    for (;;) {
        enum msg_verdict verdict = msg_read(buf_data(&c->in), buf_len(&c->in), MESSAGE_MAX, ret);

        if (verdict == MSG_WHOLE) {
            c->held = ret->total;
            return 0;
        }
        if (verdict == MSG_BAD)
            return err_set(e, ERR_PEER, "the server sent a message that is too long or too short");
        if (pg_receive(c, e) < 0)
            return -1;
    }
}

static enum err_kind kind_of(const char *sqlstate)
{
    static const struct {
        const char *start;
        enum err_kind kind;
    } kinds[] = {
        {"53100", ERR_NO_SPACE}, {"53", ERR_LIMIT},     {"57P", ERR_BUSY},
        {"28", ERR_AUTH},        {"42501", ERR_DENIED}, {"08", ERR_PEER},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (str_starts(sqlstate, kinds[i].start))
            return kinds[i].kind;
    return ERR_INTERNAL;
}

static int reported(struct pg_client *c, const struct msg *m, struct err *e)
{
    struct msg_error said;
    char shown[240];

    msg_read_error(m, &said);
    memcpy(c->sqlstate, said.sqlstate, sizeof(c->sqlstate));
    str_show(shown, sizeof(shown), said.message, strlen(said.message));
    return err_set(e, kind_of(c->sqlstate), "the server says: %s (%s)", shown, c->sqlstate);
}

static int logged_in(const struct msg *m, struct err *e)
{
    uint32_t type;

    if (msg_read_auth(m, &type, e) < 0)
        return -1;
    if (type != MSG_AUTH_OK)
        return err_set(e, ERR_AUTH, "the server asks for a password");
    return 0;
}

struct value {
    char *at; /* NULL: none is wanted */
    size_t size;
    bool found;
};

/* DataRow: int16 columns, then int32 length (-1: NULL) and bytes each. */
static int take_value(const struct msg *m, struct value *v, struct err *e)
{
    const uint8_t *p = m->body;
    uint32_t len;

    if (v->at == NULL || v->found)
        return 0;
    if (m->body_len < 6)
        return err_set(e, ERR_PEER, "the server sent a row without a column");
    len = (uint32_t)p[2] << 24 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 8 | p[5];
    if (len == UINT32_MAX)
        return 0;
    if (len > m->body_len - 6)
        return err_set(e, ERR_PEER, "the server sent a row that is cut off");
    if (len >= v->size || memchr(p + 6, '\0', len) != NULL)
        return err_set(e, ERR_PEER, "the server sent a value that cannot be right");
    memcpy(v->at, p + 6, len);
    v->at[len] = '\0';
    v->found = true;
    return 0;
}

/* Read up to ReadyForQuery. The first error the server reports is the result; it may also be the
 * last thing that comes. */
static int answer(struct pg_client *c, struct value *v, struct err *e)
{
    bool failed = false;

    c->sqlstate[0] = '\0';
    c->taken = 0;
    for (;;) {
        struct msg m;
        struct err lost;

        if (next(c, &m, failed ? &lost : e) < 0)
            return -1;
        switch (m.type) {
        case 'Z':
            return failed ? -1 : 0;
        case 'E':
            if (!failed)
                (void)reported(c, &m, e);
            failed = true;
            break;
        case 'R':
            if (logged_in(&m, e) < 0)
                return -1;
            break;
        case 'D':
            if (!failed && take_value(&m, v, e) < 0)
                return -1;
            break;
        case 'A': /* notification, */
        case 'C': /* end of a statement, */
        case 'I': /* empty query, */
        case 'K': /* cancel key, */
        case 'N': /* notice, */
        case 'S': /* setting, */
        case 'T': /* row description: nothing to us */
            break;
        default:
            return err_set(e, ERR_PEER, "the server sent a message of an unknown type %u", m.type);
        }
    }
}

int pg_client_start(struct pg_client *c, int fd, const char *user, const char *database,
                    uint64_t deadline, struct err *e)
{
    struct buf out;
    struct value none = {0};
    int result;

    *c = (struct pg_client){.fd = fd, .deadline = deadline};
    buf_init(&c->in, MESSAGE_MAX + 8192);
    buf_init(&out, STARTUP_MAX + 8);
    result = startup_put_plain(&out, user, database)
                 ? 0
                 : err_set(e, ERR_INPUT, "the name of the role or the database is too long");
    if (result == 0)
        result = pg_send(c, &out, e);
    if (result == 0)
        result = answer(c, &none, e);
    buf_done(&out);
    if (result < 0) {
        close_fd(&c->fd);
        buf_done(&c->in);
    }
    return result;
}

static int query(struct pg_client *c, const char *sql, struct value *v, struct err *e)
{
    struct buf out;
    int result;

    buf_init(&out, MESSAGE_MAX);
    result = msg_put_query(&out, sql) ? pg_send(c, &out, e)
                                      : err_set(e, ERR_INTERNAL, "a statement is too long");
    buf_done(&out);
    return result < 0 ? -1 : answer(c, v, e);
}

int pg_client_exec(struct pg_client *c, const char *sql, struct err *e)
{
    struct value none = {0};

    return query(c, sql, &none, e);
}

int pg_client_value(struct pg_client *c, const char *sql, char *ret, size_t size, struct err *e)
{
    AUTO_FREE char *text = mem_new(size);
    struct value v = {.at = text, .size = size};

    if (query(c, sql, &v, e) < 0)
        return -1;
    if (!v.found)
        return err_set(e, ERR_NOT_FOUND, "the server has no such row");
    memcpy(ret, text, strlen(text) + 1);
    return 0;
}

void pg_client_close(struct pg_client *c)
{
    struct buf out;
    struct err ignored;

    if (c->fd < 0)
        return;
    buf_init(&out, 16);
    if (msg_put_terminate(&out))
        (void)pg_send(c, &out, &ignored); /* a courtesy: it spares the server a line in its log */
    buf_done(&out);
    buf_done(&c->in);
    close_fd(&c->fd);
}

static bool put_quoted(struct buf *b, char quote, const char *text)
{
    if (!buf_put_u8(b, (uint8_t)quote))
        return false;
    for (; *text != '\0'; text++)
        if ((*text == quote && !buf_put_u8(b, (uint8_t)quote)) || !buf_put_u8(b, (uint8_t)*text))
            return false;
    return buf_put_u8(b, (uint8_t)quote);
}

bool pg_put_ident(struct buf *b, const char *name)
{
    return put_quoted(b, '"', name);
}

/* A backslash is itself only while standard_conforming_strings is on: E'' says so whatever it is.
 */
bool pg_put_literal(struct buf *b, const char *text)
{
    if (!buf_put(b, " E'", 3))
        return false;
    for (; *text != '\0'; text++)
        if (((*text == '\'' || *text == '\\') && !buf_put_u8(b, (uint8_t)*text)) ||
            !buf_put_u8(b, (uint8_t)*text))
            return false;
    return buf_put_u8(b, '\'');
}
