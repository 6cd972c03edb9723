#include "startup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "put.h"

#define CODE_CANCEL 0x04d2162eu
#define CODE_SSL    0x04d2162fu
#define CODE_GSSENC 0x04d21630u
#define VERSION     0x00030000u /* the newest and the oldest that we speak */
#define OF_PROTOCOL "_pq_."
#define HEAD        8u /* length and code */

static enum startup_verdict refuse(struct startup *s, const char *sqlstate, const char *message)
{
    (void)refusal_set(&s->why, sqlstate, "%s", message);
    startup_done(s);
    return STARTUP_REFUSE;
}

static enum startup_verdict refuse_version(struct startup *s, uint32_t code)
{
    char message[120];

    (void)snprintf(message, sizeof(message),
                   "unsupported frontend protocol %u.%u: server supports 3.0 to 3.0", code >> 16,
                   code & 0xffff);
    s->old_form = code >> 16 == 2;
    return refuse(s, "0A000", message);
}

/* PostgreSQL takes these at any length; a longer one carries bytes that nobody has asked for. */
static enum startup_verdict read_request(struct startup *s, enum startup_kind kind, uint32_t size,
                                         uint32_t code, bool allowed)
{
    if (size != HEAD)
        return STARTUP_CLOSE;
    if (!allowed)
        return refuse_version(s, code);
    s->kind = kind;
    return STARTUP_PACKET;
}

static enum startup_verdict read_cancel(const uint8_t *bytes, size_t len, uint32_t size,
                                        struct startup *s)
{
    if (size < HEAD + 4 + MSG_KEY_MIN || size > HEAD + 4 + STARTUP_KEY_MAX)
        return STARTUP_CLOSE;
    s->need = size;
    if (len < size)
        return STARTUP_MORE;
    s->kind = STARTUP_CANCEL;
    s->pid = get_u32(bytes + HEAD);
    s->key_len = size - HEAD - 4;
    memcpy(s->key, bytes + HEAD + 4, s->key_len);
    return STARTUP_PACKET;
}

/* True when bytes are pairs of strings and then one NUL, and nothing else. */
static bool well_laid(const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && bytes[at] != '\0') {
        for (int i = 0; i < 2; i++) {
            at += strnlen(bytes + at, len - at) + 1; /* may pass len by one */
            if (at >= len)
                return false;
        }
    }
    return at + 1 == len;
}

/* PostgreSQL lets the last one win. Here the user who logs in must be beyond doubt the user whose
 * server is reached, whichever of the two a later reader would have taken. */
static bool given_twice(const struct startup *s, const char *name)
{
    struct startup_param p;
    size_t at = 0;
    int n = 0;

    while (startup_next(s, &at, &p))
        n += strcmp(p.name, name) == 0;
    return n > 1;
}

static enum startup_verdict read_session(const uint8_t *bytes, uint32_t size, uint32_t code,
                                         struct startup *s)
{
    struct startup_param unknown;
    size_t at = 0;

    if (code >> 16 != VERSION >> 16)
        return refuse_version(s, code);
    s->kind = STARTUP_SESSION;
    s->version = code;
    s->bytes_len = size - HEAD;
    if (!well_laid((const char *)bytes + HEAD, s->bytes_len))
        return refuse(s, "08P01",
                      "invalid startup packet layout: expected terminator as last byte");
    s->bytes = mem_new(s->bytes_len);
    memcpy(s->bytes, bytes + HEAD, s->bytes_len);

    if (given_twice(s, "user"))
        return refuse(s, "08P01", "invalid startup packet: \"user\" is given twice");
    if (given_twice(s, "database"))
        return refuse(s, "08P01", "invalid startup packet: \"database\" is given twice");
    s->user = startup_get(s, "user");
    if (s->user == NULL || s->user[0] == '\0')
        return refuse(s, "28000", "no PostgreSQL user name specified in startup packet");
    s->database = startup_get(s, "database");
    if (s->database == NULL || s->database[0] == '\0')
        s->database = s->user;
    s->negotiate = code > VERSION || startup_next_unknown(s, &at, &unknown);
    return STARTUP_PACKET;
}

enum startup_verdict startup_read(const uint8_t *bytes, size_t len, unsigned flags,
                                  struct startup *ret)
{
    uint32_t size, code;

