/*
 * vol.h: volumes as files. A volume is one ext4 image in a pool; templates are sealed images that
 * volumes are cloned from; an attached volume is a loop device and one idmapped mount.
 *
 * Everything here may block, and belongs in a short-lived child. Each effect bears the name of its
 * image, and each operation may be run again after it was killed anywhere: the second run finishes
 * the first. Two runs for one volume at a time are kept apart by the caller (vol_lock).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/rand.h"

#define VOL_NAME_MAX     48   /* [a-z0-9._-], the first a letter or digit */
#define VOL_DISK_UID     1000 /* who owns "pod" in every image; shown as a host id when attached */
#define VOL_DISK_GID     1000
#define VOL_DIR_POD      "pod"  /* the user's: bound into the pod */
#define VOL_DIR_KEEP     "keep" /* ours: never bound into the pod */
#define VOL_CAPACITY_MIN (UINT64_C(32) << 20)
#define VOL_CAPACITY_MAX (UINT64_C(15) << 40)
#define VOL_POOL_MIN     (UINT64_C(300) << 20) /* what mkfs.xfs agrees to make */

bool vol_name_ok(const char *name);

struct vol_space {
    uint64_t total, free;         /* bytes; free is what an ordinary user may still take */
    uint64_t inodes, inodes_free; /* both 0 where the file system does not count them */
};

/* ---- the pool: where images live ---- */

enum vol_how {
    VOL_REFLINK, /* the directory's own file system clones */
    VOL_XFS,     /* an XFS of ours in <dir>/pool.xfs, mounted at <dir>/images */
    VOL_COPY,    /* neither: every clone is a sparse copy; to be said to the operator */
};
const char *vol_how_name(enum vol_how how); /* "reflink", "xfs", "copy" */

struct vol_pool_spec {
    const char *dir; /* absolute; made (0700, root) if its parent exists */
    uint64_t size;   /* of the pool file, where one has to be made; what is there is kept */
    const char *hub; /* id of the hub: a pool of another hub is refused */
    const char *id;  /* of the pool as recorded, or NULL. Given, an empty directory is refused
                        (its disk is not mounted) instead of becoming a second, empty pool. */
};

struct vol_pool {
    enum vol_how how;
    char id[ID_SIZE];
    char *dir;             /* owned */
    int dir_fd, images_fd; /* owned; images_fd keeps the pool's mount busy */
};

/*
 * Find the pool, make what is missing of it, mount it. Slow the first time (allocates the whole
 * pool file), then cheap: run it in a child first, then in the process that wants the descriptors.
 */
int vol_pool_open(const struct vol_pool_spec *spec, struct vol_pool *ret_pool, struct err *e);
/* Let go of the descriptors; the pool stays mounted. Safe on a zeroed struct with fds -1. */
void vol_pool_done(struct vol_pool *p);
/* Unmounted, its loop device gone. ERR_BUSY while an image is attached or a descriptor open, which
 * is why this takes the directory: vol_pool_done first. Not mounted is success. */
int vol_pool_close(const char *dir, struct err *e);
int vol_pool_room(const struct vol_pool *p, struct vol_space *ret_space, struct err *e);

/* ---- images ---- */

/* An empty image of that capacity with "pod" and "keep" in it. One of the same capacity that is
 * already there is success; of another, ERR_EXISTS. */
int vol_image_make(const struct vol_pool *p, const char *name, uint64_t capacity, struct err *e);
/* Volume id, sharing the blocks of a sealed template. Durable on return. Already there is success.
 */
int vol_clone(const struct vol_pool *p, const char *template_name, const char *id, struct err *e);
/* Read-only from here on: mode 0400, and immutable where the file system has that. */
int vol_seal(const struct vol_pool *p, const char *name, struct err *e);
/* Gone, sealed or not. Missing is success; attached is ERR_BUSY. */
int vol_destroy(const struct vol_pool *p, const char *name, struct err *e);

/* 1, 0, or -1. */
int vol_exists(const struct vol_pool *p, const char *name, struct err *e);
/* Bytes of the pool it accounts for (blocks shared with a template are counted in both). */
int vol_used(const struct vol_pool *p, const char *name, uint64_t *ret_used, uint64_t *ret_capacity,
             struct err *e);

struct vol_image {
    const char *name; /* borrowed, for the call */
    uint64_t capacity, used;
    bool sealed;
};
/* Return -1 with e filled to stop: vol_list then returns -1. */
typedef int (*vol_image_fn)(void *owner, const struct vol_image *image, struct err *e);
int vol_list(const struct vol_pool *p, vol_image_fn fn, void *owner, struct err *e);

/* A sealed image `as` with the blocks of id as of one moment; id may be attached, then its file
 * system is as after a power cut (what was synced is in it). VOL_COPY pools refuse an attached one
 * with ERR_BUSY. *ret_extents: how many extents were shared. */
int vol_snapshot(const struct vol_pool *p, const char *id, const char *as, uint64_t *ret_extents,
                 struct err *e);
/* A sealed image, to be read. */
int vol_sealed_open(const struct vol_pool *p, const char *name, struct err *e);
/* See vol_place_replace() in place.h. */
int vol_replace(const struct vol_pool *p, const char *id, const char *from, const char *keep_as,
                struct err *e);
