/*
 * Drafts: images without a name. Whatever makes an image fills a draft and names it when it is
 * whole, so a crash leaves none that is half made: the kernel drops what has no name.
 */
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
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"

#include "vol-int.h"

/*
 * How much XFS copies at the first write into a shared extent, in bytes. 0 leaves its default of
 * 128 KiB: a first wake and sleep then costs 2.2 MiB of pool instead of 0.8 with 4096, but later
 * writes find their blocks in few, long extents, which later clones of the volume are paid by.
 */
#define COWEXTSIZE 0u

#define COPY_STEP (1u << 20)

int draft_open(const struct vol_pool *p, const char *name, mode_t mode, struct err *e)
{
    int fd = openat(p->images_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

    if (fd < 0)
        return err_set_os(e, errno, "could not create volume \"%s\"", name);
    return fd;
}

int draft_link(const struct vol_pool *p, int fd, const char *file)
{
    char proc_path[32];

    (void)snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, proc_path, p->images_fd, file, AT_SYMLINK_FOLLOW);
}

/*
 * XFS logs in order: what makes a name durable has made the extents of an earlier FICLONE durable
 * too, so a clone needs one log force, not two. Nobody else promises that, and nobody promises it
 * for data written through the page cache.
 */
static bool logs_in_order(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && fs.f_type == XFS_SUPER_MAGIC;
}

int draft_publish(const struct vol_pool *p, int fd, const char *name, enum draft_with with,
                  struct err *e)
{
    bool ordered = with == DRAFT_SHARED && p->how != VOL_COPY && logs_in_order(fd);
    char file[VOL_FILE_SIZE];

    if (image_file(name, file, e) < 0)
        return -1;
    if (!ordered && fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync volume \"%s\"", name);
    if (INJECT("vol.complete", e) < 0)
        return -1;
    if (draft_link(p, fd, file) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not name volume \"%s\"", name);
    if (INJECT("vol.named", e) < 0)
        return -1;
    return image_sync(p, name, e);
}

/* ---- blocks ---- */

/* mkfs and resize2fs zero by allocating: 1.6 % of the capacity, for nothing. Zeros are holes. */
int draft_make_sparse(int fd, uint64_t capacity, struct err *e)
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

/* The same when the kernel does not copy between these two file systems itself. */
static int copy_through_us(int from, int to, off_t at, off_t end)
{
    AUTO_FREE char *step = mem_new(COPY_STEP);

    while (at < end) {
        size_t want = end - at < (off_t)COPY_STEP ? (size_t)(end - at) : COPY_STEP;
        ssize_t n = pread(from, step, want, at), put;

        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return -1;
        }
        for (ssize_t done = 0; done < n; done += put) {
            put = pwrite(to, step + done, (size_t)(n - done), at + done);
            if (put < 0)
                return -1;
        }
        at += n;
    }
    return 0;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
    off_t target = at;

    while (at < end) {
        ssize_t n = copy_file_range(from, &at, to, &target, (size_t)(end - at), 0);

        if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP))
            return copy_through_us(from, to, at, end);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0) {
            errno = EIO;
            return -1;
        }
    }
    return 0;
}

int draft_copy_sparse(int from, int to, off_t size)
{
    off_t at = 0;

    if (ftruncate(to, size) < 0)
        return -1;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, at, SEEK_HOLE);

        if (end < 0 || copy_range(from, to, at, end) < 0)
            return -1;
        at = end;
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

int draft_share(const struct vol_pool *p, int from, int to)
{
    struct stat st;

    if (p->how == VOL_COPY)
        return fstat(from, &st) < 0 ? -1 : draft_copy_sparse(from, to, st.st_size);
    return set_cowextsize(to) < 0 ? -1 : ioctl(to, FICLONE, from);
}

int draft_clone(const struct vol_pool *p, const char *from_name, const char *name, struct err *e)
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
    to = draft_open(p, name, 0600, e);
    if (to < 0)
        return -1;
    if (draft_share(p, from, to) < 0)
        return err_set_os(e, errno, "could not clone volume \"%s\"", from_name);
    return take_fd(&to);
}

int draft_furnish(int fd, const char *name, int (*work)(int root, struct err *e), struct err *e)
{
    struct loopdev_backing backing;
    struct loopdev loop;
    int mnt, done;

    if (loopdev_take(fd, name, false, &loop, e) < 0)
        return -1;
    loopdev_backing(loop.dev, &backing);
    mnt = mnt_make("ext4", loop.path, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, e);
    done = mnt < 0 ? -1 : work(mnt, e);
    close_fd(&mnt);
    close_fd(&loop.fd);
    if (done < 0)
        return -1;
    if (!loopdev_gone(loop.dev, &backing))
        return err_set(e, ERR_BUSY, "its loop device did not go away");
    return 0;
}
