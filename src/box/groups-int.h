/* groups-int.h: the hierarchies found on this host; for groups*.c alone. */
#pragma once

#include <limits.h>

#include "groups.h"

#define BOX_TREES_MAX 8
#define BOX_NAME_MAX  64

enum box_controller {
    BOX_MEMORY = 1u << 0,
    BOX_CPU = 1u << 1,
    BOX_CPUACCT = 1u << 2,
    BOX_PIDS = 1u << 3,
    BOX_FREEZER = 1u << 4,
    BOX_IO = 1u << 5,
};

struct box_tree {
    char mount[256];
    bool v2;
    uint32_t controllers; /* enum box_controller; of v2, those its children of ours really have */
    int parent_fd;        /* owned: our "dormouse-<hub>"; -1 before it is made */
};

struct box_groups {
    struct box_tree trees[BOX_TREES_MAX];
    size_t n;
    char name[BOX_NAME_MAX]; /* dormouse-<hub key> */
    char parent[256];        /* below the v2 mount, without leading slash; may be empty */
    uint32_t limits;
};

/* The cgroup mounts named in a mountinfo text that carry something we use. Pure. */
void box_trees_find(const char *mountinfo, struct box_groups *g);

/* The tree that has this controller; NULL: none. */
const struct box_tree *box_tree_with(const struct box_groups *g, uint32_t controller);
bool box_has(int dir_fd, const char *path);
/* Where the share of the disks is written; NULL: this host has none. */
const char *box_io_file(const struct box_tree *tree);
/* "<id>/<file>"; false when it does not fit. */
bool box_group_path(char *at, size_t size, const char *id, const char *file);
bool box_id_ok(const char *id);
int box_id_check(const char *id, struct err *e);
