/* New images: unnamed until they are complete, so a crash leaves none that is half made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/str.h"

#include "run.h"
#include "vol-int.h"

#define MKFS_MS 300000

/* An image has its name only once it is complete, but an interrupted run may not have made the
 * name durable. */
static int found(const struct vol_pool *p, const char *name, const struct stat *st,
                 uint64_t capacity, struct err *e)
{
    if ((uint64_t)st->st_size != capacity)
        return err_set(e, ERR_EXISTS, "there already is a volume \"%s\" of another capacity", name);
    return image_sync(p, name, e);
}

int image_check_capacity(const char *name, uint64_t capacity, struct err *e)
{
    char least[16], most[16];

    if (capacity >= VOL_CAPACITY_MIN && capacity <= VOL_CAPACITY_MAX && capacity % VOL_BLOCK == 0)
        return 0;
    return err_set(e, ERR_INPUT,
                   "the capacity of volume \"%s\" is not between %s and %s in steps of 4Ki", name,
                   str_size(least, sizeof(least), VOL_CAPACITY_MIN),
                   str_size(most, sizeof(most), VOL_CAPACITY_MAX));
}

/* ---- making one ---- */

static int mkfs(int fd, uint64_t capacity, struct err *e)
{
    bool small = capacity < UINT64_C(256) << 20;
    char percent[24];
    /*
     * Inode tables and log are initialised now: nothing is left for a background thread of each
     * clone's first mount to write. The numbers are given here and not by /etc/mke2fs.conf, so that
     * every machine makes the same images.
     */
    /* clang-format off */
    const char *argv[] = {
        "mkfs.ext4", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", percent,
        "-i", small ? "8192" : "16384",
        "-J", small ? "size=4" : "size=16",
        "-U", "random", "-e", "remount-ro",
        "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0",
        "--", "/proc/self/fd/3", NULL};
    /* clang-format on */
    struct vol_run run = {.package = "e2fsprogs", .argv = argv, .fd = fd, .deadline_ms = MKFS_MS};

    (void)snprintf(percent, sizeof(percent), "%.6f",
                   100.0 * (double)reserve_bytes(capacity) / (double)capacity);
    return vol_run(&run, e);
}

static int lay_out(int root, struct err *e)
{
    if (mkdirat(root, VOL_DIR_POD, 0700) < 0 || mkdirat(root, VOL_DIR_KEEP, 0700) < 0 ||
        fchmodat(root, VOL_DIR_POD, 0700, 0) < 0 || fchmodat(root, VOL_DIR_KEEP, 0700, 0) < 0 ||
        fchownat(root, VOL_DIR_POD, VOL_DISK_UID, VOL_DISK_GID, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(root, ".", 0711, 0) < 0)
        return err_set_os(e, errno, "could not make its directories");
    return reserve_restore(root, e);
}

int vol_image_make(const struct vol_pool *p, const char *name, uint64_t capacity, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(p, name, &st, e);

    if (there < 0 || image_check_capacity(name, capacity, e) < 0)
        return -1;
    if (there == 1)
        return found(p, name, &st, capacity, e);
    fd = draft_open(p, name, 0600, e);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)capacity) < 0)
        return err_set_os(e, errno, "could not give volume \"%s\" its capacity", name);
    if (mkfs(fd, capacity, e) < 0 || draft_make_sparse(fd, capacity, e) < 0 ||
        INJECT("vol.formatted", e) < 0 || draft_furnish(fd, name, lay_out, e) < 0)
        return err_prefix(e, "could not make volume \"%s\"", name);
    return draft_publish(p, fd, name, DRAFT_WRITTEN, e);
}

/* ---- copies ---- */

int vol_clone(const struct vol_pool *p, const char *template_name, const char *id, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(p, id, &st, e);

    if (there != 0)
        return there < 0 ? -1 : image_sync(p, id, e);
    fd = draft_clone(p, template_name, id, e);
    if (fd < 0 || INJECT("vol.cloned", e) < 0)
        return -1;
    return draft_publish(p, fd, id, DRAFT_SHARED, e);
}
