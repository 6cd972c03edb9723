#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#include "vol-int.h"

#define RACES_MAX 64   /* others may take the number the kernel has just told us */
#define GONE_MS   2000 /* unmounting has flushed already; udev may look at the device meanwhile */

_Static_assert(sizeof(LOOPDEV_OURS) + VOL_NAME_MAX <= LO_NAME_SIZE, "names fit in the device");

void wait_a_moment(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* <xfs/xfs_fs.h>, which is not everywhere. */
struct xfs_handle_request {
    uint32_t fd;
    const void *path;
    uint32_t flags;
    const void *in;
    uint32_t in_len;
    void *out;
    uint32_t *out_len;
};
#define XFS_FD_TO_HANDLE   _IOWR('X', 106, struct xfs_handle_request)
#define XFS_OPEN_BY_HANDLE _IOWR('X', 107, struct xfs_handle_request)
#define XFS_HANDLE_SIZE    64u /* 24 are used */

/*
 * A flush of a loop device syncs its file, times included. Each tick of the clock in which
 * something was written would so force a record into the log of the pool and flush the disk twice:
 * a fifth of all commits pays for a time that nobody reads. XFS leaves the times alone in files
 * opened by handle; blocks and sizes are logged as ever.
 */
int loopdev_timeless(int dir_fd, int fd)
{
    unsigned char handle[XFS_HANDLE_SIZE];
    uint32_t len = sizeof(handle);
    struct statfs fs;
    int other;

    if (fstatfs(fd, &fs) < 0 || fs.f_type != XFS_SUPER_MAGIC ||
        ioctl(fd, XFS_FD_TO_HANDLE,
              &(struct xfs_handle_request){
                  .fd = (uint32_t)fd, .flags = O_RDWR, .out = handle, .out_len = &len}) < 0)
        return fd;
    other = ioctl(dir_fd, XFS_OPEN_BY_HANDLE,
                  &(struct xfs_handle_request){.flags = O_RDWR, .in = handle, .in_len = len});
    if (other < 0)
        return fd;
    if (fcntl(other, F_SETFD, FD_CLOEXEC) < 0) {
        (void)close(other);
        return fd;
    }
    (void)close(fd);
    return other;
}

/* Open /dev/<name>, making it where /dev does not follow the kernel by itself (containers). */
static int open_device(const char *name, dev_t dev, int flags, char path[32])
{
    struct stat st;
    int fd;

    (void)snprintf(path, 32, "/dev/%s", name);
    fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT && mknod(path, S_IFBLK | 0600, dev) == 0)
        fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev) {
        (void)close(fd);
        errno = ENODEV;
        return -1;
    }
    return fd;
}

/* The device number of loop<number>: minors are multiples when partitions are enabled. */
static dev_t device_number(int number)
{
    char path[48];
    AUTO_FREE char *text = NULL;
    char *minor_text;
    uint64_t major, minor;
    struct err e;

    (void)snprintf(path, sizeof(path), "/sys/block/loop%d/dev", number);
    if (fd_read_file(AT_FDCWD, path, 64, &text, &e) < 0 || (minor_text = strchr(text, ':')) == NULL)
        return makedev(LOOP_MAJOR, (unsigned)number);
    *minor_text++ = '\0';
    minor_text[strcspn(minor_text, "\n")] = '\0';
    if (!str_u64(text, &major) || !str_u64(minor_text, &minor))
        return makedev(LOOP_MAJOR, (unsigned)number);
    return makedev((unsigned)major, (unsigned)minor);
}

/* LOOP_CONFIGURE takes the device exclusively itself: EBUSY means that somebody else was faster. */
static int configure(int loop, int file, const char *image, bool read_only)
{
    struct loop_config config = {
        .fd = (unsigned)file,
        .block_size = VOL_BLOCK,
        .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO |
                         (read_only ? (unsigned)LO_FLAGS_READ_ONLY : 0),
    };

    (void)snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s%s",
                   LOOPDEV_OURS, image);
    if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    config.info.lo_flags &= ~(unsigned)LO_FLAGS_DIRECT_IO;
    return ioctl(loop, LOOP_CONFIGURE, &config);
}

static int take_number(int number, int file, const char *image, bool read_only,
                       struct loopdev *ret_loop)
{
    struct loopdev loop = {.fd = -1, .dev = device_number(number)};
    struct loop_info64 info;
    char name[16];

    (void)snprintf(name, sizeof(name), "loop%d", number);
    loop.fd = open_device(name, loop.dev, read_only ? O_RDONLY : O_RDWR, loop.path);
    if (loop.fd < 0)
        return -1;
    if (configure(loop.fd, file, image, read_only) < 0 ||
        ioctl(loop.fd, LOOP_GET_STATUS64, &info) < 0) {
        int number_of_error = errno;

        (void)close(loop.fd);
        errno = number_of_error;
        return -1;
    }
    loop.direct = (info.lo_flags & LO_FLAGS_DIRECT_IO) != 0;
    *ret_loop = loop;
    return 0;
}

