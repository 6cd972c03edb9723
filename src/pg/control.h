/*
 * control.h: what a data directory says of itself in global/pg_control, without its server.
 *
 * Read it while the server is gone: it rewrites the file in place. Of PostgreSQL 13 to 18, in the
 * byte order of this machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PG_CONTROL_FILE "global/pg_control"

enum pg_state { /* PostgreSQL's numbers */
                PG_STATE_STARTING,
                PG_STATE_SHUT_DOWN,
                PG_STATE_SHUT_DOWN_IN_RECOVERY,
                PG_STATE_SHUTTING_DOWN,
                PG_STATE_IN_CRASH_RECOVERY,
                PG_STATE_IN_ARCHIVE_RECOVERY,
                PG_STATE_IN_PRODUCTION,
                PG_STATE_N
};

struct pg_control {
    uint64_t system; /* identifier: all clones of a template share it */
    uint32_t version, catalog;
    enum pg_state state;
    int64_t time;        /* of the last update, seconds since 1970 */
    uint64_t checkpoint; /* LSN of the last checkpoint's record */
    uint64_t redo;       /* where a recovery would begin: the same after a clean end */
    uint32_t timeline;
    uint64_t next_xid; /* with its epoch in the upper half */
    uint32_t checksum; /* version of data checksums; 0: none */
    uint32_t segment;  /* bytes of a WAL segment */
};

/*
 * Of a data directory. ERR_INTERNAL "... is damaged": missing, cut, or its checksum is wrong; such
 * data do not start. ERR_MISSING: whole, but of a version that is not known here.
 */
int pg_control_read(int data_fd, struct pg_control *ret, struct err *e);
/* The same of the file's bytes. Pure. */
int pg_control_parse(const void *bytes, size_t len, struct pg_control *ret, struct err *e);
