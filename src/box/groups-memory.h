/*
 * groups-memory.h: the memory of a pod, or of all pods, as whoever must act before the kernel does
 * wants to know it.
 *
 * Page cache is no need of anybody's: the kernel takes it back before it kills. What counts is what
 * it could only take by killing: "held".
 */
#pragma once

#include "groups.h"

/* BOX_UNKNOWN where this host does not tell; limit 0: there is none. */
struct box_memory {
    uint64_t limit, usage;
    uint64_t held;
    uint64_t oom_kills, processes;
};

enum { BOX_LEVELS_MAX = 8 };

/* id NULL: of all pods together. */
int box_groups_memory(const struct box_groups *g, const char *id, struct box_memory *ret_memory,
                      struct err *e);
/* A descriptor that has one of *ret_events when it is time to look; the caller closes it. */
int box_groups_memory_events(const struct box_groups *g, const char *id, int *ret_fd,
                             uint32_t *ret_events, struct err *e);
/*
 * When that is: when usage passes one of these levels in either direction, when the kernel begins
 * to take memory back, or has killed; as much of it as this host can tell. To be called once for a
 * descriptor, and in a child: v1 waits for all processors at each level, ten milliseconds or so,
 * and v2 may take memory back on the way.
 */
int box_groups_memory_levels(const struct box_groups *g, const char *id, int fd,
                             const uint64_t *levels, size_t n, struct err *e);
/* What one event has left behind, so that the next one is noticed. */
void box_groups_memory_noted(int fd);