int loopdev_take(int file, const char *image, bool read_only, struct loopdev *ret_loop,
                 struct err *e)
{
    AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number_of_error = 0;

    if (control < 0) {
        (void)err_set_os(e, errno, "could not open /dev/loop-control");
        e->kind = ERR_MISSING;
        return err_hint(e, "volumes need loop devices: try \"modprobe loop\"");
    }
    for (int i = 0; i < RACES_MAX; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);

        if (number < 0)
            return err_set_os(e, errno, "could not get a loop device for \"%s\"", image);
        if (take_number(number, file, image, read_only, ret_loop) == 0) {
            (void)dirty_free(ret_loop->dev); /* whoever had it last may have been killed first */
            return 0;
        }
        number_of_error = errno;
        if (number_of_error != EBUSY && number_of_error != ENXIO)
            break;
    }
    return err_set_os(e, number_of_error, "could not give \"%s\" a loop device", image);
}

int loopdev_open(dev_t dev, struct err *e)
{
    char link[64], target[256], path[32];
    const char *name;
    ssize_t n;
    int fd;

    (void)snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev), minor(dev));
    n = readlink(link, target, sizeof(target) - 1);
    if (n < 0)
        return err_set_os(e, errno, "could not look up loop device %u:%u", major(dev), minor(dev));
    target[n] = '\0';
    name = strrchr(target, '/');
    if (name == NULL || strlen(name + 1) > 15)
        return err_set(e, ERR_OS, "could not look up loop device %u:%u", major(dev), minor(dev));
    fd = open_device(name + 1, dev, O_RDONLY, path);
    if (fd < 0)
        return err_set_os(e, errno, "could not open loop device %s", path);
    return fd;
}

void loopdev_backing(dev_t dev, struct loopdev_backing *ret_backing)
{
    AUTO_FREE char *text = NULL;
    char path[64];
    struct err e;

    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/loop/backing_file", major(dev),
                   minor(dev));
    if (fd_read_file(AT_FDCWD, path, sizeof(ret_backing->path) - 1, &text, &e) < 0 ||
        !str_copy(ret_backing->path, sizeof(ret_backing->path), text))
        ret_backing->path[0] = '\0';
}

/* The file system of the image has shut down, so not even the kernel can look at the image. Its
 * name is known all the same, and enough to let go of it. */
static int info_of_dead(dev_t dev, struct loopdev_info *ret_info)
{
    struct loopdev_backing backing;
    const char *name;
    size_t len;

    *ret_info = (struct loopdev_info){0};
    loopdev_backing(dev, &backing);
    backing.path[strcspn(backing.path, "\n")] = '\0';
    name = strrchr(backing.path, '/');
    len = name == NULL ? 0 : strlen(++name);
    if (len <= 4 || !str_is(name + len - 4, ".img") || len - 4 >= sizeof(ret_info->image))
        return 1;
    memcpy(ret_info->image, name, len - 4);
    ret_info->ours = vol_name_ok(ret_info->image);
    return 1;
}

int loopdev_info(dev_t dev, struct loopdev_info *ret_info, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct loop_info64 info;
    const char *name;

    if (major(dev) != LOOP_MAJOR)
        return 0;
    fd = loopdev_open(dev, e);
    if (fd < 0)
        return -1;
    if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0 && errno == EIO)
        return info_of_dead(dev, ret_info);
    if (ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
        return err_set_os(e, errno, "could not read the state of loop device %u:%u", major(dev),
                          minor(dev));
    info.lo_file_name[LO_NAME_SIZE - 1] = '\0';
    name = (const char *)info.lo_file_name;
    *ret_info = (struct loopdev_info){.backing_dev = info.lo_device, .backing_ino = info.lo_inode};
    if (str_starts(name, LOOPDEV_OURS) && vol_name_ok(name + strlen(LOOPDEV_OURS)))
        ret_info->ours =
            str_copy(ret_info->image, sizeof(ret_info->image), name + strlen(LOOPDEV_OURS));
    return 1;
}

bool loopdev_gone(dev_t dev, const struct loopdev_backing *before)
{
    uint64_t until_ms = clock_ms() + GONE_MS;
    struct loopdev_backing now;

    for (;;) {
        loopdev_backing(dev, &now);
        if (now.path[0] == '\0' || !str_is(now.path, before->path))
            return true;
        if (clock_ms() >= until_ms)
            return false;
        wait_a_moment();
    }
}
