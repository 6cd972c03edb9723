/* From an image to a mount and back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/str.h"

#include "ext4.h"
#include "mountinfo.h"
#include "vol-int.h"

static int check_want(const struct vol_attach *want, struct err *e)
{
    if (want->mountpoint[0] != '/')
        return err_set(e, ERR_INPUT, "\"%s\" is not an absolute path", want->mountpoint);
    /* Root is in the map for our own use; the user may be anybody but root. */
    if (want->uid == 0 || want->gid == 0 || want->uid == (uid_t)-1 || want->gid == (gid_t)-1)
        return err_set(e, ERR_INPUT, "volume \"%s\" cannot belong to root or nobody", want->image);
    return 0;
}

static int open_image(const struct vol_pool *p, const struct vol_attach *want, struct stat *ret_st,
                      struct err *e)
{
    bool read_only = want->flags & VOL_READ_ONLY;
    AUTO_CLOSE int fd = image_open(p, want->image, O_RDONLY, e);

    if (fd < 0)
        return -1;
    if (fstat(fd, ret_st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", want->image);
    if (read_only)
        return take_fd(&fd);
    if ((ret_st->st_mode & 0222) == 0)
        return err_set(e, ERR_INPUT, "volume \"%s\" is sealed: it can only be read", want->image);
    return image_open(p, want->image, O_RDWR, e);
}

int attach_point(const char *path, struct err *e)
{
    int fd;

    if (mkdir(path, 0711) == 0)
        (void)chmod(path, 0711); /* whatever the umask took away */
    else if (errno != EEXIST)
        return err_set_os(e, errno, "could not make the mountpoint \"%s\"", path);
    fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set_os(e, errno, "could not open the mountpoint \"%s\"", path);
    return fd;
}

/*
 * Is what is mounted at point this image, shown as these ids? The user's directory tells the map:
 * nobody but us can have given it another owner, or another name. 1: it was, but its file system
 * has given up, and has to be attached anew.
 */
static int already_there(int point, dev_t dev, const struct stat *image,
                         const struct vol_attach *want, struct err *e)
{
    struct loopdev_info info;
    struct statvfs fs;
    struct stat pod;
    int r = loopdev_info(dev, &info, e);

    if (r < 0)
        return -1;
    if (r == 0 || info.backing_dev != image->st_dev || info.backing_ino != image->st_ino)
        return err_set(e, ERR_EXISTS, "something else is mounted at \"%s\"", want->mountpoint);
    r = mnt_is_broken(dev, want->flags & VOL_READ_ONLY, e);
    if (r < 0)
        return -1;
    if (fstatat(point, VOL_DIR_POD, &pod, AT_SYMLINK_NOFOLLOW) < 0 || fstatvfs(point, &fs) < 0)
        return errno == EIO || r == 1
                   ? 1
                   : err_set_os(e, errno, "could not look into \"%s\"", want->mountpoint);
    if (pod.st_uid != want->uid || pod.st_gid != want->gid)
        return err_set(e, ERR_EXISTS, "volume \"%s\" is mounted at \"%s\" for somebody else",
                       want->image, want->mountpoint);
    if (r == 0 && !(fs.f_flag & ST_RDONLY) != !(want->flags & VOL_READ_ONLY))
        return err_set(e, ERR_EXISTS, "volume \"%s\" is mounted at \"%s\" %s", want->image,
                       want->mountpoint,
                       (fs.f_flag & ST_RDONLY) ? "to be read only" : "to be written to");
    return r;
}

int attach_idmap(int mnt, const struct vol_attach *want, struct err *e)
{
    AUTO_CLOSE int namespace = idmap_open(want->uid, want->gid, e);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};

    if (namespace < 0)
        return -1;
    attr.userns_fd = (unsigned)namespace;
    if (mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
        return 0;
    (void)err_set_os(e, errno, "could not give the mount of volume \"%s\" an id map", want->image);
    if (e->os_errno != EINVAL && e->os_errno != ENOSYS && e->os_errno != EPERM)
        return -1;
    e->kind = ERR_MISSING;
    return err_hint(e, "idmapped mounts of ext4 need Linux 5.12 or later, and CAP_SYS_ADMIN "
                       "in the first user namespace");
}

/* All that can fail happens before the mount is placed, which is the last step. */
static int mount_image(int image_fd, int point, const struct vol_attach *want, struct err *e)
{
    bool read_only = want->flags & VOL_READ_ONLY;
    AUTO_CLOSE int mnt = -1;
    AUTO_CLOSE int loop_fd = -1; /* after mnt, so that it is closed first on every way out */
    struct loopdev loop;

    if (loopdev_take(image_fd, want->image, read_only, &loop, e) < 0)
        return -1;
    loop_fd = loop.fd;
    if (INJECT("vol.looped", e) < 0)
        return -1;
    mnt = mnt_make("ext4", loop.path, read_only,
                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME, e);
    if (mnt < 0)
        return err_prefix(e, "volume \"%s\"", want->image);
    if (INJECT("vol.mounted", e) < 0)
        return -1;
    if (!(want->flags & VOL_PLAIN) && attach_idmap(mnt, want, e) < 0)
        return -1;
    if (INJECT("vol.mapped", e) < 0)
        return -1;
    if (mnt_place(mnt, point, want->mountpoint, e) < 0 || INJECT("vol.placed", e) < 0)
        return -1;
    return loop.direct ? 0 : 1;
}

/* A file system that has seen errors is mended before anybody writes into it once more. */
static int mend(int image_fd, const struct vol_attach *want, bool broken, struct err *e)
{
    bool read_only = want->flags & VOL_READ_ONLY;
    struct ext4_super super;
    struct err ignored;

    /* What is no file system at all, mounting it will say in the kernel's words. */
    if (ext4_super_read(image_fd, want->image, &super, &ignored) < 0)
        return 0;
    if (read_only && super.replay) {
        (void)err_set(e, ERR_INPUT, "volume \"%s\" was in use when it was taken", want->image);
        return err_hint(e, "read it through a clone");
    }
    if (read_only || (!super.damaged && !broken))
        return 0;
    if (INJECT("vol.mending", e) < 0 || ext4_check(image_fd, want->image, e) < 0)
        return -1;
    log_warn(NULL, "the file system of volume \"%s\" had seen errors: checked", want->image);
    return 0;
}

/* 1: nothing is mounted at the mountpoint, 0: what is wanted is, 2: it was, broken, and is not any
 * more; or -1. */
static int look_at_point(int *point, const struct stat *image, const struct vol_attach *want,
                         struct err *e)
{
    char what[VOL_NAME_MAX + 16];
    dev_t dev;
    int r = mnt_is_root(*point, "", &dev);

    if (r < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", want->mountpoint);
    if (r == 0)
        return 1;
    r = already_there(*point, dev, image, want, e);
    if (r <= 0)
        return r;
    close_fd(point); /* it is in the file system that has to go */
    (void)snprintf(what, sizeof(what), "volume \"%s\"", want->image);
    if (mnt_undo(want->mountpoint, dev, what, e) < 0)
        return -1;
    *point = attach_point(want->mountpoint, e);
    return *point < 0 ? -1 : 2;
}

int vol_attach(const struct vol_pool *p, const struct vol_attach *want, struct err *e)
{
    AUTO_CLOSE int image_fd = -1, point = -1;
    struct stat image;
    int r;

    if (check_want(want, e) < 0)
        return -1;
    image_fd = open_image(p, want, &image, e);
    if (image_fd < 0)
        return -1;
    point = attach_point(want->mountpoint, e);
    if (point < 0)
        return -1;
    r = look_at_point(&point, &image, want, e);
    if (r <= 0)
        return r;
    if (image_claim(image_fd, want->image, want->flags & VOL_READ_ONLY, e) < 0 ||
        mend(image_fd, want, r == 2, e) < 0)
        r = -1;
    else
        r = mount_image(image_fd, point, want, e);
    if (r < 0)
        (void)rmdir(want->mountpoint); /* refused by the kernel if it is not empty: not ours then */
    return r;
}

int vol_detach(const char *mountpoint, struct err *e)
{
    struct loopdev_info info;
    char what[sizeof(info.image) + 16];
    dev_t dev;
    int r = mnt_is_root(AT_FDCWD, mountpoint, &dev);

    if (r < 0)
        return errno == ENOENT
                   ? 0
                   : err_set_os(e, errno, "could not look at the mountpoint \"%s\"", mountpoint);
    if (r == 1) {
        r = loopdev_info(dev, &info, e);
        if (r < 0)
            return -1;
        if (r == 0 || !info.ours)
            return err_set(e, ERR_EXISTS, "what is mounted at \"%s\" is not a volume", mountpoint);
        (void)snprintf(what, sizeof(what), "volume \"%s\"", info.image);
        if (mnt_undo(mountpoint, dev, what, e) < 0)
            return -1;
    }
    if (rmdir(mountpoint) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove the mountpoint \"%s\"", mountpoint);
    return 0;
}

struct listing {
    const char *dir;
    vol_mount_fn fn;
    void *owner;
};

/* Tell the caller if it is a mount of ours in dir. */
static int tell(void *arg, const struct mountinfo *m, const char *line, size_t len, struct err *e)
{
    const struct listing *l = arg;
    struct vol_mount mount;
    struct loopdev_info info;
    struct err ignored;

    (void)line, (void)len;
    if (!str_is(m->type, "ext4") || mountinfo_below(m->mountpoint, l->dir) == NULL)
        return 0;
    /* It may have gone since the text was read. */
    if (loopdev_info(makedev(m->major, m->minor), &info, &ignored) <= 0 || !info.ours)
        return 0;
    mount = (struct vol_mount){
        .mountpoint = m->mountpoint, .image = info.image, .read_only = m->read_only};
    return l->fn(l->owner, &mount, e) < 0 ? -1 : 0;
}

int vol_attached(const char *dir, vol_mount_fn fn, void *owner, struct err *e)
{
    AUTO_FREE char *real = realpath(dir, NULL);
    struct listing l = {.dir = real, .fn = fn, .owner = owner};

    if (real == NULL)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not look up \"%s\"", dir);
    return mnt_each(tell, &l, e);
}

int attached_open(const char *mountpoint, dev_t *ret_dev, struct err *e)
{
    AUTO_CLOSE int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct loopdev_info info = {0};
    dev_t dev;
    int r;

    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", mountpoint);
    r = mnt_is_root(fd, "", &dev);
    if (r < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
    if (r == 1)
        r = loopdev_info(dev, &info, e);
    if (r < 0)
        return -1;
    /* Without a volume there, what follows would be done to the host's own disk. */
    if (r == 0 || !info.ours)
        return err_set(e, ERR_OS, "no volume is attached at \"%s\"", mountpoint);
    *ret_dev = dev;
    return take_fd(&fd);
}

int vol_usage(const char *mountpoint, struct vol_space *ret_space, struct err *e)
{
    AUTO_CLOSE int fd = open(mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct statfs fs;
    dev_t dev;

    /* Without a mount there, the answer would be that of the host's own disk. */
    if (fd >= 0 && mnt_is_root(fd, "", &dev) == 0)
        return err_set(e, ERR_OS, "nothing is mounted at \"%s\"", mountpoint);
    if (fd < 0 || fstatfs(fd, &fs) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
    *ret_space = (struct vol_space){.total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize,
                                    .free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize,
                                    .inodes = fs.f_files,
                                    .inodes_free = fs.f_ffree};
    return 0;
}
