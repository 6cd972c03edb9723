/*
 * message.h: typed messages, as a server writes them to a client and a client to a server.
 *
 * Both sides of the gate are hostile: the client has not logged in, and the server belongs to its
 * user. Readers take any bytes; what they return points into them and lives as long.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Why someone is turned away, in PostgreSQL's own words where it has some. */
struct refusal {
    char sqlstate[6];
    char message[320]; /* what was foreign in it is escaped */
    char detail[240];  /* may be empty */
    char hint[240];    /* may be empty */
};

/* Fill why, detail and hint empty. Both return -1. */
int refusal_set(struct refusal *why, const char *sqlstate, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
int refusal_detail(struct refusal *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), cold)); /* to one that is set */
void refusal_from_err(struct refusal *why, const struct err *e);

/* Any message: type, length, body. */
enum msg_verdict {
    MSG_INCOMPLETE, /* ->total bytes are wanted in all; when that is over 5, type is known already
                     */
    MSG_WHOLE,
    MSG_BAD, /* the length cannot be right or is over max: close, nothing after it makes sense */
};

struct msg {
    uint8_t type;
    const uint8_t *body; /* borrowed; only after MSG_WHOLE */
    size_t body_len;
    size_t total; /* with type and length: to be eaten */
};

/* max bounds the length word, which counts itself: 4..max. MSG_BAD as soon as 5 bytes are there. */
enum msg_verdict msg_read(const uint8_t *bytes, size_t len, uint32_t max, struct msg *ret)
    __attribute__((warn_unused_result));

/* What a client sends while it logs in. */

#define SASL_MESSAGE_MAX 2048u /* for msg_read(): room for a nonce of 1 KB */

struct sasl_initial {
    bool plus;           /* SCRAM-SHA-256-PLUS rather than SCRAM-SHA-256 */
    const uint8_t *data; /* NULL: the client waits for an empty challenge first */
    size_t len;
};

/* Body of the first and of the later 'p' messages. -1 and *ret_why (08P01) when it is not that;
 * plus_offered says whether the client may choose SCRAM-SHA-256-PLUS. */
int msg_read_sasl_initial(const struct msg *m, bool plus_offered, struct sasl_initial *ret,
                          struct refusal *ret_why) __attribute__((warn_unused_result));
int msg_read_sasl(const struct msg *m, const uint8_t **ret_data, size_t *ret_len,
                  struct refusal *ret_why) __attribute__((warn_unused_result));

/* What a server sends until its first ReadyForQuery. */

#define MSG_LOGIN_MAX 30000u /* for msg_read(): what libpq takes of any short message */

#define MSG_KEY_MIN 4u
#define MSG_KEY_MAX 256u

enum msg_auth {
    MSG_AUTH_OK = 0,
    MSG_AUTH_SASL = 10,
}; /* every other number is possible too */

struct msg_key {
    uint32_t pid;
    const uint8_t *key; /* 4..256 bytes */
    size_t key_len;
};

struct msg_setting {
    const char *name, *value; /* ended by NUL */
};

/* An error or a notice, cut to size, as foreign as it came: str_show() before it is logged. */
struct msg_error {
    char severity[16]; /* not localized where the server sends that; "ERROR" if there is none */
    char sqlstate[6];  /* five of [0-9A-Z]; "XX000" if there is none */
    char message[480]; /* never empty */
    char detail[480];
    char hint[480];
    bool whole; /* well formed: a client may be sent the very bytes */
};

struct msg_versions {
    uint32_t newest;
    uint32_t n; /* options that the server did not know; so many strings were there */
};

/* Each is for a message of the type named; -1 with ERR_PEER when the body is not that. */
int msg_read_auth(const struct msg *m, uint32_t *ret_type, struct err *e)
    __attribute__((warn_unused_result)); /* R */
int msg_read_key(const struct msg *m, struct msg_key *ret, struct err *e)
    __attribute__((warn_unused_result)); /* K */
int msg_read_setting(const struct msg *m, struct msg_setting *ret, struct err *e)
    __attribute__((warn_unused_result)); /* S */
int msg_read_ready(const struct msg *m, char *ret_status, struct err *e)
    __attribute__((warn_unused_result)); /* Z: I, T or E */
int msg_read_versions(const struct msg *m, struct msg_versions *ret, struct err *e)
    __attribute__((warn_unused_result)); /* v */
/* E and N: whatever the body is, something can be said of it. */
void msg_read_error(const struct msg *m, struct msg_error *ret);

/* Writers: each appends one whole message, or returns false and leaves b as it was. */

struct msg_notice {
    const char *severity;                /* "FATAL", "ERROR", "WARNING", "NOTICE" */
    const char *sqlstate;                /* "XX000" is put where it is not one */
    const char *message, *detail, *hint; /* detail and hint may be NULL or empty */
};

#define MSG_PUT __attribute__((warn_unused_result))

/* Texts may be anything: control bytes (but newline), bidirectional overrides and what is not
 * UTF-8 are shown as \xNN, and what passes 1000 bytes is cut. */
bool msg_put_error(struct buf *b, const struct msg_notice *n) MSG_PUT;
bool msg_put_notice(struct buf *b, const struct msg_notice *n) MSG_PUT;
bool msg_put_refusal(struct buf *b, const struct refusal *why) MSG_PUT; /* as FATAL */
/* Protocol 2.0: one text, no fields. */
bool msg_put_old_error(struct buf *b, const char *message) MSG_PUT;

bool msg_put_ssl_answer(struct buf *b, bool yes) MSG_PUT; /* to SSLRequest and GSSENCRequest */
bool msg_put_auth_ok(struct buf *b) MSG_PUT;
bool msg_put_auth_sasl(struct buf *b, bool plus) MSG_PUT; /* offers -PLUS first, if plus */
bool msg_put_sasl_continue(struct buf *b, const void *data, size_t len) MSG_PUT;
bool msg_put_sasl_final(struct buf *b, const void *data, size_t len) MSG_PUT;
bool msg_put_key(struct buf *b, uint32_t pid, const uint8_t key[4]) MSG_PUT;
bool msg_put_setting(struct buf *b, const char *name, const char *value) MSG_PUT;
bool msg_put_ready(struct buf *b, char status) MSG_PUT;
bool msg_put_query(struct buf *b, const char *sql) MSG_PUT;
bool msg_put_terminate(struct buf *b) MSG_PUT;
