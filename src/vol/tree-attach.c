/* From a volume that is a directory to a mount and back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"

#include "place-int.h"

static int check_want(const struct vol_attach *want, struct err *e)
{
    if (want->mountpoint[0] != '/')
        return err_set(e, ERR_INPUT, "\"%s\" is not an absolute path", want->mountpoint);
    /* Root is in the map for our own use; the user may be anybody but root. */
    if (want->uid == 0 || want->gid == 0 || want->uid == (uid_t)-1 || want->gid == (gid_t)-1)
        return err_set(e, ERR_INPUT, "volume \"%s\" cannot belong to root or nobody", want->image);
    return 0;
}

static int open_volume(const struct vol_place *p, const struct vol_attach *want,
                       struct stat *ret_st, struct err *e)
{
    AUTO_CLOSE int fd = tree_open(p, want->image, ret_st, e);
    struct stat pod;

    if (fd < 0)
        return -1;
    if (tree_is_sealed(ret_st) && (want->flags & VOL_READ_ONLY) == 0)
        return err_set(e, ERR_INPUT, "volume \"%s\" is sealed: it can only be read", want->image);
    if (fstatat(fd, VOL_DIR_POD, &pod, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not look into volume \"%s\"", want->image);
    if (!p->idmaps && (pod.st_uid != want->uid || pod.st_gid != want->gid))
        return err_set(e, ERR_INPUT, "volume \"%s\" belongs to host ids %u:%u, not %u:%u",
                       want->image, pod.st_uid, pod.st_gid, want->uid, want->gid);
    return take_fd(&fd);
}

/* Is what is mounted at point this volume, shown as these ids? */
static int already_there(int point, const struct stat *volume, const struct vol_attach *want,
                         struct err *e)
{
    struct stat root, pod;
    struct statvfs fs;

    if (fstat(point, &root) < 0 || fstatvfs(point, &fs) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", want->mountpoint);
    if (root.st_dev != volume->st_dev || root.st_ino != volume->st_ino)
        return err_set(e, ERR_EXISTS, "something else is mounted at \"%s\"", want->mountpoint);
    if (fstatat(point, VOL_DIR_POD, &pod, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not look into \"%s\"", want->mountpoint);
    if (pod.st_uid != want->uid || pod.st_gid != want->gid)
        return err_set(e, ERR_EXISTS, "volume \"%s\" is mounted at \"%s\" for somebody else",
                       want->image, want->mountpoint);
    if (!(fs.f_flag & ST_RDONLY) != !(want->flags & VOL_READ_ONLY))
        return err_set(e, ERR_EXISTS, "volume \"%s\" is mounted at \"%s\" %s", want->image,
                       want->mountpoint,
                       (fs.f_flag & ST_RDONLY) ? "to be read only" : "to be written to");
    return 0;
}

/* All that can fail happens before the mount is placed, which is the last step. */
static int show(const struct vol_place *p, int volume, int point, const struct vol_attach *want,
                struct err *e)
{
    unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME;
    AUTO_CLOSE int namespace = p->idmaps ? idmap_open(want->uid, want->gid, e) : -1, mnt = -1;

    if (p->idmaps && namespace < 0)
        return -1;
    if (want->flags & VOL_READ_ONLY)
        attributes |= MOUNT_ATTR_RDONLY;
    mnt = place_mount(volume, attributes, namespace, "a volume", e);
    if (mnt < 0)
        return err_prefix(e, "volume \"%s\"", want->image);
    if (INJECT("tree.mapped", e) < 0 || mnt_place(mnt, point, want->mountpoint, e) < 0)
        return -1;
    return INJECT("tree.placed", e);
}

int tree_attach(const struct vol_place *p, const struct vol_attach *want, struct err *e)
{
    AUTO_CLOSE int volume = -1, point = -1;
    struct stat st;
    dev_t dev;
    int r;

    if (check_want(want, e) < 0)
        return -1;
    volume = open_volume(p, want, &st, e);
    if (volume < 0)
        return -1;
    point = attach_point(want->mountpoint, e);
    if (point < 0)
        return -1;
    r = mnt_is_root(point, "", &dev);
    if (r < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", want->mountpoint);
    if (r == 1)
        return already_there(point, &st, want, e);
    r = (want->flags & VOL_READ_ONLY) != 0 ? 0 : place_mounted(&st, want->image, e);
    if (r == 1)
        r = err_set(e, ERR_BUSY, "volume \"%s\" is attached elsewhere", want->image);
    if (r == 0)
        r = show(p, volume, point, want, e);
    if (r < 0)
        (void)rmdir(want->mountpoint); /* refused by the kernel if it is not empty: not ours then */
    return r;
}

/* Is the root of the mount at point volume id of this place? A disk that has failed can no longer
 * say; nobody but us mounts a directory of that name there. */
static int is_ours(const struct vol_place *p, int point, const char *id, const char *mountpoint,
                   struct err *e)
{
    struct stat root, volume;

    if (fstat(point, &root) < 0 || fstatat(p->dir_fd, id, &volume, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == EIO || errno == ESTALE || errno == ENODEV || errno == ENXIO)
            return 0;
        if (errno != ENOENT)
            return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
        volume.st_ino = 0;
    }
    if (volume.st_ino == 0 || root.st_dev != volume.st_dev || root.st_ino != volume.st_ino)
        return err_set(e, ERR_EXISTS, "what is mounted at \"%s\" is not a volume of \"%s\"",
                       mountpoint, p->path);
    return 0;
}

int tree_detach(const struct vol_place *p, const char *mountpoint, struct err *e)
{
    AUTO_CLOSE int point = open(mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char id[VOL_NAME_MAX + 1], what[sizeof(id) + 16];
    dev_t dev;
    int r = point < 0 ? -1 : mnt_is_root(point, "", &dev);

    if (r < 0)
        return errno == ENOENT
                   ? 0
                   : err_set_os(e, errno, "could not look at the mountpoint \"%s\"", mountpoint);
    if (r == 1) {
        r = place_mount_name(point, id, e);
        if (r == 0)
            r = err_set(e, ERR_EXISTS, "what is mounted at \"%s\" is not a volume", mountpoint);
        if (r < 0 || is_ours(p, point, id, mountpoint, e) < 0)
            return -1;
        close_fd(&point); /* it would be what keeps it busy */
        (void)snprintf(what, sizeof(what), "volume \"%s\"", id);
        if (place_unmount(mountpoint, what, e) < 0)
            return -1;
    }
    if (rmdir(mountpoint) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove the mountpoint \"%s\"", mountpoint);
    return 0;
}
