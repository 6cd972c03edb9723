/*
 * startup.h: the first packets of a connection, which have no type byte, and ours to a server.
 *
 * Whoever sends them has not logged in: nothing is looked at before it is bounded, and what is
 * sent on to a server is written afresh from the fields, never the stranger's own bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "message.h"

#define STARTUP_MAX     10004u /* largest length word PostgreSQL takes, and so do we */
#define STARTUP_KEY_MAX 256u   /* bytes of a cancel key since protocol 3.2; 4 before */

enum startup_kind {
    STARTUP_SSL,
    STARTUP_GSSENC,
    STARTUP_CANCEL,
    STARTUP_SESSION,
};

enum startup_verdict {
    STARTUP_MORE,   /* ->need bytes are wanted in all, counted from the start of the packet */
    STARTUP_PACKET, /* ->kind and its fields; ->need bytes are to be eaten */
    STARTUP_CLOSE,  /* no PostgreSQL client sends this: close without a word */
    STARTUP_REFUSE, /* say ->why with startup_put_refusal(), then close */
};

/* Requests that are no longer allowed here: each is answered once, and none inside TLS. */
#define STARTUP_NO_SSL    (1u << 0)
#define STARTUP_NO_GSSENC (1u << 1)

struct startup {
    size_t need;
    enum startup_kind kind;
    uint32_t version; /* as sent: 0x00030000 and above */

    /* CANCEL */
    uint32_t pid;
    uint8_t key[STARTUP_KEY_MAX];
    size_t key_len; /* 4..256 */

    /* SESSION: strings without NUL of any other bytes, inside bytes */
    const char *user;     /* never empty; as long as it came, never cut */
    const char *database; /* as sent, or the user's name */
    bool negotiate;       /* the client must get startup_put_negotiate() before anything else */
    char *bytes;          /* owned; name NUL value NUL ... NUL, checked */
    size_t bytes_len;

    /* REFUSE */
    struct refusal why;
    bool old_form; /* protocol 2.0 reads another form of error */
};

/*
 * Judge the bytes that came so far; they are not kept. Call it again with more of them after MORE.
 * ret is filled anew each time; after PACKET it needs startup_done(), after anything else it may
 * have it. STARTUP_MORE never asks for more than STARTUP_MAX.
 */
enum startup_verdict startup_read(const uint8_t *bytes, size_t len, unsigned flags,
                                  struct startup *ret) __attribute__((warn_unused_result));
void startup_done(struct startup *s);

/* A TLS ClientHello without SSLRequest before it; no packet of ours begins so. len >= 1. */
static inline bool startup_is_tls(const uint8_t *bytes)
{
    return bytes[0] == 0x16;
}

struct startup_param {
    const char *name, *value; /* borrowed from the startup */
};

/* The next setting in the order sent, user and database among them, options of the protocol
 * (_pq_.*) left out. Begin with *at = 0. False after the last. */
bool startup_next(const struct startup *s, size_t *at, struct startup_param *ret);
/* The same for the options of the protocol, none of which we know. */
bool startup_next_unknown(const struct startup *s, size_t *at, struct startup_param *ret);
/* The value of a setting, the last one if it came twice, or NULL. Names compare exactly. */
const char *startup_get(const struct startup *s, const char *name);

/*
 * The writers below append a whole packet, or return false and leave b as it was (b is full, or
 * the packet would be longer than STARTUP_MAX).
 */

/* NegotiateProtocolVersion for s: call it when s->negotiate. */
bool startup_put_negotiate(struct buf *b, const struct startup *s)
    __attribute__((warn_unused_result));
/* The refusal of a startup_read() that returned STARTUP_REFUSE. */
bool startup_put_refusal(struct buf *b, const struct startup *s)
    __attribute__((warn_unused_result));
/* A new StartupMessage 3.0 with the settings of s, but for another user and database. */
bool startup_put_session(struct buf *b, const struct startup *s, const char *user,
                         const char *database) __attribute__((warn_unused_result));
/* A StartupMessage 3.0 with nothing but these; database may be NULL. */
bool startup_put_plain(struct buf *b, const char *user, const char *database)
    __attribute__((warn_unused_result));
bool startup_put_cancel(struct buf *b, uint32_t pid, const uint8_t *key, size_t key_len)
    __attribute__((warn_unused_result));
