/*
 * adopt.h: PostgreSQL data that somebody else made, found in a volume we are given.
 *
 * Nothing found is only said of a volume that is empty: whoever then runs initdb in it destroys
 * nothing. Whose data they are stays as it is; a role for the owner is added.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "client.h"
#include "control.h"

struct pg_found {
    char where[8]; /* below the volume: "data", "." (its root), "pgdata" */
    uid_t uid;     /* of the data directory: the server must run as it, or be mapped to it */
    gid_t gid;
    enum pg_state state; /* PG_STATE_SHUT_DOWN after a clean end */
    /* postmaster.pid is there: a server runs with these data in some namespace, or ended without
     * its goodbye. Two servers on the same data destroy them. */
    bool locked;
};

/*
 * Look into the directory of a volume, following no link. 1: found. 0: the volume is empty, but
 * for lost+found or an empty data directory. ERR_CONFIG, in words for the owner: other things are
 * in it; the data are of another major, not whole, or too open for PostgreSQL to start.
 * ERR_INTERNAL: pg_control is damaged.
 */
int pg_adopt_look(int dir_fd, int major, struct pg_found *ret, struct err *e);

/*
 * In a server that is up with adopted data: see to it that the role has LOGIN and SUPERUSER and
 * that a database of its name exists and is its own. Gets in as that role, postgres, one of ours,
 * or a superuser that one of these can name. Other roles stay as they are. May be repeated.
 * Returns 1 when it changed something. ERR_CONFIG: no superuser is known who could log in.
 */
int pg_adopt_roles(const struct pg_dial *way, const char *superuser, uint64_t deadline,
                   struct err *e);
