/* Storage classes: finding the driver, and which disk it is. */
#include "place.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "place-int.h"

#define IDENTITY "identity"

static const struct {
    const char *name;
    const struct vol_place_ops *ops;
} drivers[] = {
    [VOL_IMAGE] = {"image", &place_image_ops},
    [VOL_DIRECTORY] = {"directory", &place_directory_ops},
    [VOL_NFS] = {"nfs", &place_nfs_ops},
};

const char *vol_driver_name(enum vol_driver driver)
{
    return drivers[driver].name;
}

/* ---- which disk it is ---- */

int place_gone(const struct vol_place_spec *spec, const char *path, struct err *e)
{
    (void)err_set(e, ERR_MISSING, "disk %s is not there", path);
    return err_hint(e, "mount it, or remove the storage class \"%s\" from the hub file",
                    spec->class);
}

static const char *recorded(const struct vol_place_spec *spec)
{
    return spec->driver == VOL_IMAGE ? spec->pool.id : spec->id;
}

static int check_identity(const struct vol_place_spec *spec, const char *path,
                          const struct poolid *id, struct err *e)
{
    const char *hub = spec->driver == VOL_IMAGE ? spec->pool.hub : spec->hub;
    bool other_kind = (id->tree == POOLID_IMAGES) != (spec->driver == VOL_IMAGE);

    if (recorded(spec) != NULL && (other_kind || !str_is(id->pool, recorded(spec)))) {
        (void)place_gone(spec, path, e);
        return err_hint(e, "another one is: mount %s there, or remove the storage class \"%s\"",
                        recorded(spec), spec->class);
    }
    if (!str_is(id->hub, hub)) {
        (void)err_set(e, ERR_CONFIG, "\"%s\" belongs to another hub (%s)", path, id->hub);
        return err_hint(e, "give this hub a directory of its own");
    }
    if (other_kind) {
        (void)err_set(e, ERR_CONFIG, "the volumes in \"%s\" are %s", path,
                      id->tree == POOLID_IMAGES ? "images" : "directories");
        return err_hint(e, "give the storage class \"%s\" a directory of its own", spec->class);
    }
    return 1;
}

int place_identity(int dir_fd, const struct vol_place_spec *spec, const char *path,
                   struct poolid *ret_id, struct err *e)
{
    AUTO_FREE char *text = NULL;
    int len = fd_read_file(dir_fd, IDENTITY, POOLID_SIZE, &text, e);

    if (len < 0 && e->os_errno == ENOENT)
        return recorded(spec) == NULL ? 0 : place_gone(spec, path, e);
    if (len < 0)
        return err_prefix(e, "could not read the identity of \"%s\"", path);
    if (!poolid_parse_any(text, (size_t)len, ret_id))
        return err_set(e, ERR_OS, "the file \"%s/%s\" is damaged", path, IDENTITY);
    return check_identity(spec, path, ret_id, e);
}

/* ---- opening ---- */

int vol_place_open(const struct vol_place_spec *spec, struct vol_place *ret, struct err *e)
{
    struct vol_place p = {.ops = drivers[spec->driver].ops,
                          .driver = spec->driver,
                          .pool = {.dir_fd = -1, .images_fd = -1},
                          .dir_fd = -1};

    p.class = mem_copy(spec->class);
    if (p.ops->open(spec, &p, e) < 0) {
        vol_place_done(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

void vol_place_done(struct vol_place *p)
{
    if (p->ops == NULL)
        return;
    p->ops->done(p);
    free(take_ptr(p->class));
    free(take_ptr(p->path));
    p->ops = NULL;
}

int vol_place_close(const struct vol_place_spec *spec, struct err *e)
{
    return drivers[spec->driver].ops->close(spec, e);
}

int vol_place_room(const struct vol_place *p, struct vol_space *ret, struct err *e)
{
    return p->ops->room(p, ret, e);
}

const char *vol_place_how(const struct vol_place *p)
{
    return p->ops->how(p);
}

bool vol_place_enforces(const struct vol_place *p)
{
    return p->ops->enforces;
}

/* ---- volumes ---- */

int vol_place_make(const struct vol_place *p, const char *id, uint64_t capacity, uid_t uid,
                   gid_t gid, struct err *e)
{
    return p->ops->make(p, id, capacity, uid, gid, e);
}

int vol_place_clone(const struct vol_place *p, const char *from, const char *id, uint64_t capacity,
                    uid_t uid, gid_t gid, struct err *e)
{
    (void)capacity;
    return p->ops->clone(p, from, id, uid, gid, e);
}

int vol_place_publish(const struct vol_place *p, const char *unfinished, const char *name,
                      struct err *e)
{
    return p->ops->publish(p, unfinished, name, e);
}

int vol_place_exists(const struct vol_place *p, const char *id, struct err *e)
{
    return p->ops->exists(p, id, e);
}

int vol_place_destroy(const struct vol_place *p, const char *id, struct err *e)
{
    return p->ops->destroy(p, id, e);
}

int vol_place_attach(const struct vol_place *p, const struct vol_attach *want, struct err *e)
{
    return p->ops->attach(p, want, e);
}

int vol_place_detach(const struct vol_place *p, const char *mountpoint, struct err *e)
{
    return p->ops->detach(p, mountpoint, e);
}

int vol_place_snapshot(const struct vol_place *p, const char *id, const char *as,
                       const char *mountpoint, struct vol_shot *ret, struct err *e)
{
    return p->ops->snapshot(p, id, as, mountpoint, ret, e);
}

int vol_place_replace(const struct vol_place *p, const char *id, const char *from,
                      const char *keep_as, uid_t uid, gid_t gid, struct err *e)
{
    return p->ops->replace(p, id, from, keep_as, uid, gid, e);
}

int vol_place_settle(const struct vol_place *p, const char *id, struct err *e)
{
    return p->ops->settle(p, id, e) < 0 ? -1 : 0;
}

int vol_place_grow(const struct vol_place *p, const char *id, uint64_t capacity,
                   const char *mountpoint, struct err *e)
{
    return p->ops->grow(p, id, capacity, mountpoint, e);
}

int vol_place_used(const struct vol_place *p, const char *id, uint64_t *ret_used,
                   uint64_t *ret_capacity, struct err *e)
{
    return p->ops->used(p, id, ret_used, ret_capacity, e);
}

int vol_place_list(const struct vol_place *p, vol_image_fn fn, void *owner, struct err *e)
{
    return p->ops->list(p, fn, owner, e);
}
