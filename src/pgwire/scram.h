/*
 * scram.h: the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 5929), as
 * PostgreSQL speaks it, without any I/O.
 *
 * Someone who does not exist is led through the very same exchange, with a salt that stays the
 * same for the name, and fails at the end like a wrong password.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "message.h"

#define SCRAM_ITERATIONS     4096u
#define SCRAM_ITERATIONS_MAX 100000u
#define SCRAM_SALT_LEN       16u
#define SCRAM_SALT_MAX       64u
#define SCRAM_KEY_LEN        32u
#define SCRAM_PASSWORD_MAX   1024u
#define SCRAM_NONCE_MAX      1024u /* bytes of the client's nonce */
/* "SCRAM-SHA-256$" iterations ":" salt "$" StoredKey ":" ServerKey, with NUL */
#define SCRAM_VERIFIER_SIZE 224u

/* What is kept of a password: the text that pg_authid keeps. */

struct scram_verifier {
    uint32_t iterations;
    uint8_t salt[SCRAM_SALT_MAX];
    size_t salt_len;
    uint8_t stored_key[SCRAM_KEY_LEN];
    uint8_t server_key[SCRAM_KEY_LEN];
};

/* Exactly PostgreSQL's form, iterations 1..100000, salt 1..64 bytes; else -1 (ERR_INPUT). */
int scram_verifier_parse(const char *text, struct scram_verifier *ret, struct err *e)
    __attribute__((warn_unused_result));
/*
 * What PostgreSQL would store for this password (bytes without NUL, 1..SCRAM_PASSWORD_MAX of them)
 * and salt. ret_text holds an empty string after failure. Takes milliseconds: it is meant to.
 */
int scram_verifier_make(const char *password, size_t len, const uint8_t salt[SCRAM_SALT_LEN],
                        uint32_t iterations, char ret_text[SCRAM_VERIFIER_SIZE], struct err *e)
    __attribute__((warn_unused_result));

/* One exchange. */
struct scram_setup {
    const char *verifier;    /* NULL, or not a verifier: nobody gets in, and nobody can tell */
    const uint8_t *mock_key; /* a secret of the hub; the salt of those who do not exist */
    size_t mock_key_len;
    const char *name; /* as the client wrote it: chooses the salt, is named in the failure */
    bool plus;        /* the client chose SCRAM-SHA-256-PLUS (see sasl_initial) */
    const uint8_t *cert_hash; /* tls-server-end-point of our certificate; NULL: -PLUS not offered */
    size_t cert_hash_len;     /* up to 64 */
    const char *nonce;        /* our half; NULL: random, as it must be outside of tests */
};

enum scram_verdict {
    SCRAM_CONTINUE, /* send the reply as SASLContinue, then step with the next message */
    SCRAM_OK,       /* send the reply as SASLFinal, then AuthenticationOk */
    SCRAM_FAILED,   /* *ret_why says why; the exchange is over */
};

struct scram;

/* Copies what it needs from setup. Begin it when the client has chosen its mechanism. */
struct scram *scram_new(const struct scram_setup *setup) __attribute__((returns_nonnull));
/* One message of the client; data NULL is an initial response without data. The reply belongs to s
 * and lives until the next step. A step after OK or FAILED fails. */
enum scram_verdict scram_step(struct scram *s, const void *data, size_t len, const char **ret_reply,
                              struct refusal *ret_why) __attribute__((warn_unused_result));
struct scram *scram_free(struct scram *s); /* wipes; returns NULL; s may be NULL */
