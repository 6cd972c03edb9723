#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"

#include "vol-int.h"

static int place_view(const struct vol_shared *want, int point, struct err *e)
{
    const struct vol_attach ids = {.image = want->image, .uid = want->uid, .gid = want->gid};
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    AUTO_CLOSE int view =
        open_tree(AT_FDCWD, want->base, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

    if (view < 0)
        return err_set_os(e, errno, "could not show volume \"%s\" once more", want->image);
    if (attach_idmap(view, &ids, e) < 0)
        return -1;
    if (want->read_only &&
        mount_setattr(view, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0)
        return err_set_os(e, errno, "could not make volume \"%s\" read-only", want->image);
    return mnt_place(view, point, want->mountpoint, e);
}

/* Is the view there already, with these ids? 1, 0, or -1 when something else is. */
static int view_there(const struct vol_shared *want, int point, struct err *e)
{
    struct stat base, pod;
    dev_t dev;
    int r = mnt_is_root(point, "", &dev);

    if (r <= 0)
        return r < 0 ? err_set_os(e, errno, "could not look at \"%s\"", want->mountpoint) : 0;
    if (stat(want->base, &base) < 0 || base.st_dev != dev ||
        fstatat(point, VOL_DIR_POD, &pod, AT_SYMLINK_NOFOLLOW) < 0 || pod.st_uid != want->uid)
        return err_set(e, ERR_EXISTS, "something else is mounted at \"%s\"", want->mountpoint);
    return 1;
}

int vol_shared_attach(const struct vol_pool *p, const struct vol_shared *want, struct err *e)
{
    const struct vol_attach base = {.image = want->image,
                                    .mountpoint = want->base,
                                    .uid = VOL_DISK_UID,
                                    .gid = VOL_DISK_GID,
                                    .flags = VOL_PLAIN};
    AUTO_CLOSE int point = -1;
    int r = vol_attach(p, &base, e);

    if (r < 0 || INJECT("vol.shared", e) < 0)
        return -1;
    point = attach_point(want->mountpoint, e);
    if (point < 0)
        return -1;
    r = view_there(want, point, e);
    return r != 0 ? (r < 0 ? -1 : 0) : place_view(want, point, e);
}

/* In this mount namespace. */
struct mounts {
    dev_t dev;
    unsigned n;
};

static int count(void *arg, const struct mountinfo *m, const char *line, size_t len, struct err *e)
{
    struct mounts *of = arg;

    (void)line, (void)len, (void)e;
    of->n += makedev(m->major, m->minor) == of->dev;
    return 0;
}

int vol_shared_detach(const char *mountpoint, const char *base, struct err *e)
{
    struct mounts of = {0};
    int r = mnt_is_root(AT_FDCWD, mountpoint, &of.dev);

    if (r == 1 && umount2(mountpoint, UMOUNT_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not unmount \"%s\"", mountpoint);
    if (rmdir(mountpoint) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove the mountpoint \"%s\"", mountpoint);
    if (mnt_is_root(AT_FDCWD, base, &of.dev) != 1)
        return 0;
    if (mnt_each(count, &of, e) < 0)
        return -1;
    if (of.n != 1)
        return 0;
    /* a pod that has just ended can hold the device a moment longer: then the next one finds it */
    return vol_detach(base, e) < 0 && e->kind != ERR_BUSY ? -1 : 0;
}
