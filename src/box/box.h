/*
 * box.h: the sandbox ("pod") in which one user's PostgreSQL runs: plan, then do.
 *
 * bubblewrap makes namespaces and mounts; we add the cgroup, the system-call filter, the host uid,
 * the limits and the lock. bubblewrap is exec'ed as the user's host uid, never as root: mounts of a
 * root bubblewrap would be made, and read, with root's eyes whatever `id` says inside.
 *
 * Three processes of bubblewrap's are alive per pod, all of them in its group and of its uid: the
 * monitor (the caller's own child, outside), pid 1 inside (holds the lock, reaps), and the payload
 * (pid 2 inside). The monitor ends with the payload's status; pid 1 stays while a process that the
 * payload left behind lives, so after the monitor's end call box_groups_kill and _remove.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct box_groups;
struct buf;

#define BOX_UID       1000 /* uid and gid inside, the same in every pod */
#define BOX_BINDS_MAX 24
#define BOX_FILES_MAX 16
#define BOX_HOST_MAX  24
#define BOX_MASKS_MAX 64

enum {
    BOX_READ_ONLY = 1u << 0,
    BOX_IF_THERE = 1u << 1, /* skip the bind when its source does not exist */
};

struct box_bind {
    /*
     * Absolute path on the host. With lean_fd no part of it may be a link, and only root must be
     * able to reach it; without, the pod's host uid must.
     */
    const char *from;
    const char *to; /* absolute path inside; its parents are made (root's, 0755) */
    uint32_t flags; /* BOX_READ_ONLY, BOX_IF_THERE */
    bool by_fd;     /* bind fd (O_PATH will do) and verify that it is what got mounted */
    int fd;         /* borrowed; used only with by_fd, `from` is then ignored */
};

/* A file made for the pod, readable by all and writable by none. */
struct box_file {
    const char *to;
    const void *data; /* borrowed */
    size_t len;
};

/* One name of the host's own layout: "/bin" -> "usr/bin", or a directory to show read-only. */
struct box_host_name {
    char path[40];
    char link[96]; /* empty: bind path read-only */
};

enum box_etc_file { BOX_PASSWD, BOX_GROUP, BOX_NSSWITCH, BOX_HOSTS, BOX_ETC_N };

/* An entry of /proc that tells of the host or of other pods: covered by nothing. */
struct box_mask {
    char name[40]; /* below /proc */
    bool directory;
};

/* What every pod sees of the host: /usr, /bin, /lib*, a few entries of /etc. Read once at start. */
struct box_host {
    struct box_host_name names[BOX_HOST_MAX];
    struct box_mask masks[BOX_MASKS_MAX];
    size_t n, n_masks;
};

/* 0: leave as it is. A hard limit is lowered, never raised. Core dumps are always off. */
struct box_rlimits {
    uint64_t nofile, nproc, data;
};

struct box_plan {
    uid_t uid; /* host uid and gid, never 0 */
    gid_t gid;
    const char *group;    /* id of a group made with box_groups_make; NULL: join none */
    const char *user;     /* name of uid 1000 inside: [a-z_][a-z0-9_-]* */
    const char *home;     /* its home directory inside (a bind's, or one that does not exist) */
    const char *hostname; /* [a-z0-9-]+ */
    const char *cwd;      /* inside */
    const struct box_host *host;
    struct box_bind binds[BOX_BINDS_MAX];
    size_t n_binds;
    struct box_file files[BOX_FILES_MAX]; /* besides passwd, group, hosts, nsswitch.conf in /etc */
    size_t n_files;
    const char *const *env;  /* "NAME=value", ends with NULL; nothing else is inherited */
    const char *const *argv; /* payload, absolute path first; every user of the pod can read it */
    uint64_t tmp_size, shm_size; /* bytes of /tmp and /dev/shm; charged to the group as used */
    struct box_rlimits rlimits;
    bool own_net;     /* box_netns_make() has been called: keep that network namespace */
    bool terminals;   /* mount a devpts, so that programs inside can make terminals (1 ms more) */
    int in, out, err; /* descriptors of the payload; -1: /dev/null */
    int lock_fd;      /* its flock is kept by pid 1 of the pod, and by nobody else; -1: none */
    int seccomp_fd;   /* of box_seccomp_open; -1 only in tests */
    int lean_fd;      /* of box_lean_open; -1: start from the mounts of the caller */
};

/*
 * The small mount namespace that pods start from, made once per daemon and given to every plan: the
 * time of a start then does not grow with the number of mounted volumes. Descriptor of it.
 */
int box_lean_open(struct err *e);

/* Everything empty, descriptors -1, /tmp 64 MiB, /dev/shm 64 MiB. */
void box_plan_init(struct box_plan *p);
void box_plan_bind(struct box_plan *p, const char *from, const char *to, uint32_t flags);
void box_plan_file(struct box_plan *p, const char *to, const char *text);

/* Look at the host once. root is "/" except in tests. */
int box_host_read(const char *root, struct box_host *ret_host, struct err *e);
/* Forget masks of entries that are gone: a module was unloaded since. */
void box_host_refresh(struct box_host *host);

/* Refuse a plan that could not be meant: uid 0, relative paths, "..", names with odd bytes. */
int box_plan_check(const struct box_plan *p, struct err *e);

/* Numbers that descriptors have in bubblewrap; -1: not given. */
struct box_fds {
    int lock, seccomp;
    int etc[BOX_ETC_N]; /* contents of box_etc */
    int files[BOX_FILES_MAX], binds[BOX_BINDS_MAX];
};

/* bubblewrap's options, NUL after each. Pure: nothing is opened or looked up. False: args full. */
bool box_args(const struct box_plan *p, const struct box_fds *fds, struct buf *args)
    __attribute__((warn_unused_result));
/* What the pod's own file of /etc holds, e.g. passwd with the user's name. False: text full. */
bool box_etc(const struct box_plan *p, enum box_etc_file which, struct buf *text)
    __attribute__((warn_unused_result));

/*
 * Become the pod: join the group, set the limits, drop every privilege, exec bubblewrap.
 *
 * For a freshly forked child of a process without threads. Returns only on failure, in a state fit
 * for nothing but reporting e and _exit. The caller's descriptors are left open but close on exec.
 * bubblewrap says what it could not do on plan->err and ends with 1.
 */
int box_exec(const struct box_plan *p, const struct box_groups *groups, struct err *e);
