/* visit.h: a session of ours in a server that is its owner's. Inside this folder only. */
#pragma once

#include "client.h"

/*
 * Log in as role. database NULL: the role's own, else postgres, else template1. What ALTER ROLE or
 * ALTER DATABASE has set for such sessions does not reach ours, and names mean pg_catalog's; texts
 * come and go as the bytes the server has. On failure ret->sqlstate is the server's refusal, or ""
 * when there was none.
 */
int pg_visit(const struct pg_dial *way, const char *role, const char *database, uint64_t deadline,
             struct pg_client *ret, struct err *e);
