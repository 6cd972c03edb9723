/*
 * tree.h: directories that belong to users, copied, counted and removed. No link in them is
 * followed, nothing in them is opened that could block, and no other file system is entered. Nobody
 * may write into them meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define TREE_DEPTH_MAX 256 /* directories in directories; more are not copied: ERR_LIMIT */

struct tree_copy {
    uid_t uid; /* whose everything in the copy is */
    gid_t gid;
    uint64_t skipped; /* devices, FIFOs and sockets: not copied */
    bool copies;      /* these two file systems share no blocks: not asked for again */
};

/*
 * What is in directory from into the empty directory to, which gets from's mode and times as well.
 * Holes stay holes; hard links become copies; set-user-id and set-group-id bits of files, which
 * mean nothing on our mounts, and extended attributes are left behind. Not synced.
 */
int tree_copy(int from, int to, struct tree_copy *c, struct err *e);
/* Remove directory name in dir_fd and what is in it, however deep. Missing is success; ERR_BUSY
 * when something is mounted in it. */
int tree_remove(int dir_fd, const char *name, struct err *e);
/* Bytes on disk of what is in the directory. Blocks that are shared count. */
int tree_used(int dir_fd, uint64_t *ret_used, struct err *e);
/* Can files in this directory share blocks? */
bool tree_shares(int dir_fd);
