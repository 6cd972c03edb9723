/*
 * shared.h: one image for several servers at once (ReadWriteMany, ReadOnlyMany). It is mounted
 * once, with the ids of the disk, where only root gets to; each server has a view of that mount
 * with its own ids, so that to each of them everything in it is their own.
 */
#pragma once

#include "vol.h"

struct vol_shared {
    const char *image;
    const char *base; /* absolute: where it is mounted; its parent must be root's alone, 0700 */
    const char *mountpoint; /* of the view, as in vol_attach */
    uid_t uid;
    gid_t gid;
    bool read_only; /* the view, not the base */
};

/* Attach and detach of one image must not run at the same time: the caller's lock. */
int vol_shared_attach(const struct vol_pool *p, const struct vol_shared *want, struct err *e);
/* The base goes with the last view. */
int vol_shared_detach(const char *mountpoint, const char *base, struct err *e);