/* Image id, not attached, larger: its file system is checked and fills it. 1: grown, 0: was as
 * large, -1. Smaller is ERR_INPUT. Done in a clone: a VOL_COPY pool needs room for a copy. */
int vol_grow(const struct vol_pool *p, const char *id, uint64_t capacity, struct err *e);
/* The same while it is attached; ERR_BUSY when this kernel does not let us. */
int vol_grow_attached(const struct vol_pool *p, const char *id, uint64_t capacity,
                      const char *mountpoint, struct err *e);
/* The raw blocks of image id of one pool as image id of another, holes kept. See vol_place_copy. */
int vol_copy_image(const struct vol_pool *from, const struct vol_pool *to, const char *id,
                   struct err *e);

/*
 * An image whose content comes from elsewhere: a file without a name to write it to, which the
 * kernel drops unless it is finished; then it is complete and synced before it gets its name. What
 * is no file system of its size is refused. A name that is there already is left as it is.
 */
int vol_import_begin(const struct vol_pool *p, const char *name, struct err *e); /* descriptor */
int vol_import_finish(const struct vol_pool *p, int fd, const char *name, bool sealed,
                      struct err *e);

/* ---- the reserve of an image, for when it is full ----
 *
 * Blocks that only root may use (made by mkfs) can be opened to a uid; files in "keep" hold back
 * more blocks and inodes, and can be dropped. Both by mountpoint, while attached, and undone when
 * there is room again. Each is idempotent. */

enum vol_reserve {
    VOL_RESERVE_CLOSED, /* the normal state */
    VOL_RESERVE_OPEN,   /* the uid may use what was root's */
    VOL_RESERVE_SPENT,  /* and the ballast is gone as well */
};
/* Bring it to that state. Closing makes the ballast anew as far as there is room for it; it is
 * cheap when nothing is missing, and worth a call after each attach: a mount always begins closed,
 * but the ballast may be gone, or of a smaller volume, or of a time before there was one. */
int vol_reserve_set(const char *mountpoint, uid_t uid, enum vol_reserve to, struct err *e);
/* By whose the blocks are now, so CLOSED says nothing about the ballast. */
int vol_reserve_get(const char *mountpoint, enum vol_reserve *ret, struct err *e);
/* Give the pool back what was freed in the volume. *ret_bytes: how much. Not supported is 0. */
int vol_trim(const char *mountpoint, uint64_t *ret_bytes, struct err *e);

/* ---- attach ---- */

enum vol_attach_flag {
    /* The only way for a sealed image; not for a snapshot of an attached one: clone that. */
    VOL_READ_ONLY = 1u << 0,
    /* With the ids of the disk: for a place that only root gets into. */
    VOL_PLAIN = 1u << 1,
};

struct vol_attach {
    const char *image;
    const char *mountpoint; /* absolute; made 0711 when missing, its parent is not */
    uid_t uid;              /* host ids that VOL_DISK_UID and _GID appear as; never 0 */
    gid_t gid;
    unsigned flags; /* enum vol_attach_flag */
};

/*
 * Mount the image, idmapped, nosuid, nodev, noatime. Only root and the given pair exist in it: any
 * other host user is refused by the kernel. Returns 1 when the loop device had to do without
 * direct I/O (slower; worth a warning), else 0. Already attached there just so is success; anything
 * else mounted there is ERR_EXISTS; the image attached elsewhere is ERR_BUSY; a kernel that cannot
 * do it is ERR_MISSING. After failure nothing is mounted and no loop device is held.
 */
int vol_attach(const struct vol_pool *p, const struct vol_attach *want, struct err *e);
/*
 * Unmount, see the loop device gone, remove the mountpoint. Not mounted is success. ERR_BUSY while
 * a process or a pod's own mount namespace holds it; what of the latter remains keeps the image
 * ERR_BUSY, and ends with that namespace.
 */
int vol_detach(const char *mountpoint, struct err *e);

struct vol_mount {
    const char *mountpoint; /* borrowed, for the call; absolute */
    const char *image;      /* the name it was attached by */
    bool read_only;
};
typedef int (*vol_mount_fn)(void *owner, const struct vol_mount *mount, struct err *e);
/* Every mount of ours directly under dir. The callback may detach it. */
int vol_attached(const char *dir, vol_mount_fn fn, void *owner, struct err *e);

/* Of an attached volume; ERR_OS when nothing is mounted there. */
int vol_usage(const char *mountpoint, struct vol_space *ret_space, struct err *e);

/* ---- the lock of a volume ---- */

/*
 * Take the lock of volume id: ERR_BUSY when somebody has it. The lock lasts as long as any copy of
 * the returned descriptor (read-only, CLOEXEC) is open in any process: whoever uses the volume
 * holds one for its whole life, so a restart of the supervisor cannot start it twice.
 */
int vol_lock(int locks_dir_fd, const char *id, int *ret_fd, struct err *e);
/* 1, 0, or -1. */
int vol_lock_held(int locks_dir_fd, const char *id, struct err *e);
