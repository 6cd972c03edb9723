/*
 * What a volume holds back for the day it is full.
 *
 * A PostgreSQL whose disk is full can be unable to start: after a crash it may have to make a WAL
 * segment (16 MiB) before it can replay, and a start also makes a handful of small files. So there
 * are two helpings, each enough for a segment. The first are ext4's reserved blocks: root's, until
 * they are opened to the volume's owner. The second, for when the first is eaten too, is a ballast
 * file, and empty files that hold inodes back; both in "keep", which no pod sees.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
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
#include "base/str.h"

#include "vol-int.h"

#define MIB         (UINT64_C(1) << 20)
#define RESERVE_MIN (24 * MIB)
#define BALLAST_MIN (18 * MIB)
#define BALLAST     "ballast"
#define INODES      "inodes"
#define INODES_MAX  64

static uint64_t between(uint64_t share, uint64_t least, uint64_t most)
{
    uint64_t bytes = share < least ? least : share;

    if (bytes > most)
        bytes = most;
    return bytes - bytes % VOL_BLOCK;
}

uint64_t reserve_bytes(uint64_t capacity)
{
    return between(capacity / 50, RESERVE_MIN, capacity / 8);
}

static uint64_t ballast_bytes(uint64_t total)
{
    return between(total / 100, BALLAST_MIN, total / 16);
}

static unsigned inode_count(uint64_t total)
{
    return total / MIB < INODES_MAX ? (unsigned)(total / MIB) : INODES_MAX;
}

static void inode_name(unsigned i, char at[8])
{
    (void)snprintf(at, 8, "%02u", i % 100);
}

static int open_keep(int root, struct err *e)
{
    return fd_open_beneath(root, VOL_DIR_KEEP, O_RDONLY | O_DIRECTORY, e);
}

/* ---- making it ---- */

static int make_ballast(int keep, uint64_t size, struct err *e)
{
    AUTO_CLOSE int fd =
        openat(keep, BALLAST, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0 && errno == ENOSPC)
        return 0; /* out of inodes: another time */
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not make the ballast of a volume");
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_OS, "the ballast of a volume is not a file");
    /* Allocated, never written: in the pool it takes nothing. */
    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return 0;
    if (errno != ENOSPC)
        return err_set_os(e, errno, "could not make the ballast of a volume");
    /* Somebody else was faster. What is there of it would only be in their way. */
    (void)unlinkat(keep, BALLAST, 0);
    return 0;
}

static int make_inodes(int keep, unsigned n, struct err *e)
{
    AUTO_CLOSE int dir = -1;
    char name[8];

    if (mkdirat(keep, INODES, 0700) < 0 && errno != EEXIST)
        return errno == ENOSPC ? 0 : err_set_os(e, errno, "could not make the reserve of a volume");
    dir = fd_open_beneath(keep, INODES, O_RDONLY | O_DIRECTORY, e);
    if (dir < 0)
        return -1;
    for (unsigned i = 0; i < n; i++) {
        AUTO_CLOSE int fd = -1;

        inode_name(i, name);
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0)
            return errno == ENOSPC ? 0
                                   : err_set_os(e, errno, "could not make the reserve of a volume");
    }
    return 0;
}

