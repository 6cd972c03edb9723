/* Images that are there: finding, claiming, sealing, removing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/str.h"

#include "vol-int.h"

#define CLAIM_WAIT_MS 300

int image_file(const char *name, char *at, struct err *e)
{
    char shown[80];

    if (!vol_name_ok(name))
        return err_set(e, ERR_INPUT, "\"%s\" cannot be the name of a volume",
                       str_show(shown, sizeof(shown), name, strlen(name)));
    (void)snprintf(at, VOL_FILE_SIZE, "%s.img", name);
    return 0;
}

int image_open(const struct vol_pool *p, const char *name, int flags, struct err *e)
{
    char file[VOL_FILE_SIZE];
    int fd;

    if (image_file(name, file, e) < 0)
        return -1;
    fd = openat(p->images_fd, file, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set_os(e, errno, "could not open volume \"%s\"", name);
    return (flags & O_ACCMODE) == O_RDWR ? loopdev_timeless(p->images_fd, fd) : fd;
}

int image_claim(int fd, const char *name, bool read_only, struct err *e)
{
    uint64_t until_ms = clock_ms() + CLAIM_WAIT_MS;

    /* The last holder may be a loop device that is just being cleared. */
    while (flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_set_os(e, errno, "could not claim volume \"%s\"", name);
        if (clock_ms() >= until_ms)
            return err_set(e, ERR_BUSY, "volume \"%s\" is attached elsewhere", name);
        wait_a_moment();
    }
    return 0;
}

int image_sync(const struct vol_pool *p, const char *name, struct err *e)
{
    if (fsync(p->images_fd) < 0)
        return err_set_os(e, errno, "could not sync the pool of volume \"%s\"", name);
    return 0;
}

int image_stat(const struct vol_pool *p, const char *name, struct stat *ret_st, struct err *e)
{
    char file[VOL_FILE_SIZE];

    if (image_file(name, file, e) < 0)
        return -1;
    if (fstatat(p->images_fd, file, ret_st, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    if (errno == ENOENT)
        return 0;
    return err_set_os(e, errno, "could not look at volume \"%s\"", name);
}

/* ---- sealing and removing ---- */

/* Best effort: what the flag protects from is ourselves, and not every file system has it. */
void image_set_immutable(int fd, bool immutable)
{
    int flags;

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int image_seal(int fd, const char *name, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || ((st.st_mode & 07777) != 0400 && fchmod(fd, 0400) < 0))
        return err_set_os(e, errno, "could not seal volume \"%s\"", name);
    if (INJECT("vol.sealing", e) < 0)
        return -1;
    image_set_immutable(fd, true);
    if (fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync volume \"%s\"", name);
    return 0;
}

int vol_seal(const struct vol_pool *p, const char *name, struct err *e)
{
    AUTO_CLOSE int fd = image_open(p, name, O_RDONLY, e);

    if (fd < 0)
        return -1;
    if (image_claim(fd, name, false, e) < 0)
        return err_prefix(e, "could not seal volume \"%s\"", name);
    return image_seal(fd, name, e);
}

int vol_destroy(const struct vol_pool *p, const char *name, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    char file[VOL_FILE_SIZE];
    struct stat st;
    int there;

    /* What a replacement that was killed had yet to name is somebody's snapshot, not part of this.
     */
    if (replace_settle(p, name, e) < 0 || grow_forget(p, name, e) < 0)
        return -1;
    there = image_stat(p, name, &st, e);
    if (there <= 0)
        return there < 0 ? -1 : image_sync(p, name, e);
    fd = image_open(p, name, O_RDONLY, e);
    if (fd < 0 || image_file(name, file, e) < 0)
        return -1;
    if (image_claim(fd, name, false, e) < 0)
        return err_prefix(e, "could not delete volume \"%s\"", name);
    image_set_immutable(fd, false);
    if (INJECT("vol.destroying", e) < 0)
        return -1;
    if (unlinkat(p->images_fd, file, 0) < 0)
        return err_set_os(e, errno, "could not delete volume \"%s\"", name);
    if (INJECT("vol.destroyed", e) < 0)
        return -1;
    return image_sync(p, name, e);
}

/* ---- looking ---- */

int vol_exists(const struct vol_pool *p, const char *name, struct err *e)
{
    struct stat st;

    return image_stat(p, name, &st, e);
}

int vol_used(const struct vol_pool *p, const char *name, uint64_t *ret_used, uint64_t *ret_capacity,
             struct err *e)
{
    struct stat st;
    int there = image_stat(p, name, &st, e);

    if (there < 0)
        return -1;
    if (there == 0)
        return err_set_os(e, ENOENT, "could not look at volume \"%s\"", name);
    *ret_used = (uint64_t)st.st_blocks * 512;
    *ret_capacity = (uint64_t)st.st_size;
    return 0;
}

int vol_list(const struct vol_pool *p, vol_image_fn fn, void *owner, struct err *e)
{
    AUTO_CLOSE int fd = openat(p->images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (dir == NULL)
        return err_set_os(e, errno, "could not list the volumes of a pool");
    (void)take_fd(&fd); /* dir has it now */
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        char name[VOL_NAME_MAX + 1];
        size_t len = strlen(entry->d_name);
        struct vol_image image = {.name = name};
        struct stat st;

        if (len < 4 || len - 4 >= sizeof(name) || !str_is(entry->d_name + len - 4, ".img"))
            continue;
        memcpy(name, entry->d_name, len - 4);
        name[len - 4] = '\0';
        if (!vol_name_ok(name) ||
            fstatat(p->images_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISREG(st.st_mode))
            continue;
        image.capacity = (uint64_t)st.st_size;
        image.used = (uint64_t)st.st_blocks * 512;
        image.sealed = (st.st_mode & 0222) == 0;
        if (fn(owner, &image, e) < 0)
            return -1;
        errno = 0;
    }
    if (errno != 0)
        return err_set_os(e, errno, "could not list the volumes of a pool");
    return 0;
}
