/* Volumes as images in a pool: vol.h does the work. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/mem.h"

#include "place-int.h"

/* A pool that was here before: looked for without making anything. */
static int look_for_pool(const struct vol_place_spec *spec, struct err *e)
{
    AUTO_CLOSE int dir = open(spec->pool.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct poolid id;

    if (dir < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not open the pool \"%s\"", spec->pool.dir);
    if (dir < 0)
        return spec->pool.id == NULL ? 0 : place_gone(spec, spec->pool.dir, e);
    return place_identity(dir, spec, spec->pool.dir, &id, e) < 0 ? -1 : 0;
}

static int image_place_open(const struct vol_place_spec *spec, struct vol_place *p, struct err *e)
{
    if (look_for_pool(spec, e) < 0 || vol_pool_open(&spec->pool, &p->pool, e) < 0)
        return -1;
    p->path = mem_copy(spec->pool.dir);
    (void)snprintf(p->id, sizeof(p->id), "%s", p->pool.id);
    return 0;
}

static void image_place_done(struct vol_place *p)
{
    vol_pool_done(&p->pool);
}

static int image_place_close(const struct vol_place_spec *spec, struct err *e)
{
    return vol_pool_close(spec->pool.dir, e);
}

static int image_place_room(const struct vol_place *p, struct vol_space *ret, struct err *e)
{
    return vol_pool_room(&p->pool, ret, e);
}

static const char *image_place_how(const struct vol_place *p)
{
    return vol_how_name(p->pool.how);
}

static int image_place_make(const struct vol_place *p, const char *id, uint64_t capacity, uid_t uid,
                            gid_t gid, struct err *e)
{
    (void)uid; /* who it belongs to is decided by who attaches it */
    (void)gid;
    return vol_image_make(&p->pool, id, capacity, e);
}

static int image_place_clone(const struct vol_place *p, const char *from, const char *id, uid_t uid,
                             gid_t gid, struct err *e)
{
    (void)uid;
    (void)gid;
    return vol_clone(&p->pool, from, id, e);
}

static int name_image(const struct vol_place *p, const char *unfinished, const char *name,
                      struct err *e)
{
    AUTO_CLOSE int fd = image_open(&p->pool, unfinished, O_RDONLY, e);
    char from[VOL_FILE_SIZE], to[VOL_FILE_SIZE];

    if (fd < 0 || image_file(unfinished, from, e) < 0 || image_file(name, to, e) < 0)
        return -1;
    /* complete on disk before it has its name; sealed after, since what is sealed keeps its name */
    if (fsync(fd) < 0 || renameat(p->pool.images_fd, from, p->pool.images_fd, to) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", name);
    if (image_sync(&p->pool, name, e) < 0)
        return -1;
    return INJECT("template.named", e);
}

static int image_place_publish(const struct vol_place *p, const char *unfinished, const char *name,
                               struct err *e)
{
    struct stat st;
    int there = image_stat(&p->pool, name, &st, e);

    if (there < 0 || (there == 0 && name_image(p, unfinished, name, e) < 0))
        return -1;
    if (there == 1 && (st.st_mode & 0222) == 0)
        return 0;
    return vol_seal(&p->pool, name, e);
}

static int image_place_exists(const struct vol_place *p, const char *id, struct err *e)
{
    return vol_exists(&p->pool, id, e);
}

static int image_place_destroy(const struct vol_place *p, const char *id, struct err *e)
{
    return vol_destroy(&p->pool, id, e);
}

static int image_place_attach(const struct vol_place *p, const struct vol_attach *want,
                              struct err *e)
{
    return vol_attach(&p->pool, want, e);
}

static int image_place_detach(const struct vol_place *p, const char *mountpoint, struct err *e)
{
    (void)p;
    return vol_detach(mountpoint, e);
}

/* What was written and not synced should be in the snapshot, too; its file system knows when. */
static int flush(const char *mountpoint, struct err *e)
{
    AUTO_CLOSE int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    dev_t dev;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", mountpoint);
    if (mnt_is_root(fd, "", &dev) == 1 && syncfs(fd) < 0)
        return err_set_os(e, errno, "could not sync the volume at \"%s\"", mountpoint);
    return 0;
}

static int image_place_snapshot(const struct vol_place *p, const char *id, const char *as,
                                const char *mountpoint, struct vol_shot *ret, struct err *e)
{
    struct vol_shot shot = {0};
    int there = vol_exists(&p->pool, as, e);
    uint64_t before;

    if (there < 0 || (there == 0 && mountpoint != NULL && flush(mountpoint, e) < 0))
        return -1;
    before = clock_us();
    if (vol_snapshot(&p->pool, id, as, &shot.extents, e) < 0)
        return -1;
    if (there == 0)
        shot.took_us = clock_us() - before;
    *ret = shot;
    return 0;
}

static int image_place_replace(const struct vol_place *p, const char *id, const char *from,
                               const char *keep_as, uid_t uid, gid_t gid, struct err *e)
{
    (void)uid;
    (void)gid;
    return vol_replace(&p->pool, id, from, keep_as, e);
}

static int image_place_settle(const struct vol_place *p, const char *id, struct err *e)
{
    return replace_settle(&p->pool, id, e);
}

static int image_place_grow(const struct vol_place *p, const char *id, uint64_t capacity,
                            const char *mountpoint, struct err *e)
{
    return mountpoint == NULL ? vol_grow(&p->pool, id, capacity, e)
                              : vol_grow_attached(&p->pool, id, capacity, mountpoint, e);
}

static int image_place_used(const struct vol_place *p, const char *id, uint64_t *ret_used,
                            uint64_t *ret_capacity, struct err *e)
{
    return vol_used(&p->pool, id, ret_used, ret_capacity, e);
}

static int image_place_list(const struct vol_place *p, vol_image_fn fn, void *owner, struct err *e)
{
    return vol_list(&p->pool, fn, owner, e);
}

const struct vol_place_ops place_image_ops = {
    .open = image_place_open,
    .done = image_place_done,
    .close = image_place_close,
    .room = image_place_room,
    .how = image_place_how,
    .enforces = true,
    .make = image_place_make,
    .clone = image_place_clone,
    .publish = image_place_publish,
    .exists = image_place_exists,
    .destroy = image_place_destroy,
    .attach = image_place_attach,
    .detach = image_place_detach,
    .snapshot = image_place_snapshot,
    .replace = image_place_replace,
    .settle = image_place_settle,
    .grow = image_place_grow,
    .used = image_place_used,
    .list = image_place_list,
};
