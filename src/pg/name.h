/* name.h: the first wake of a clone, in which the owner gets their name. */
#pragma once

#include <stdint.h>

#include "base/err.h"

#define PG_NAME_MAX 63 /* bytes; PostgreSQL would silently cut a longer one */

/* ERR_INPUT when no role can have this name, or it is one of our own. */
int pg_name_check(const char *name, struct err *e);

/*
 * Takes fd, a socket connected to the server. Renames the bootstrap superuser and its database to
 * name, and removes the role it did so with: all in one transaction, so that a crash at any point
 * leaves a server that is either still to be named or named. Durable on return.
 * Returns 1 when it did so now, 0 when it had been done before. Where a database of that name
 * exists already (a dataset, "postgres"), that one becomes the user's own and the empty one is
 * dropped.
 */
int pg_name_owner(int fd, const char *name, uint64_t deadline, struct err *e);
