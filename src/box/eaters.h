/*
 * eaters.h: who in a pod uses how much memory, and holding one of them for a signal.
 *
 * What a process says about itself (its name, its arguments) is its user's to write, and reading
 * some of it waits for the process. So only numbers of the kernel's are read here: sizes, parents
 * and which signals have handlers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct box_groups;

struct box_eater {
    pid_t pid;            /* on the host; it may be another's by the time it is read */
    uint64_t own, shared; /* bytes in memory */
};

/* Every process of the pod, in no order; how many were written, at most max. Of the shared part
 * the files it has mapped are not told apart. */
int box_eaters(const struct box_groups *g, const char *id, struct box_eater *ret, size_t max,
               struct err *e);
/* What one process has now, of its own and in shared memory, without files; 0 when it is gone. */
struct box_eater box_eater_now(pid_t pid);

enum box_eater_kind {
    BOX_EATER_PILLAR,  /* process 1, the payload, or a child of the payload's that a signal harms */
    BOX_EATER_SESSION, /* a child of the payload's that SIGINT and SIGTERM ask to stop */
    BOX_EATER_PROGRAM, /* whatever else runs there */
};

struct box_eater_held {
    int fd; /* owned pidfd, or -1 */
    enum box_eater_kind kind;
    bool dying; /* it was killed, and has not got round to it */
    pid_t inside;
};

/*
 * payload: the pod's, as box_look() has found it. ERR_NOT_FOUND when the process has left. After
 * success the pidfd is the process that was judged, whatever its number means later.
 */
int box_eater_hold(const struct box_groups *g, const char *id, pid_t pid, pid_t payload,
                   struct box_eater_held *ret, struct err *e);
/*
 * Before all others of its pod, or (false) as all of them: with a hundred that want the processor,
 * one that is to give its memory back gets to it too late. By number, so it is only done while the
 * pidfd lives; and it means nothing beyond the pod, whose share of the processors is another
 * matter.
 */
void box_eater_hurry(const struct box_eater_held *held, pid_t pid, bool on);
