/* confine.h: from root's child to a process that can do nothing but speak. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/*
 * Take the lock of run_dir/gate, go into that directory for good, become uid and gid without any
 * privilege. *ret_lock stays open for life: a second gate finds it taken (ERR_BUSY). After failure
 * the process must end.
 */
int confine(const char *run_dir, uid_t uid, gid_t gid, int *ret_lock, struct err *e);
/* The soft limit of descriptors becomes the hard one; returns it. */
int confine_descriptors(struct err *e);
