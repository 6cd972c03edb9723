/*
 * barred.h: somebody whom the hub let in, and whom their own server did not. Its owner has dropped
 * their role, or closed their database, or put a library in the way: what can be put right is, and
 * the rest is explained.
 */
#pragma once

#include "dormd/fleet.h"
#include "dormd/hub.h"

struct barred {
    const char *server, *role, *database;
    const char *sqlstate, *message, *hint; /* what the server said */
};

/* In words for who was barred, with what they can do; the SQLSTATE stays the server's. */
void barred_explain(struct hub *h, const struct barred *b, const struct err *tried,
                    struct err *ret);
/* In, but without the rights they had: made good at the next wake. False: nothing to be told. */
bool barred_lowly(struct hub *h, const char *server, const char *role);
/* w is let in as soon as the server has been looked after. -1: that cannot be, and why. */
int barred_mend(struct hub *h, const struct barred *b, struct fleet_waiter *w, struct err *e);
