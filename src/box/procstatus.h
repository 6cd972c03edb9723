/* procstatus.h: /proc/PID/status, of which the process itself writes a part (its name). Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define PROCSTATUS_LEVELS 33 /* the kernel nests pid namespaces 32 deep */
#define PROCSTATUS_SIZE   65536

struct procstatus {
    char state; /* 'R', 'S', 'Z', ... */
    pid_t pid, parent;
    uid_t uid[4]; /* real, effective, saved, file system */
    gid_t gid[4];
    pid_t ns_pid[PROCSTATUS_LEVELS]; /* ours first, the innermost last */
    size_t n_ns_pid;
    size_t n_groups, n_foreign_groups; /* supplementary; those that are not gid[0] */
    uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
    unsigned no_new_privs, seccomp;
    /* bit n-1 is signal n; 0 where the line is missing: it has a handler; the thread's, the
     * process's */
    uint64_t sig_caught, sig_pending[2];
    uint64_t rss_anon, rss_shmem; /* bytes; 0 where the line is missing */
};

/* All of the fields must be there, once each and in range. */
int procstatus_parse(const char *text, size_t len, struct procstatus *ret_status, struct err *e);
/* ERR_NOT_FOUND when there is no such process (any more). */
int procstatus_read(pid_t pid, struct procstatus *ret_status, struct err *e);
