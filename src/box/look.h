/*
 * look.h: what runs in a pod, seen from outside: for adoption after a restart of ours, for signals,
 * and to verify that confinement is what it should be.
 *
 * Pids are reused, so every process is held by a pidfd, and its membership in the group is checked
 * again after the pidfd was opened.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct box_groups;

struct box_seen {
    pid_t init, payload;     /* host pids; 0: not there */
    int init_fd, payload_fd; /* owned pidfds; -1 */
    size_t count;            /* processes in the group, bubblewrap's own included */
};

enum box_who { BOX_INIT, BOX_PAYLOAD };

/* Release with box_seen_done, also after failure. */
int box_look(const struct box_groups *g, const char *id, struct box_seen *ret_seen, struct err *e);
void box_seen_done(struct box_seen *s);

/*
 * Every process of the group has this uid and gid, four times each, no other group and no
 * capability (pid 1 inside excepted); ERR_INTERNAL names the first that has not. For a pod whose
 * payload is known to run: earlier, our own child is still on its way to the uid.
 */
int box_verify(const struct box_groups *g, const char *id, uid_t uid, gid_t gid, struct err *e);

/* ERR_NOT_FOUND when it is not there (any more). */
int box_signal(const struct box_groups *g, const char *id, enum box_who who, int signal_number,
               struct err *e);
