/*
 * doing.h: what goes on in a server that nobody speaks to, as it tells it itself.
 *
 * For jobs: blocking, with a deadline. Its owner can make it lie, but only about their own server,
 * and only in the words of this table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client.h"

#define PG_DOINGS(X)                                 \
    X(NOTHING, "")                                   \
    X(STATEMENT, "a statement is running")           \
    X(TRANSACTION, "a transaction is open")          \
    X(SENDER, "a replica or a backup reads from it") \
    X(VACUUM, "autovacuum is at work")               \
    X(WORKER, "a background worker is at work")

enum pg_doing {
#define X(name, words) PG_DOING_##name,
    PG_DOINGS(X)
#undef X
        PG_DOING_N
};

/* timed: idle sessions are ended after a while, and that clock does not stop with the server. */
int pg_doing(const struct pg_dial *way, const char *superuser, uint64_t deadline,
             enum pg_doing *ret_doing, bool *ret_timed, struct err *e);
/* Pure: read its answer, "<doing> <timed>". */
bool pg_doing_parse(const char *text, enum pg_doing *ret_doing, bool *ret_timed);
const char *pg_doing_words(enum pg_doing doing);
