/* vol-int.h: what the files of this folder share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
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
/* Unmount path, which came from the loop device dev, and see the device gone. */
int mnt_undo(const char *path, dev_t dev, const char *what, struct err *e);

/* ---- idmap.c ---- */

/* A user namespace in which disk ids 0 and VOL_DISK_* are host ids 0 and uid, gid. */
int idmap_open(uid_t uid, gid_t gid, struct err *e);

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

/* ---- poolid.c ---- */

struct poolid {
    enum vol_how how;
    char hub[VOL_NAME_MAX + 1], pool[ID_SIZE];
};
#define POOLID_SIZE 160
/* The text of an identity file into at (POOLID_SIZE bytes). */
void poolid_print(const struct poolid *id, char *at);
/* False when text is not such a file, whole. */
bool poolid_parse(const char *text, size_t len, struct poolid *ret_id);
