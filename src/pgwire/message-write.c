/* message-write.c: the messages that the gate writes itself, to a client or to a server. */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "put.h"

/* The wire's own bound: lengths are read as signed. Memory is bounded by the buffer. */
#define LENGTH_MAX ((size_t)INT32_MAX)

int refusal_set(struct refusal *why, const char *sqlstate, const char *fmt, ...)
{
    va_list ap;

    *why = (struct refusal){.sqlstate = ""};
    (void)snprintf(why->sqlstate, sizeof(why->sqlstate), "%s", sqlstate);
    va_start(ap, fmt);
    (void)vsnprintf(why->message, sizeof(why->message), fmt, ap);
    va_end(ap);
    return -1;
}

int refusal_detail(struct refusal *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why->detail, sizeof(why->detail), fmt, ap);
    va_end(ap);
    return -1;
}

void refusal_from_err(struct refusal *why, const struct err *e)
{
    (void)refusal_set(why, err_sqlstate(e->kind), "%s", e->msg);
    (void)snprintf(why->hint, sizeof(why->hint), "%s", e->hint);
}

static bool is_sqlstate(const char *s)
{
    return strlen(s) == 5 && strspn(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5;
}

static void put_field(struct put *p, char letter, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    put_u8(p, (uint8_t)letter);
    put_text(p, text);
}

static bool put_notice(struct buf *b, uint8_t type, const struct msg_notice *n)
{
    struct put p = put_begin(b, type);

    put_field(&p, 'S', n->severity);
    put_field(&p, 'V', n->severity);
    put_field(&p, 'C', is_sqlstate(n->sqlstate) ? n->sqlstate : "XX000");
    /* clients count on there being a message */
    put_field(&p, 'M', n->message[0] == '\0' ? "unknown error" : n->message);
    put_field(&p, 'D', n->detail);
    put_field(&p, 'H', n->hint);
    put_u8(&p, 0);
    return put_end(&p, LENGTH_MAX);
}

bool msg_put_error(struct buf *b, const struct msg_notice *n)
{
    return put_notice(b, 'E', n);
}

bool msg_put_notice(struct buf *b, const struct msg_notice *n)
{
    return put_notice(b, 'N', n);
}

bool msg_put_refusal(struct buf *b, const struct refusal *why)
{
    return msg_put_error(b, &(struct msg_notice){.severity = "FATAL",
                                                 .sqlstate = why->sqlstate,
                                                 .message = why->message,
                                                 .detail = why->detail,
                                                 .hint = why->hint});
}

bool msg_put_old_error(struct buf *b, const char *message)
{
    char shown[512];

    (void)str_show(shown, sizeof(shown), message, strlen(message));
    if (!buf_reserve(b, strlen(shown) + sizeof("EFATAL:  \n") + 1))
        return false;
    return buf_printf(b, "EFATAL:  %s\n", shown) && buf_put_u8(b, 0);
}

bool msg_put_ssl_answer(struct buf *b, bool yes)
{
    return buf_put_u8(b, yes ? 'S' : 'N');
}

static bool put_auth(struct buf *b, uint32_t type, const void *data, size_t len)
{
    struct put p = put_begin(b, 'R');

    put_u32(&p, type);
    put_bytes(&p, data, len);
    return put_end(&p, LENGTH_MAX);
}

bool msg_put_auth_ok(struct buf *b)
{
    return put_auth(b, MSG_AUTH_OK, "", 0);
}

/* Clients take the first name that they know. */
bool msg_put_auth_sasl(struct buf *b, bool plus)
{
    static const char both[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0", one[] = "SCRAM-SHA-256\0";

    return plus ? put_auth(b, MSG_AUTH_SASL, both, sizeof(both))
                : put_auth(b, MSG_AUTH_SASL, one, sizeof(one));
}

bool msg_put_sasl_continue(struct buf *b, const void *data, size_t len)
{
    return put_auth(b, 11, data, len);
}

bool msg_put_sasl_final(struct buf *b, const void *data, size_t len)
{
    return put_auth(b, 12, data, len);
}

bool msg_put_key(struct buf *b, uint32_t pid, const uint8_t key[4])
{
    struct put p = put_begin(b, 'K');

    put_u32(&p, pid);
    put_bytes(&p, key, 4);
    return put_end(&p, LENGTH_MAX);
}

bool msg_put_setting(struct buf *b, const char *name, const char *value)
{
    struct put p = put_begin(b, 'S');

    put_str(&p, name);
    put_str(&p, value);
    return put_end(&p, LENGTH_MAX);
}

bool msg_put_ready(struct buf *b, char status)
{
    struct put p = put_begin(b, 'Z');

    put_u8(&p, (uint8_t)status);
    return put_end(&p, LENGTH_MAX);
}

bool msg_put_query(struct buf *b, const char *sql)
{
    struct put p = put_begin(b, 'Q');

    put_str(&p, sql);
    return put_end(&p, LENGTH_MAX);
}

bool msg_put_terminate(struct buf *b)
{
    struct put p = put_begin(b, 'X');

    return put_end(&p, LENGTH_MAX);
}
