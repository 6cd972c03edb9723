/*
 * client.h: a small PostgreSQL client for our own few statements.
 *
 * Blocking, with one absolute deadline: for jobs. The server belongs to a user: every length it
 * sends is bounded, rows are not kept, and what it says is escaped before it becomes a message.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct pg_client {
    int fd;            /* owned */
    uint64_t deadline; /* clock_ms() */
    struct buf in;
    size_t held, taken; /* bytes of the message last read; all bytes since the statement began */
    char sqlstate[6];   /* of the last statement's error, or the login's; "" when there was none */
};

/* A connected socket, made by whoever knows the way to the server. Returns it, or -1. */
struct pg_dial {
    int (*dial)(void *of, struct err *e);
    void *of;
};

/*
 * Takes fd in any case (a failure closes it) and logs in without a password. What the server
 * reports becomes the message; the kind of the error follows its SQLSTATE.
 */
int pg_client_start(struct pg_client *c, int fd, const char *user, const char *database,
                    uint64_t deadline, struct err *e);
/* One Query message, all its statements; rows are discarded. After an SQL error c is still usable.
 */
int pg_client_exec(struct pg_client *c, const char *sql, struct err *e);
/* The first column of the first row as text. ERR_NOT_FOUND: no row, or NULL in it. */
int pg_client_value(struct pg_client *c, const char *sql, char *ret, size_t size, struct err *e);
/* Says goodbye; safe on a client that failed to start. */
void pg_client_close(struct pg_client *c);

/* Append name as a quoted identifier, or text as a literal, whatever is in it. False: b is full. */
bool pg_put_ident(struct buf *b, const char *name) __attribute__((warn_unused_result));
bool pg_put_literal(struct buf *b, const char *text) __attribute__((warn_unused_result));
