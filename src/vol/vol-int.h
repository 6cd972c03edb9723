/* vol-int.h: what the files of this folder share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
#include "mountinfo.h"
#include "vol.h"

#define VOL_BLOCK 4096 /* of ext4, of XFS' sectors and of both loops: direct I/O wants one size */

/* ---- loopdev.c ---- */

#define LOOPDEV_OURS "dormouse/" /* then the image's name, in the device's lo_file_name */

struct loopdev {
    int fd; /* owned. Until something is mounted from it, closing it makes the device vanish */
    dev_t dev;
    bool direct;
    char path[32];
};

struct loopdev_info {
    bool ours;
    dev_t backing_dev;
    ino_t backing_ino;
    char image[VOL_NAME_MAX + 1]; /* "" unless ours */
};

/* The file fd, open for writing, of the file system of the directory dir_fd: the same, or where
 * that can (XFS) another in its place that does not keep the time of writes. Owned as fd was. */
int loopdev_timeless(int dir_fd, int fd);
/* Give file a loop device that goes by itself with its last user. */
int loopdev_take(int file, const char *image, bool read_only, struct loopdev *ret_loop,
                 struct err *e);
/* The device itself, read-only. */
int loopdev_open(dev_t dev, struct err *e);
/* Who is behind the device. 0 when dev is no loop device, 1 when it is, or -1. */
int loopdev_info(dev_t dev, struct loopdev_info *ret_info, struct err *e);

/* The file behind a device as the kernel prints it; "" when there is none. */
struct loopdev_backing {
    char path[4096];
};
void loopdev_backing(dev_t dev, struct loopdev_backing *ret_backing);
/* Wait until dev no longer has that file behind it: clearing is asynchronous. False: not in time.
 */
bool loopdev_gone(dev_t dev, const struct loopdev_backing *before);

/* Let a millisecond pass between two looks at a condition the kernel cannot announce. */
void wait_a_moment(void);

/* ---- mnt.c ---- */

/* A mount that is nowhere yet; closing the descriptor undoes it. attributes: MOUNT_ATTR_* */
int mnt_make(const char *type, const char *source, bool read_only, unsigned attributes,
             struct err *e);
/* 1 when this kernel has the file system (loading its module if need be), else 0. */
int mnt_type_known(const char *type);
/* Put it at the directory point (any descriptor, O_PATH too). */
int mnt_place(int mnt, int point, const char *path, struct err *e);
/* 1 when path (below dir_fd, or dir_fd itself when "") is the root of a mount, 0, or -1 with errno
 * set. *ret_dev is the device of what is there. */
int mnt_is_root(int dir_fd, const char *path, dev_t *ret_dev);
/* Each mount of this namespace and its line in the kernel's list. > 0 or < 0 ends the walk and is
 * returned. The list is read whole before: what is mounted may be changed meanwhile. */
typedef int (*mnt_fn)(void *arg, const struct mountinfo *m, const char *line, size_t len,
                      struct err *e);
int mnt_each(mnt_fn fn, void *arg, struct err *e);
/* The value of an option of the file system on dev, as /proc/self/mountinfo has it. 1; 0 when it is
 * not set or dev is not mounted (at is "" then); or -1. */
int mnt_option(dev_t dev, const char *option, char *at, size_t size, struct err *e);
/* 1 when the file system on dev, mounted read_only or not, has given up: its disk failed, or it
 * found itself damaged. 0, or -1. */
int mnt_is_broken(dev_t dev, bool read_only, struct err *e);
/* Unmount path, which came from the loop device dev, and see the device gone and without bounds. */
int mnt_undo(const char *path, dev_t dev, const char *what, struct err *e);

/* ---- attach.c ---- */

/* The mountpoint as O_PATH, made 0711 if need be. */
int attach_point(const char *path, struct err *e);
/* Give a mount that is nowhere yet the ids of want. */
int attach_idmap(int mnt, const struct vol_attach *want, struct err *e);

/* ---- hold.c ---- */

/* The device goes back to what any has: whoever gets it next is not ours. Returns the bytes that
 * vol_bound_dirty() had set, 0 if none. */
uint64_t dirty_free(dev_t dev);
int dirty_bound(dev_t dev, uint64_t bytes, struct err *e);

/* ---- idmap.c ---- */

/* A user namespace in which disk ids 0 and VOL_DISK_* are host ids 0 and uid, gid. */
int idmap_open(uid_t uid, gid_t gid, struct err *e);
/* The same for any pair of disk ids but root's. */
int idmap_open_from(uid_t disk_uid, gid_t disk_gid, uid_t uid, gid_t gid, struct err *e);

