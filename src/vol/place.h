/*
 * place.h: a storage class on this machine: where volumes of one kind live, whatever its driver.
 *
 * A volume is known by its id alone. Attached at a mountpoint, it always shows a directory "pod",
 * the user's, and "keep", ours. What a driver cannot do is ERR_MISSING, with words.
 */
#pragma once

#include "vol.h"

enum vol_driver {
    VOL_IMAGE,     /* one image a volume, in a pool: capacity is hard, clones share blocks */
    VOL_DIRECTORY, /* one directory a volume, below a directory of the host */
    VOL_NFS,       /* the same on an export that we mount */
};
const char *vol_driver_name(enum vol_driver driver); /* "image", "directory", "nfs" */

struct vol_place_spec {
    const char *class; /* its name, for messages */
    enum vol_driver driver;
    struct vol_pool_spec pool; /* of an image class */
    const char *path;          /* of a directory class: absolute, the directory itself */
    const char *server, *export_path, *options; /* of nfs; options may be "" */
    const char *mountpoint;                     /* of nfs: where we mount it */
    const char *hub, *id;                       /* as in vol_pool_spec, of the others */
};

struct vol_place_ops;

struct vol_place {
    const struct vol_place_ops *ops; /* NULL: not open */
    enum vol_driver driver;
    char *class;          /* owned */
    char *path;           /* owned: what an operator knows it by */
    char id[ID_SIZE];     /* of the disk: the same for as long as it is the same one */
    struct vol_pool pool; /* image */
    int dir_fd;           /* directory, nfs: where the volumes are; owned */
    bool idmaps;          /* directory: files belong to VOL_DISK_*, and mounts are idmapped */
    bool shares;          /* directory, nfs: copies share blocks */
};

/*
 * Find the place and open it. The first time it is made and given an identity; later (id given) a
 * disk that is not there, or another one, is ERR_MISSING "disk <path> is not there", and nothing is
 * made in its place. Slow the first time: in a child first.
 */
int vol_place_open(const struct vol_place_spec *spec, struct vol_place *ret, struct err *e);
void vol_place_done(struct vol_place *p); /* stays mounted; safe on a zeroed struct */
/* Give back mounts and loop devices of the place itself: done first. What it holds stays. */
int vol_place_close(const struct vol_place_spec *spec, struct err *e);
int vol_place_room(const struct vol_place *p, struct vol_space *ret, struct err *e);
/* How a clone is made, in a word: "reflink", "xfs", "copy". */
const char *vol_place_how(const struct vol_place *p);
/* Is a capacity more than a wish? In an image it is; directories have no quotas yet. */
bool vol_place_enforces(const struct vol_place *p);

/* An empty volume. uid and gid: whose it will be (an image does not care). Idempotent. */
int vol_place_make(const struct vol_place *p, const char *id, uint64_t capacity, uid_t uid,
                   gid_t gid, struct err *e);
/* Volume id as a copy of the sealed from, belonging to uid. Durable on return. Idempotent. An image
 * is as large as from was: vol_place_grow. */
int vol_place_clone(const struct vol_place *p, const char *from, const char *id, uint64_t capacity,
                    uid_t uid, gid_t gid, struct err *e);
/* A finished volume gets its final name (of a template) and is sealed. Idempotent: once the name is
 * there, unfinished is not looked at. */
int vol_place_publish(const struct vol_place *p, const char *unfinished, const char *name,
                      struct err *e);
int vol_place_exists(const struct vol_place *p, const char *id, struct err *e); /* 1, 0, -1 */
int vol_place_destroy(const struct vol_place *p, const char *id, struct err *e);

/* As vol_attach and vol_detach. The owner of a directory without id maps is whoever it was made
 * for; want->uid must be the same then. */
int vol_place_attach(const struct vol_place *p, const struct vol_attach *want, struct err *e);
int vol_place_detach(const struct vol_place *p, const char *mountpoint, struct err *e);

struct vol_shot {
    uint64_t extents; /* that had to be shared; 0 where files were copied */
    uint64_t took_us;
};
/*
 * The blocks of volume id as of one moment, sealed, as snapshot `as`. mountpoint: where it is
 * attached now, NULL if nowhere. A directory can be copied only while it is not attached
 * (ERR_BUSY). Idempotent: `as` already there is success with zero figures.
 */
int vol_place_snapshot(const struct vol_place *p, const char *id, const char *as,
                       const char *mountpoint, struct vol_shot *ret, struct err *e);
/*
 * Volume id, not attached, becomes a clone of the sealed `from`, or nothing at all when from is
 * NULL (it will be made anew); what it was becomes the sealed keep_as. Killed anywhere and run
 * again, it ends the same; at no instant is there neither the old nor the new.
 */
int vol_place_replace(const struct vol_place *p, const char *id, const char *from,
                      const char *keep_as, uid_t uid, gid_t gid, struct err *e);
/* Finish or undo what a killed vol_place_replace() of id left: what was replaced has its name then.
 * Nothing to do is success. */
int vol_place_settle(const struct vol_place *p, const char *id, struct err *e);
/*
 * At least that capacity. mountpoint: where it is attached, or NULL. Returns 1 when it has grown, 0
 * when it was as large. ERR_BUSY: attached, and this kernel grows only what is not. Smaller than
 * the volume is ERR_INPUT with the figure in use.
 */
int vol_place_grow(const struct vol_place *p, const char *id, uint64_t capacity,
                   const char *mountpoint, struct err *e);
/* Bytes of the place it accounts for, and its capacity (0: a directory without quotas). */
int vol_place_used(const struct vol_place *p, const char *id, uint64_t *ret_used,
                   uint64_t *ret_capacity, struct err *e);
/* Every volume, template and snapshot of the place. Of directories neither capacity nor use is
 * given: counting takes long. */
int vol_place_list(const struct vol_place *p, vol_image_fn fn, void *owner, struct err *e);
/*
 * Volume id of one place as volume id of another, both not attached: whole and durable at `to`, or
 * not there. The source stays; sealed, the copy is so, too. Between drivers, files are copied
 * ("pod" only); between images, blocks. capacity 0: as the source, or with some room for what it
 * holds.
 */
int vol_place_copy(const struct vol_place *from, const struct vol_place *to, const char *id,
                   uint64_t capacity, uid_t uid, gid_t gid, struct err *e);
