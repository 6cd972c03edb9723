/*
 * greedy.h: which query it was that used the memory of its server.
 *
 * Server and log are their owner's: what comes out can be printed, is bounded, and is as true as
 * the owner lets it be. Show it to nobody else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"

struct pg_greedy_ask {
    const struct pg_dial *way;
    const char *superuser; /* logs in */
    int pid;               /* as the server itself knows it */
    int64_t until_ms;      /* since 1970: a query that began later is another one */
    uint64_t deadline;     /* clock_ms() */
};

/* What that session does, or did last; on one line. ERR_NOT_FOUND: nobody knows any more. */
int pg_greedy_query(const struct pg_greedy_ask *ask, char *ret, size_t size, struct err *e);

/*
 * The last time the kernel killed a backend, in what a server said. ret_query: what it was doing,
 * "" if that is not said. ret_place: where in the text, the same for the same text only.
 */
bool pg_greedy_killed(const void *log, size_t len, size_t *ret_place, char *ret_query, size_t size);