/* ---- image.c ---- */

/* <name>.img into at (VOL_FILE_SIZE bytes). ERR_INPUT when name is not a good one. */
#define VOL_FILE_SIZE (VOL_NAME_MAX + sizeof(".img"))
int image_file(const char *name, char *at, struct err *e);
/* 1 and *ret_st, 0 when there is none, or -1. */
int image_stat(const struct vol_pool *p, const char *name, struct stat *ret_st, struct err *e);
/* Make the names in the pool durable. */
int image_sync(const struct vol_pool *p, const char *name, struct err *e);
int image_open(const struct vol_pool *p, const char *name, int flags, struct err *e);
/* Take the image for a loop device: for as long as anybody has this open file, the device included,
 * nobody else gets it for writing. */
int image_claim(int fd, const char *name, bool read_only, struct err *e);

/* Mode 0400 and, best effort, immutable; durable. */
int image_seal(int fd, const char *name, struct err *e);
void image_set_immutable(int fd, bool immutable);

/* ---- make.c ---- */

int image_check_capacity(const char *name, uint64_t capacity, struct err *e);

/* ---- draft.c ---- */

/* An image without a name. mode 0400: it is sealed once it has one. */
int draft_open(const struct vol_pool *p, const char *name, mode_t mode, struct err *e);
/* A draft with the blocks of the sealed image from. */
int draft_clone(const struct vol_pool *p, const char *from, const char *name, struct err *e);
/* The blocks of file from into the empty file to, shared where the pool can. -1 with errno. */
int draft_share(const struct vol_pool *p, int from, int to);
/* The same by copying, holes kept, between any two files. -1 with errno. */
int draft_copy_sparse(int from, int to, off_t size);
int draft_make_sparse(int fd, uint64_t capacity, struct err *e);
/* Do some work in its file system, in a mount that is nowhere: whatever happens, closing it is
 * enough. */
int draft_furnish(int fd, const char *name, int (*work)(int root, struct err *e), struct err *e);
/* -1 with errno. */
int draft_link(const struct vol_pool *p, int fd, const char *file);
enum draft_with {
    DRAFT_WRITTEN, /* something was written into it */
    DRAFT_SHARED,  /* nothing but draft_share() */
};
/* Give the finished draft its name, durably. A name that is there already is success. */
int draft_publish(const struct vol_pool *p, int fd, const char *name, enum draft_with with,
                  struct err *e);

/* ---- replace.c ---- */

/* Finish or undo what a vol_replace() of id left that was killed. */
int replace_settle(const struct vol_pool *p, const char *id, struct err *e);
/* What settling needs to know is beside the blocks: a copy of an image takes it along. */
int replace_mark_copy(int from, int to, const char *name, struct err *e);

/* ---- grow.c ---- */

/* What a killed vol_grow() may have left. */
int grow_forget(const struct vol_pool *p, const char *id, struct err *e);

/* ---- reserve.c ---- */

/* How much of a capacity mkfs is to keep for root. */
uint64_t reserve_bytes(uint64_t capacity);
/* Make what is missing of the ballast in the volume whose root this is, as far as there is room. */
int reserve_restore(int root, struct err *e);

/* ---- attach.c ---- */

/* The root of the volume that is attached at mountpoint; *ret_dev is its loop device. ERR_OS when
 * none is. */
int attached_open(const char *mountpoint, dev_t *ret_dev, struct err *e);

/* ---- poolid.c ---- */

enum poolid_tree {
    POOLID_IMAGES, /* no tree: a pool */
    POOLID_MAPPED, /* volumes are directories, and files in them belong to VOL_DISK_* */
    POOLID_OWNED,  /* the same, but to host ids: its mounts could not be idmapped */
};
struct poolid {
    enum vol_how how; /* of a pool */
    enum poolid_tree tree;
    char hub[VOL_NAME_MAX + 1], pool[ID_SIZE];
};
#define POOLID_SIZE 160
/* The text of an identity file into at (POOLID_SIZE bytes). */
void poolid_print(const struct poolid *id, char *at);
/* False when text is not such a file, whole, of a pool. */
bool poolid_parse(const char *text, size_t len, struct poolid *ret_id);
/* Of a pool or a tree. */
bool poolid_parse_any(const char *text, size_t len, struct poolid *ret_id);
