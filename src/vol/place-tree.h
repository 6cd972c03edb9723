/* place-tree.h: what a directory and an export have in common, which is all but where they are. */
#pragma once

#include "place-int.h"

/* Open the place in the directory top (borrowed), called path. */
int tree_place_open(int top, const struct vol_place_spec *spec, const char *path,
                    struct vol_place *p, struct err *e);
void tree_place_done(struct vol_place *p);
int tree_place_room(const struct vol_place *p, struct vol_space *ret, struct err *e);
const char *tree_place_how(const struct vol_place *p);
int tree_place_make(const struct vol_place *p, const char *id, uint64_t capacity, uid_t uid,
                    gid_t gid, struct err *e);
int tree_place_clone(const struct vol_place *p, const char *from, const char *id, uid_t uid,
                     gid_t gid, struct err *e);
int tree_place_publish(const struct vol_place *p, const char *unfinished, const char *name,
                       struct err *e);
int tree_place_exists(const struct vol_place *p, const char *id, struct err *e);
int tree_place_destroy(const struct vol_place *p, const char *id, struct err *e);
int tree_place_grow(const struct vol_place *p, const char *id, uint64_t capacity,
                    const char *mountpoint, struct err *e);
int tree_place_used(const struct vol_place *p, const char *id, uint64_t *ret_used,
                    uint64_t *ret_capacity, struct err *e);
int tree_place_list(const struct vol_place *p, vol_image_fn fn, void *owner, struct err *e);

#define TREE_OPS                                                                                \
    .room = tree_place_room, .how = tree_place_how, .enforces = false, .make = tree_place_make, \
    .clone = tree_place_clone, .publish = tree_place_publish, .exists = tree_place_exists,      \
    .destroy = tree_place_destroy, .attach = tree_attach, .detach = tree_detach,                \
    .snapshot = tree_snapshot, .replace = tree_replace, .settle = tree_settle,                  \
    .grow = tree_place_grow, .used = tree_place_used, .list = tree_place_list