    *ret = (struct startup){.need = 4};
    if (len < 4)
        return STARTUP_MORE;
    size = get_u32(bytes);
    if (size < HEAD || size > STARTUP_MAX)
        return STARTUP_CLOSE;
    ret->need = HEAD;
    if (len < HEAD)
        return STARTUP_MORE;
    code = get_u32(bytes + 4);
    if (code == CODE_SSL)
        return read_request(ret, STARTUP_SSL, size, code, (flags & STARTUP_NO_SSL) == 0);
    if (code == CODE_GSSENC)
        return read_request(ret, STARTUP_GSSENC, size, code, (flags & STARTUP_NO_GSSENC) == 0);
    if (code == CODE_CANCEL)
        return read_cancel(bytes, len, size, ret);
    /* Also what will be refused is read to its end: closing on unread bytes would reset the
     * connection, and the client might never see why. */
    ret->need = size;
    if (len < size)
        return STARTUP_MORE;
    return read_session(bytes, size, code, ret);
}

void startup_done(struct startup *s)
{
    free(s->bytes);
    s->bytes = NULL;
    s->bytes_len = 0;
    s->user = s->database = NULL;
}

static bool next_of(const struct startup *s, size_t *at, bool of_protocol,
                    struct startup_param *ret)
{
    while (*at < s->bytes_len && s->bytes[*at] != '\0') {
        ret->name = s->bytes + *at;
        ret->value = ret->name + strlen(ret->name) + 1;
        *at = (size_t)(ret->value - s->bytes) + strlen(ret->value) + 1;
        if ((strncmp(ret->name, OF_PROTOCOL, strlen(OF_PROTOCOL)) == 0) == of_protocol)
            return true;
    }
    return false;
}

bool startup_next(const struct startup *s, size_t *at, struct startup_param *ret)
{
    return next_of(s, at, false, ret);
}

bool startup_next_unknown(const struct startup *s, size_t *at, struct startup_param *ret)
{
    return next_of(s, at, true, ret);
}

const char *startup_get(const struct startup *s, const char *name)
{
    const char *value = NULL;
    struct startup_param p;
    size_t at = 0;

    while (startup_next(s, &at, &p))
        if (strcmp(p.name, name) == 0)
            value = p.value;
    return value;
}

bool startup_put_negotiate(struct buf *b, const struct startup *s)
{
    struct startup_param unknown;
    struct put p = put_begin(b, 'v');
    uint32_t n = 0;
    size_t at = 0;

    while (startup_next_unknown(s, &at, &unknown))
        n++;
    put_u32(&p, VERSION);
    put_u32(&p, n);
    at = 0;
    while (startup_next_unknown(s, &at, &unknown))
        put_str(&p, unknown.name);
    return put_end(&p, STARTUP_MAX);
}

bool startup_put_refusal(struct buf *b, const struct startup *s)
{
    return s->old_form ? msg_put_old_error(b, s->why.message) : msg_put_refusal(b, &s->why);
}

static struct put begin_session(struct buf *b, const char *user, const char *database)
{
    struct put p = put_begin(b, 0);

    put_u32(&p, VERSION);
    put_str(&p, "user");
    put_str(&p, user);
    if (database != NULL) {
        put_str(&p, "database");
        put_str(&p, database);
    }
    return p;
}

bool startup_put_session(struct buf *b, const struct startup *s, const char *user,
                         const char *database)
{
    struct put p = begin_session(b, user, database);
    struct startup_param param;
    size_t at = 0;

    while (startup_next(s, &at, &param)) {
        if (strcmp(param.name, "user") == 0 || strcmp(param.name, "database") == 0)
            continue;
        put_str(&p, param.name);
        put_str(&p, param.value);
    }
    put_u8(&p, 0);
    return put_end(&p, STARTUP_MAX);
}

bool startup_put_plain(struct buf *b, const char *user, const char *database)
{
    struct put p = begin_session(b, user, database);

    put_u8(&p, 0);
    return put_end(&p, STARTUP_MAX);
}

bool startup_put_cancel(struct buf *b, uint32_t pid, const uint8_t *key, size_t key_len)
{
    struct put p = put_begin(b, 0);

    put_u32(&p, CODE_CANCEL);
    put_u32(&p, pid);
    put_bytes(&p, key, key_len);
    return put_end(&p, HEAD + 4 + STARTUP_KEY_MAX);
}
