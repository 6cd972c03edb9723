/* New images: unnamed until they are complete, so a crash leaves none that is half made. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/str.h"

#include "run.h"
#include "vol-int.h"

/*
 * How much XFS copies at the first write into a shared extent, in bytes. 0 leaves its default of
 * 128 KiB: a first wake and sleep then costs 2.2 MiB of pool instead of 0.8 with 4096, but later
 * writes find their blocks in few, long extents, which later clones of the volume are paid by.
 */
#define COWEXTSIZE 0u

#define MKFS_MS  300000
#define CHECK_MS 600000

/* An image has its name only once it is complete, but an interrupted run may not have made the
 * name durable. */
static int found(const struct vol_pool *p, const char *name, const struct stat *st,
                 uint64_t capacity, struct err *e)
{
    if ((uint64_t)st->st_size != capacity)
        return err_set(e, ERR_EXISTS, "there already is a volume \"%s\" of another capacity", name);
    return image_sync(p, name, e);
}

static int check_capacity(const char *name, uint64_t capacity, struct err *e)
{
    char least[16], most[16];

    if (capacity >= VOL_CAPACITY_MIN && capacity <= VOL_CAPACITY_MAX && capacity % VOL_BLOCK == 0)
        return 0;
    return err_set(e, ERR_INPUT,
                   "the capacity of volume \"%s\" is not between %s and %s in steps of 4Ki", name,
                   str_size(least, sizeof(least), VOL_CAPACITY_MIN),
                   str_size(most, sizeof(most), VOL_CAPACITY_MAX));
}

static int draft(const struct vol_pool *p, const char *name, struct err *e)
{
    int fd = openat(p->images_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set_os(e, errno, "could not create volume \"%s\"", name);
    return fd;
}

/*
 * Give the finished draft its name, durably. XFS logs in order: what makes the name durable has
 * made the extents of an earlier FICLONE durable too, so a clone (ordered) needs one log force, not
 * two. Nobody else promises that, and nobody promises it for data written through the page cache.
 */
static int publish(const struct vol_pool *p, int fd, const char *name, bool ordered, struct err *e)
{
    char file[VOL_FILE_SIZE], proc_path[32];

    if (image_file(name, file, e) < 0)
        return -1;
    if (!ordered && fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync volume \"%s\"", name);
    if (INJECT("vol.complete", e) < 0)
        return -1;
    (void)snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, proc_path, p->images_fd, file, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not name volume \"%s\"", name);
    if (INJECT("vol.named", e) < 0)
        return -1;
    return image_sync(p, name, e);
}

/* ---- making one ---- */

static int mkfs(int fd, uint64_t capacity, struct err *e)
{
    bool small = capacity < UINT64_C(256) << 20;
    /*
     * Inode tables and log are initialised now: nothing is left for a background thread of each
     * clone's first mount to write. The numbers are given here and not by /etc/mke2fs.conf, so that
     * every machine makes the same images.
     */
    /* clang-format off */
    const char *argv[] = {
        "mkfs.ext4", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "2",
        "-i", small ? "8192" : "16384",
        "-J", small ? "size=4" : "size=16",
        "-U", "random", "-e", "remount-ro",
        "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        "--", "/proc/self/fd/3", NULL};
    /* clang-format on */
    struct vol_run run = {.package = "e2fsprogs", .argv = argv, .fd = fd, .deadline_ms = MKFS_MS};

    return vol_run(&run, e);
}

/* mkfs and resize2fs zero by allocating: 1.6 % of the capacity, for nothing. Zeros are holes. */
static int make_sparse(int fd, uint64_t capacity, struct err *e)
{
    off_t end = (off_t)capacity, hole = 0;

    while (hole < end) {
        off_t data;

        hole = lseek(fd, hole, SEEK_HOLE);
        data = hole < 0 ? -1 : lseek(fd, hole, SEEK_DATA);
        if (hole < 0 || (data < 0 && errno != ENXIO))
            return err_set_os(e, errno, "could not make it sparse");
        if (data < 0)
            data = end;
        if (hole < data &&
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hole, data - hole) < 0)
            return err_set_os(e, errno, "could not make it sparse");
        hole = data;
    }
    return 0;
}

static int lay_out(int root, struct err *e)
{
    if (mkdirat(root, VOL_DIR_POD, 0700) < 0 || mkdirat(root, VOL_DIR_KEEP, 0700) < 0 ||
        fchmodat(root, VOL_DIR_POD, 0700, 0) < 0 || fchmodat(root, VOL_DIR_KEEP, 0700, 0) < 0 ||
        fchownat(root, VOL_DIR_POD, VOL_DISK_UID, VOL_DISK_GID, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(root, ".", 0711, 0) < 0)
        return err_set_os(e, errno, "could not make its directories");
    return 0;
}

/* Make the directories in a mount that is nowhere: whatever happens, closing it is enough. */
static int furnish(int fd, const char *name, struct err *e)
{
    struct loopdev_backing backing;
    struct loopdev loop;
    int mnt, made;

    if (loopdev_take(fd, name, false, &loop, e) < 0)
        return -1;
    loopdev_backing(loop.dev, &backing);
    mnt = mnt_make("ext4", loop.path, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, e);
    made = mnt < 0 ? -1 : lay_out(mnt, e);
    close_fd(&mnt);
    close_fd(&loop.fd);
    if (made < 0)
        return -1;
    if (!loopdev_gone(loop.dev, &backing))
        return err_set(e, ERR_BUSY, "its loop device did not go away");
    return 0;
}

int vol_image_make(const struct vol_pool *p, const char *name, uint64_t capacity, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(p, name, &st, e);

    if (there < 0 || check_capacity(name, capacity, e) < 0)
        return -1;
    if (there == 1)
        return found(p, name, &st, capacity, e);
    fd = draft(p, name, e);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)capacity) < 0)
        return err_set_os(e, errno, "could not give volume \"%s\" its capacity", name);
    if (mkfs(fd, capacity, e) < 0 || make_sparse(fd, capacity, e) < 0 ||
        INJECT("vol.formatted", e) < 0 || furnish(fd, name, e) < 0)
        return err_prefix(e, "could not make volume \"%s\"", name);
    return publish(p, fd, name, false, e);
}

