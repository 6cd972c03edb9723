/* message-read.c: messages of the two sides, neither of which is trusted. */
#include "message.h"

#include <stdio.h>
#include <string.h>

#include "put.h"

enum msg_verdict msg_read(const uint8_t *bytes, size_t len, uint32_t max, struct msg *ret)
{
    uint32_t size;

    *ret = (struct msg){.total = 5};
    if (len < 5)
        return MSG_INCOMPLETE;
    ret->type = bytes[0];
    size = get_u32(bytes + 1);
    if (size < 4 || size > max)
        return MSG_BAD;
    ret->total = (size_t)size + 1;
    if (len < ret->total)
        return MSG_INCOMPLETE;
    ret->body = bytes + 5;
    ret->body_len = ret->total - 5;
    return MSG_WHOLE;
}

static int want_sasl(const struct msg *m, struct refusal *ret_why)
{
    if (m->type != 'p')
        return refusal_set(ret_why, "08P01", "expected SASL response, got message type %d",
                           m->type);
    return 0;
}

int msg_read_sasl_initial(const struct msg *m, bool plus_offered, struct sasl_initial *ret,
                          struct refusal *ret_why)
{
    const uint8_t *end, *at = m->body;
    const char *mechanism = (const char *)m->body;
    uint32_t len;
    size_t rest;

    if (want_sasl(m, ret_why) < 0)
        return -1;
    end = m->body_len == 0 ? NULL : memchr(at, 0, m->body_len);
    if (end == NULL)
        return refusal_set(ret_why, "08P01", "invalid string in message");
    *ret = (struct sasl_initial){.plus = strcmp(mechanism, "SCRAM-SHA-256-PLUS") == 0};
    if (ret->plus ? !plus_offered : strcmp(mechanism, "SCRAM-SHA-256") != 0)
        return refusal_set(ret_why, "08P01",
                           "client selected an invalid SASL authentication mechanism");

    at = end + 1;
    rest = m->body_len - (size_t)(at - m->body);
    if (rest < 4)
        return refusal_set(ret_why, "08P01", "insufficient data left in message");
    len = get_u32(at);
    rest -= 4;
    if (len == UINT32_MAX)
        len = 0;
    else
        ret->data = at + 4;
    if (len > rest)
        return refusal_set(ret_why, "08P01", "insufficient data left in message");
    if (len < rest)
        return refusal_set(ret_why, "08P01", "invalid message format");
    ret->len = len;
    return 0;
}

int msg_read_sasl(const struct msg *m, const uint8_t **ret_data, size_t *ret_len,
                  struct refusal *ret_why)
{
    if (want_sasl(m, ret_why) < 0)
        return -1;
    *ret_data = m->body;
    *ret_len = m->body_len;
    return 0;
}

static int bad(const struct msg *m, const char *name, struct err *e)
{
    return err_set(e, ERR_PEER,
                   "could not read %s of the server: a body of %zu bytes cannot be one", name,
                   m->body_len);
}

int msg_read_auth(const struct msg *m, uint32_t *ret_type, struct err *e)
{
    if (m->body_len < 4)
        return bad(m, "Authentication", e);
    if (get_u32(m->body) == MSG_AUTH_OK && m->body_len != 4)
        return bad(m, "AuthenticationOk", e);
    *ret_type = get_u32(m->body);
    return 0;
}

int msg_read_key(const struct msg *m, struct msg_key *ret, struct err *e)
{
    if (m->body_len < 4 + MSG_KEY_MIN || m->body_len > 4 + MSG_KEY_MAX)
        return bad(m, "BackendKeyData", e);
    *ret =
        (struct msg_key){.pid = get_u32(m->body), .key = m->body + 4, .key_len = m->body_len - 4};
    return 0;
}

/* The string at *at, which then stands after its NUL; NULL when there is none. */
static const char *next_string(const struct msg *m, size_t *at)
{
    const uint8_t *begin = m->body + *at, *end;

    end = *at < m->body_len ? memchr(begin, 0, m->body_len - *at) : NULL;
    if (end == NULL)
        return NULL;
    *at += (size_t)(end - begin) + 1;
    return (const char *)begin;
}

