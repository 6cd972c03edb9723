#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"

#include "vol-int.h"

#define HOLD "hold" /* in "keep" */

static int open_keep(const char *mountpoint, struct err *e)
{
    AUTO_CLOSE int top = open(mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (top < 0)
        return err_set_os(e, errno, "could not open \"%s\"", mountpoint);
    return fd_open_beneath(top, VOL_DIR_KEEP, O_RDONLY | O_DIRECTORY, e);
}

/* Unwritten extents: taken in the volume, never written to the image, so not there in the pool. */
static int take_all(int fd, const char *mountpoint, struct err *e)
{
    struct stat st;
    struct statfs fs;
    uint64_t part;

    if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
    part = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    /* its users take blocks at the same time, and extents need some: halve it until nothing fits */
    while (part >= (uint64_t)fs.f_bsize) {
        part -= part % (uint64_t)fs.f_bsize;
        if (fallocate(fd, 0, st.st_size, (off_t)part) == 0) {
            st.st_size += (off_t)part;
            if (fstatfs(fd, &fs) < 0)
                return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
            part = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
        } else if (errno == ENOSPC || errno == EINTR) {
            part /= 2;
        } else {
            return err_set_os(e, errno, "could not hold \"%s\"", mountpoint);
        }
    }
    return 0;
}

int vol_hold(const char *mountpoint, bool on, struct err *e)
{
    AUTO_CLOSE int keep = open_keep(mountpoint, e);
    AUTO_CLOSE int fd = -1;

    if (keep < 0)
        return -1;
    if (!on)
        return unlinkat(keep, HOLD, 0) == 0 || errno == ENOENT
                   ? 0
                   : err_set_os(e, errno, "could not let go of \"%s\"", mountpoint);
    fd = openat(keep, HOLD, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_os(e, errno, "could not hold \"%s\"", mountpoint);
    return take_all(fd, mountpoint, e);
}

int vol_held(const char *mountpoint, struct err *e)
{
    AUTO_CLOSE int keep = open_keep(mountpoint, e);

    if (keep < 0)
        return -1;
    return faccessat(keep, HOLD, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static char *bdi_file(char *at, size_t size, dev_t dev, const char *name)
{
    (void)snprintf(at, size, "/sys/class/bdi/%u:%u/%s", major(dev), minor(dev), name);
    return at;
}

int dirty_bound(dev_t dev, uint64_t bytes, struct err *e)
{
    char path[96], text[24];
    struct err ignored;

    if (fd_put(AT_FDCWD, bdi_file(path, sizeof(path), dev, "strict_limit"), "1", &ignored) < 0)
        return fd_put(AT_FDCWD, bdi_file(path, sizeof(path), dev, "max_ratio"), "1", e) < 0 ? -1
                                                                                            : 0;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
    return fd_put(AT_FDCWD, bdi_file(path, sizeof(path), dev, "max_bytes"), text, e) < 0 ? -1 : 1;
}

uint64_t dirty_free(dev_t dev)
{
    char path[96];
    unsigned long long strict = 0, bytes = 0;
    struct err ignored;

    if (fd_get_u64(AT_FDCWD, bdi_file(path, sizeof(path), dev, "strict_limit"), &strict,
                   &ignored) == 0 &&
        strict != 0)
        (void)fd_get_u64(AT_FDCWD, bdi_file(path, sizeof(path), dev, "max_bytes"), &bytes,
                         &ignored);
    (void)fd_put(AT_FDCWD, bdi_file(path, sizeof(path), dev, "strict_limit"), "0", &ignored);
    (void)fd_put(AT_FDCWD, bdi_file(path, sizeof(path), dev, "max_ratio"), "100", &ignored);
    return bytes;
}

int vol_bound_dirty(const char *mountpoint, uint64_t bytes, struct err *e)
{
    struct stat st;

    if (stat(mountpoint, &st) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
    return dirty_bound(st.st_dev, bytes, e);
}
