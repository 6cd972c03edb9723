/* host.h: static volumes: a directory of the host that somebody made beforehand, shown to a pod. */
#pragma once

#include "vol.h"

struct vol_host {
    const char *path;       /* absolute, on the host; its last parts are made when missing */
    const char *mountpoint; /* made 0711; the directory appears as <mountpoint>/pod */
    uid_t uid;              /* whose it is for the pod, host ids */
    gid_t gid;
    bool read_only;
};

/*
 * Show path at <mountpoint>/pod, nosuid and nodev, without what is mounted below it. A path that
 * does not exist is made, 0700 and owned by uid (what is missing above it, 0711 and root's); one
 * that belongs to other ids is shown through an id map from its owner's to these (ERR_MISSING where
 * its file system cannot, with the chown to type). One of root's can only be shown read-only, and
 * as it is. No part of the path may be a link or be writable by anybody but root, the owner and
 * uid. Already shown is success.
 */
int vol_host_attach(const struct vol_host *want, struct err *e);
int vol_host_detach(const char *mountpoint, struct err *e);
/* A name for the lock of what is at path, which must be there: two names of one directory give the
 * same. `at` has VOL_NAME_MAX + 1 bytes. */
int vol_host_lock_name(const char *path, char *at, struct err *e);
