/*
 * groups.h: one control group per pod, in whatever form this host has them.
 *
 * Pods are named by server id below "dormouse-<hub key>", in each hierarchy that there is: v2 with
 * controllers, v1 with one mount per controller, or v1 for the limits and an empty v2 for its
 * cgroup.kill. No other group is ever written to, except that cgroup.subtree_control of our parent
 * may get controllers enabled. A limit the host cannot enforce is missing from box_groups_limits(),
 * never an error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct box_groups;

enum {
    BOX_LIMITS_MEMORY = 1u << 0,
    BOX_LIMITS_SWAP = 1u << 1, /* swap counts, or is off: the memory limit has no back door */
    BOX_LIMITS_CPU = 1u << 2,
    BOX_LIMITS_PIDS = 1u << 3,
    BOX_KILLS_AT_ONCE = 1u << 4, /* cgroup.kill; otherwise processes are killed one by one */
    BOX_LIMITS_IO = 1u << 5,     /* shares of a disk whose scheduler knows any */
};

#define BOX_UNKNOWN  UINT64_MAX
#define BOX_PIDS_MAX 16384 /* more processes than any pod may have */

/* 0: no limit. */
struct box_limits {
    uint64_t memory;
    uint32_t cpu_milli;    /* 1000 is one core */
    uint32_t weight_milli; /* share when all want the CPU, or a disk; 0: as cpu_milli */
    uint32_t pids;
};

/* BOX_UNKNOWN where this host does not tell. */
struct box_usage {
    uint64_t memory, memory_peak, oom_kills, pids, cpu_us;
};

/*
 * Find the hierarchies and make our parent in each. parent is the path of a delegated v2 group
 * below its mount ("/system.slice/dormouse-pods.service"), or NULL for the top.
 */
struct box_groups *box_groups_open(const char *hub_key, const char *parent, struct err *e);
/* The same from given texts of mountinfo, for tests. */
struct box_groups *box_groups_open_from(const char *mountinfo, const char *hub_key,
                                        const char *parent, struct err *e);
/* Groups and processes stay. */
void box_groups_close(struct box_groups *g);
/* Remove our parents as well, if no pod is left in them. */
void box_groups_purge(struct box_groups *g);

uint32_t box_groups_limits(const struct box_groups *g); /* BOX_LIMITS_* | BOX_KILLS_AT_ONCE */

/* Make the group, or take the one left over, and set its limits. After failure remove() it. */
int box_groups_make(const struct box_groups *g, const char *id, const struct box_limits *limits,
                    struct err *e);
/* Change the limits of a living group. */
int box_groups_limit(const struct box_groups *g, const char *id, const struct box_limits *limits,
                     struct err *e);
/*
 * Descriptor of the group's v2 directory, for clone3(CLONE_INTO_CGROUP); -1 where there is none. A
 * process that is born there spares the host the lock over all process groups that every move
 * between v2 groups takes: ten milliseconds of a wake.
 */
int box_groups_birthplace(const struct box_groups *g, const char *id);
/* The calling process enters those it was not born in; its children are born there. */
int box_groups_join(const struct box_groups *g, const char *id, struct err *e);

/* Host pids in the group; how many were written, at most max (more are not an error). */
int box_groups_pids(const struct box_groups *g, const char *id, pid_t *ret_pids, size_t max,
                    struct err *e);
/*
 * SIGKILL to all that is in the group. Returns how many were still there at the end: they die a
 * little later, so call remove() again until it says 0. A group that does not exist holds none.
 */
int box_groups_kill(const struct box_groups *g, const char *id, struct err *e);
/* 0: it is gone from every hierarchy (or never was). 1: something in it still lives. */
int box_groups_remove(const struct box_groups *g, const char *id, struct err *e);
int box_groups_usage(const struct box_groups *g, const char *id, struct box_usage *ret_usage,
                     struct err *e);

/* Of all pods together; 0: no limit. */
int box_groups_limit_all(const struct box_groups *g, uint64_t memory, struct err *e);
int box_groups_usage_all(const struct box_groups *g, struct box_usage *ret_usage, struct err *e);

/*
 * No process of it runs from here to the thaw, and none that is born in it meanwhile. Waits some
 * milliseconds for the kernel to say so; after failure it is thawed. ERR_MISSING: not on this host.
 */
int box_groups_freeze(const struct box_groups *g, const char *id, struct err *e);
/* Also of one that is not frozen, or not there. */
int box_groups_thaw(const struct box_groups *g, const char *id, struct err *e);
/* Can a frozen group's memory be asked back? Then do; it can take seconds: for a child. */
bool box_groups_reclaims(const struct box_groups *g);
int box_groups_reclaim(const struct box_groups *g, const char *id, struct err *e);

typedef int (*box_groups_fn)(void *owner, const char *id, struct err *e);
/* Each pod's id once, in no order; stops at fn's first -1. fn may remove the group. */
int box_groups_list(const struct box_groups *g, box_groups_fn fn, void *owner, struct err *e);