int msg_read_setting(const struct msg *m, struct msg_setting *ret, struct err *e)
{
    struct msg_setting setting;
    size_t at = 0;

    setting.name = next_string(m, &at);
    setting.value = setting.name == NULL ? NULL : next_string(m, &at);
    if (setting.value == NULL || setting.name[0] == '\0' || at != m->body_len)
        return bad(m, "ParameterStatus", e);
    *ret = setting;
    return 0;
}

int msg_read_ready(const struct msg *m, char *ret_status, struct err *e)
{
    if (m->body_len != 1 || (m->body[0] != 'I' && m->body[0] != 'T' && m->body[0] != 'E'))
        return bad(m, "ReadyForQuery", e);
    *ret_status = (char)m->body[0];
    return 0;
}

int msg_read_versions(const struct msg *m, struct msg_versions *ret, struct err *e)
{
    size_t at = 8;
    uint32_t n;

    if (m->body_len < 8)
        return bad(m, "NegotiateProtocolVersion", e);
    n = get_u32(m->body + 4);
    for (uint32_t i = 0; i < n; i++) /* each takes a byte at least: n cannot make this long */
        if (next_string(m, &at) == NULL)
            return bad(m, "NegotiateProtocolVersion", e);
    if (at != m->body_len)
        return bad(m, "NegotiateProtocolVersion", e);
    *ret = (struct msg_versions){.newest = get_u32(m->body), .n = n};
    return 0;
}

/* What fits, without half a character at the end. */
static void copy_cut(char *at, size_t size, const char *text, size_t len)
{
    if (len >= size) {
        len = size - 1;
        while (len > size - 4 && ((uint8_t)text[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(at, text, len);
    at[len] = '\0';
}

static bool all_of(const char *text, size_t len, bool digits)
{
    for (size_t i = 0; i < len; i++)
        if (!(text[i] >= 'A' && text[i] <= 'Z') && !(digits && text[i] >= '0' && text[i] <= '9'))
            return false;
    return true;
}

static void take_field(struct msg_error *to, char letter, const char *text, size_t len)
{
    switch (letter) {
    case 'V': /* what S says, but never translated */
        if (len > 0 && len < sizeof(to->severity) && all_of(text, len, false))
            copy_cut(to->severity, sizeof(to->severity), text, len);
        break;
    case 'C':
        if (len == 5 && all_of(text, len, true))
            copy_cut(to->sqlstate, sizeof(to->sqlstate), text, len);
        break;
    case 'M':
        copy_cut(to->message, sizeof(to->message), text, len);
        break;
    case 'D':
        copy_cut(to->detail, sizeof(to->detail), text, len);
        break;
    case 'H':
        copy_cut(to->hint, sizeof(to->hint), text, len);
        break;
    default: /* a letter from the wire: there are more, and will be */
        break;
    }
}

void msg_read_error(const struct msg *m, struct msg_error *ret)
{
    const char *body = (const char *)m->body;
    size_t at = 0, len;
    bool ended;

    *ret = (struct msg_error){.severity = ""};
    while (at < m->body_len && body[at] != '\0') {
        char letter = body[at++];

        len = strnlen(body + at, m->body_len - at);
        take_field(ret, letter, body + at, len);
        if (at + len == m->body_len) { /* the NUL is missing */
            at = m->body_len;
            break;
        }
        at += len + 1;
    }
    ended = at < m->body_len && at + 1 == m->body_len;
    ret->whole = ended && ret->sqlstate[0] != '\0' && ret->message[0] != '\0';
    if (ret->severity[0] == '\0')
        (void)snprintf(ret->severity, sizeof(ret->severity), "%s",
                       m->type == 'N' ? "NOTICE" : "ERROR");
    if (ret->sqlstate[0] == '\0')
        (void)snprintf(ret->sqlstate, sizeof(ret->sqlstate), "XX000");
    if (ret->message[0] == '\0')
        (void)snprintf(ret->message, sizeof(ret->message), "the server gave no message");
}
