/* confine.h: from root's child to a process that can do nothing but speak. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/*
 * Take the lock of run_dir/gate, go into that directory for good, become uid and gid without any
 * privilege. After failure the process must end.
 *
 * The locks tell a dormd that did not see us start what it has to wait for. "gate.lock" is of the
 * one that accepts: a second one finds it taken (ERR_BUSY). "gate.alive" is for life, and shared.
 * "gate.keep" is opened, and locked by who retires for as long as it keeps its listeners.
 */
struct confine_locks {
    int accepts, alive, keep; /* owned */
};
int confine(const char *run_dir, uid_t uid, gid_t gid, struct confine_locks *ret_locks,
            struct err *e);
/* The soft limit of descriptors becomes the hard one; returns it. */
int confine_descriptors(struct err *e);