/* ---- copies ---- */

static int copy_sparse(int from, int to, off_t size)
{
    off_t at = 0;

    if (ftruncate(to, size) < 0)
        return -1;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, at, SEEK_HOLE), target = at;

        if (end < 0)
            return -1;
        while (at < end) {
            ssize_t n = copy_file_range(from, &at, to, &target, (size_t)(end - at), 0);

            if (n < 0 && errno != EINTR)
                return -1;
            if (n == 0) {
                errno = EIO;
                return -1;
            }
        }
    }
    return errno == ENXIO ? 0 : -1; /* no data beyond here: the end */
}

static int set_cowextsize(int fd)
{
    struct fsxattr x;

    if (COWEXTSIZE == 0)
        return 0;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
        return -1;
    x.fsx_xflags |= FS_XFLAG_COWEXTSIZE;
    x.fsx_cowextsize = COWEXTSIZE;
    return ioctl(fd, FS_IOC_FSSETXATTR, &x);
}

/* The blocks of a sealed image into a new draft of the name to. */
static int duplicate(const struct vol_pool *p, const char *from_name, const char *to_name,
                     struct err *e)
{
    AUTO_CLOSE int from = image_open(p, from_name, O_RDONLY, e), to = -1;
    struct stat st;

    if (from < 0)
        return -1;
    if (fstat(from, &st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", from_name);
    if ((st.st_mode & 0222) != 0)
        return err_set(e, ERR_INTERNAL, "volume \"%s\" is not sealed, so it cannot be cloned",
                       from_name);
    to = draft(p, to_name, e);
    if (to < 0)
        return -1;
    if (p->how == VOL_COPY ? copy_sparse(from, to, st.st_size) < 0
                           : set_cowextsize(to) < 0 || ioctl(to, FICLONE, from) < 0)
        return err_set_os(e, errno, "could not clone volume \"%s\"", from_name);
    return take_fd(&to);
}

static bool logs_in_order(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == XFS_SUPER_MAGIC;
}

int vol_clone(const struct vol_pool *p, const char *template_name, const char *id, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(p, id, &st, e);

    if (there != 0)
        return there < 0 ? -1 : image_sync(p, id, e);
    fd = duplicate(p, template_name, id, e);
    if (fd < 0 || INJECT("vol.cloned", e) < 0)
        return -1;
    return publish(p, fd, id, p->how != VOL_COPY && logs_in_order(fd), e);
}

static int enlarge(int fd, uint64_t capacity, struct err *e)
{
    static const char *const check[] = {"e2fsck", "-f", "-p", "--", "/proc/self/fd/3", NULL};
    static const char *const resize[] = {"resize2fs", "--", "/proc/self/fd/3", NULL};
    struct vol_run run = {
        .package = "e2fsprogs", .argv = check, .fd = fd, .worst_ok = 1, .deadline_ms = CHECK_MS};

    if (ftruncate(fd, (off_t)capacity) < 0)
        return err_set_os(e, errno, "could not give it its capacity");
    if (vol_run(&run, e) < 0) /* resize2fs insists on it */
        return -1;
    run.argv = resize;
    run.worst_ok = 0;
    return vol_run(&run, e) < 0 ? -1 : make_sparse(fd, capacity, e);
}

int vol_image_resize_copy(const struct vol_pool *p, const char *from, const char *to,
                          uint64_t capacity, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(p, to, &st, e);

    if (there < 0 || check_capacity(to, capacity, e) < 0)
        return -1;
    if (there == 1)
        return found(p, to, &st, capacity, e);
    if (image_stat(p, from, &st, e) < 1)
        return err_set_os(e, ENOENT, "could not look at volume \"%s\"", from);
    if (capacity < (uint64_t)st.st_size) {
        char wanted[16], had[16];

        (void)err_set(e, ERR_INPUT, "volume \"%s\" cannot be made smaller: %s is less than %s",
                      from, str_size(wanted, sizeof(wanted), capacity),
                      str_size(had, sizeof(had), (uint64_t)st.st_size));
        return err_hint(e, "ask for a capacity of at least %s", had);
    }
    fd = duplicate(p, from, to, e);
    if (fd < 0)
        return -1;
    if (enlarge(fd, capacity, e) < 0 || INJECT("vol.enlarged", e) < 0)
        return err_prefix(e, "could not resize volume \"%s\"", from);
    return publish(p, fd, to, false, e);
}
