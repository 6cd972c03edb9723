/* place-int.h: what the drivers of storage classes share. */
#pragma once

#include "place.h"
#include "tree.h"
#include "vol-int.h"

struct vol_place_ops {
    int (*open)(const struct vol_place_spec *spec, struct vol_place *p, struct err *e);
    void (*done)(struct vol_place *p);
    int (*close)(const struct vol_place_spec *spec, struct err *e);
    int (*room)(const struct vol_place *p, struct vol_space *ret, struct err *e);
    const char *(*how)(const struct vol_place *p);
    bool enforces;
    int (*make)(const struct vol_place *p, const char *id, uint64_t capacity, uid_t uid, gid_t gid,
                struct err *e);
    int (*clone)(const struct vol_place *p, const char *from, const char *id, uid_t uid, gid_t gid,
                 struct err *e);
    int (*publish)(const struct vol_place *p, const char *unfinished, const char *name,
                   struct err *e);
    int (*exists)(const struct vol_place *p, const char *id, struct err *e);
    int (*destroy)(const struct vol_place *p, const char *id, struct err *e);
    int (*attach)(const struct vol_place *p, const struct vol_attach *want, struct err *e);
    int (*detach)(const struct vol_place *p, const char *mountpoint, struct err *e);
    int (*snapshot)(const struct vol_place *p, const char *id, const char *as,
                    const char *mountpoint, struct vol_shot *ret, struct err *e);
    int (*replace)(const struct vol_place *p, const char *id, const char *from, const char *keep_as,
                   uid_t uid, gid_t gid, struct err *e);
    int (*settle)(const struct vol_place *p, const char *id, struct err *e); /* >= 0: success */
    int (*grow)(const struct vol_place *p, const char *id, uint64_t capacity,
                const char *mountpoint, struct err *e);
    int (*used)(const struct vol_place *p, const char *id, uint64_t *ret_used,
                uint64_t *ret_capacity, struct err *e);
    int (*list)(const struct vol_place *p, vol_image_fn fn, void *owner, struct err *e);
};
extern const struct vol_place_ops place_image_ops, place_directory_ops, place_nfs_ops;

/* ---- place.c ---- */

/* "disk <path> is not there". */
int place_gone(const struct vol_place_spec *spec, const char *path, struct err *e);
/*
 * The identity in the directory: 1, or 0 when there is none and none was recorded. Another than the
 * recorded one, or of another kind or hub, is refused.
 */
int place_identity(int dir_fd, const struct vol_place_spec *spec, const char *path,
                   struct poolid *ret_id, struct err *e);

/* ---- place-mount.c: directories shown elsewhere ---- */

/* A mount, which is nowhere yet, of the directory and no mount in it. namespace: of the id map, -1:
 * none. */
int place_mount(int dir_fd, unsigned attributes, int namespace, const char *what, struct err *e);
/* May the mount be idmapped, and is root let in? Asked by doing it. */
bool place_idmaps(int dir_fd);
/* Where in this mount namespace the directory, which is called name, is the root of a mount. 1, 0,
 * or -1. */
int place_mounted(const struct stat *dir, const char *name, struct err *e);
/* What the root of the mount at fd is called, in a directory of volumes. 1, 0: not in one, or -1.
 */
int place_mount_name(int fd, char at[VOL_NAME_MAX + 1], struct err *e);
int place_unmount(const char *path, const char *what, struct err *e);

/* ---- tree-volume.c: a volume is a directory ---- */

#define TREE_VOLUMES                                                               \
    "volumes" /* in the directory of the class. Only root gets in: on the disk all \
                 volumes may belong to one and the same id of the host */

enum tree_mode {
    TREE_MODE = 0711,
    TREE_SEALED = 0511,
};
bool tree_is_sealed(const struct stat *st);
/* 1, 0, or -1. A volume that is only missing because a tree_replace() was killed is found. */
int tree_stat(const struct vol_place *p, const char *id, struct stat *ret_st, struct err *e);
int tree_open(const struct vol_place *p, const char *id, struct stat *ret_st, struct err *e);
/* ERR_BUSY when it is attached anywhere. */
int tree_idle(const char *id, const struct stat *st, const char *what, struct err *e);
int tree_sync(const struct vol_place *p, const char *id, struct err *e);
int tree_seal(const struct vol_place *p, const char *id, struct err *e);
/* A draft of volume id, empty, with its directories, "pod" for that pair. What an earlier one left
 * is removed. */
int tree_draft(const struct vol_place *p, const char *id, uid_t uid, gid_t gid, struct err *e);
/* Copy one of VOL_DIR_* of a volume into a draft. */
int tree_fill(int from, int draft, const char *dir, uid_t uid, gid_t gid, struct err *e);
/* A draft that is a whole copy of from. */
int tree_draft_of(const struct vol_place *p, int from, const char *id, uid_t uid, gid_t gid,
                  struct err *e);
/* The draft gets its mode and, durably, a name. */
int tree_name(const struct vol_place *p, int draft, const char *id, const char *file, mode_t mode,
              struct err *e);
/* Who has "pod" on the disk. */
void tree_owner(const struct vol_place *p, uid_t *uid, gid_t *gid);

int tree_attach(const struct vol_place *p, const struct vol_attach *want, struct err *e);
int tree_detach(const struct vol_place *p, const char *mountpoint, struct err *e);
int tree_snapshot(const struct vol_place *p, const char *id, const char *as, const char *mountpoint,
                  struct vol_shot *ret, struct err *e);
int tree_replace(const struct vol_place *p, const char *id, const char *from, const char *keep_as,
                 uid_t uid, gid_t gid, struct err *e);
/* Names beside a volume's: no volume can be called so. */
enum tree_aside {
    TREE_NEW, /* a draft */
    TREE_OLD, /* being removed */
};
#define TREE_FILE_SIZE (VOL_NAME_MAX + sizeof(".new-"))
int tree_file(const char *id, enum tree_aside aside, char at[TREE_FILE_SIZE], struct err *e);
/* Finish or undo what a tree_replace() of id left that was killed. 1: there was something. */
int tree_settle(const struct vol_place *p, const char *id, struct err *e);