int reserve_restore(int root, struct err *e)
{
    AUTO_CLOSE int keep = open_keep(root, e);
    uint64_t total, room, ballast;
    char last[sizeof(INODES "/") + 8];
    struct statfs fs;
    struct stat st;
    unsigned n;

    if (keep < 0)
        return -1;
    if (fstatfs(root, &fs) < 0)
        return err_set_os(e, errno, "could not look at a volume");
    total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    ballast = ballast_bytes(total);
    /* Not the moment it just fits: the owner, who has just made room, gets the use of it first. */
    if ((fstatat(keep, BALLAST, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
         (uint64_t)st.st_blocks * 512 < ballast) &&
        room >= total / 10 + 2 * ballast && make_ballast(keep, ballast, e) < 0)
        return -1;
    n = inode_count(total);
    (void)snprintf(last, sizeof(last), INODES "/%02u", (n - 1) % 100);
    if (n > 0 && fstatat(keep, last, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
        (uint64_t)fs.f_ffree >= (uint64_t)fs.f_files / 10 + 2u * n && make_inodes(keep, n, e) < 0)
        return -1;
    return 0;
}

/* ---- spending it ---- */

static int drop(int dir, const char *name, struct err *e)
{
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not drop the reserve of a volume");
    return 0;
}

static int spend(int root, struct err *e)
{
    AUTO_CLOSE int keep = open_keep(root, e), dir = -1;
    struct err none;
    char name[8];

    if (keep < 0 || drop(keep, BALLAST, e) < 0 || INJECT("vol.reserve.spending", e) < 0)
        return -1;
    dir = fd_open_beneath(keep, INODES, O_RDONLY | O_DIRECTORY, &none);
    if (dir < 0 && none.os_errno != ENOENT) {
        *e = none;
        return -1;
    }
    /* The last first: reserve_restore() takes its presence for that of all. */
    for (unsigned i = INODES_MAX; dir >= 0 && i-- > 0;) {
        inode_name(i, name);
        if (drop(dir, name, e) < 0)
            return -1;
    }
    /* ext4 gives blocks out again only when their release has been committed. */
    if (fsync(keep) < 0)
        return err_set_os(e, errno, "could not sync the reserve of a volume");
    return 0;
}

/* ---- whose the reserved blocks are ---- */

static int give_to(const char *mountpoint, int root, uid_t uid, struct err *e)
{
    AUTO_CLOSE int context = fspick(root, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", (unsigned)uid);
    if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "resuid", text, 0) < 0 ||
        fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
        return err_set_os(e, errno, "could not %s the reserve of \"%s\"",
                          uid == 0 ? "close" : "open", mountpoint);
    return 0;
}

/* Who may use them now. */
static int owner(dev_t dev, uid_t *ret_uid, struct err *e)
{
    char text[16];
    uint64_t uid = 0;

    if (mnt_option(dev, "resuid", text, sizeof(text), e) < 0)
        return -1;
    if (text[0] != '\0' && (!str_u64(text, &uid) || uid > UINT32_MAX))
        return err_set(e, ERR_OS, "could not read whose the reserve of a volume is");
    *ret_uid = (uid_t)uid;
    return 0;
}

int vol_reserve_set(const char *mountpoint, uid_t uid, enum vol_reserve to, struct err *e)
{
    AUTO_CLOSE int root = -1;
    uid_t wanted = to == VOL_RESERVE_CLOSED ? 0 : uid, now;
    dev_t dev;

    if (uid == 0 || uid == (uid_t)-1)
        return err_set(e, ERR_INPUT, "the reserve of \"%s\" cannot be root's or nobody's",
                       mountpoint);
    root = attached_open(mountpoint, &dev, e);
    if (root < 0 || owner(dev, &now, e) < 0)
        return -1;
    if (now != wanted && give_to(mountpoint, root, wanted, e) < 0)
        return -1;
    if (INJECT("vol.reserve.given", e) < 0)
        return -1;
    switch (to) {
    case VOL_RESERVE_CLOSED:
        return reserve_restore(root, e);
    case VOL_RESERVE_OPEN:
        return 0;
    case VOL_RESERVE_SPENT:
        return spend(root, e);
    }
    return err_set(e, ERR_INTERNAL, "a reserve has no state %d", (int)to);
}

int vol_reserve_get(const char *mountpoint, enum vol_reserve *ret, struct err *e)
{
    dev_t dev;
    AUTO_CLOSE int root = attached_open(mountpoint, &dev, e), keep = -1;
    struct stat st;
    uid_t uid;

    if (root < 0 || owner(dev, &uid, e) < 0)
        return -1;
    keep = open_keep(root, e);
    if (keep < 0)
        return -1;
    if (uid == 0)
        *ret = VOL_RESERVE_CLOSED;
    else
        *ret = fstatat(keep, BALLAST, &st, AT_SYMLINK_NOFOLLOW) == 0 ? VOL_RESERVE_OPEN
                                                                     : VOL_RESERVE_SPENT;
    return 0;
}

/* ---- giving back ---- */

/* Bytes of the pool behind a volume, 0 when its file cannot be seen from here. */
static uint64_t taken(dev_t dev)
{
    struct loopdev_backing backing;
    struct loopdev_info info;
    struct err ignored;
    struct stat st;

    loopdev_backing(dev, &backing);
    backing.path[strcspn(backing.path, "\n")] = '\0';
    if (loopdev_info(dev, &info, &ignored) < 1 || stat(backing.path, &st) < 0 ||
        st.st_dev != info.backing_dev || st.st_ino != info.backing_ino)
        return 0;
    return (uint64_t)st.st_blocks * 512;
}

int vol_trim(const char *mountpoint, uint64_t *ret_bytes, struct err *e)
{
    struct fstrim_range range = {.len = UINT64_MAX};
    dev_t dev;
    AUTO_CLOSE int root = attached_open(mountpoint, &dev, e);
    uint64_t before, after;

    if (root < 0)
        return -1;
    /* What was freed and not yet committed is not seen as free. */
    if (syncfs(root) < 0)
        return err_set_os(e, errno, "could not sync \"%s\"", mountpoint);
    before = taken(dev);
    if (ioctl(root, FITRIM, &range) < 0) {
        if (errno != EOPNOTSUPP && errno != ENOTTY)
            return err_set_os(e, errno, "could not trim \"%s\"", mountpoint);
        *ret_bytes = 0;
        return 0;
    }
    after = taken(dev);
    if (before == 0 || after == 0)
        *ret_bytes = range.len;
    else
        *ret_bytes = before > after ? before - after : 0;
    return 0;
}
