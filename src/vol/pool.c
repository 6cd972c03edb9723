/*
 * A pool is a directory: "identity", "images/", and where its file system cannot clone, "pool.xfs",
 * which is then mounted at images/. What was decided the first time is written into the identity
 * and kept: a pool never changes its kind under the images in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "run.h"
#include "vol-int.h"

#define IDENTITY "identity"
#define IMAGES   "images"
#define POOLFILE "pool.xfs"
#define MKFS_MS  600000

/* Can files here share blocks? Asked by doing it: no list of file systems stays true. */
static bool clones(int dir_fd)
{
    static const char block[VOL_BLOCK];
    AUTO_CLOSE int from = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    AUTO_CLOSE int to = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return from >= 0 && to >= 0 && write(from, block, sizeof(block)) == (ssize_t)sizeof(block) &&
           ioctl(to, FICLONE, from) == 0;
}

/* 1 and *ret_id, 0 when the directory has none, or -1. */
static int read_identity(int dir_fd, const char *dir, struct poolid *ret_id, struct err *e)
{
    AUTO_FREE char *text = NULL;
    int len;

    len = fd_read_file(dir_fd, IDENTITY, POOLID_SIZE, &text, e);
    if (len < 0)
        return e->os_errno == ENOENT
                   ? 0
                   : err_prefix(e, "could not read the identity of the pool \"%s\"", dir);
    if (!poolid_parse(text, (size_t)len, ret_id))
        return err_set(e, ERR_OS, "the file \"%s/%s\" is damaged", dir, IDENTITY);
    return 1;
}

static int check_identity(const struct vol_pool_spec *spec, const struct poolid *id, struct err *e)
{
    if (!str_is(id->hub, spec->hub)) {
        (void)err_set(e, ERR_CONFIG, "the pool \"%s\" belongs to another hub (%s)", spec->dir,
                      id->hub);
        return err_hint(e, "give this hub a directory of its own");
    }
    if (spec->id != NULL && !str_is(id->pool, spec->id))
        return err_set(e, ERR_CONFIG, "the pool at \"%s\" is %s, not %s as recorded", spec->dir,
                       id->pool, spec->id);
    return 0;
}

static int format_pool_file(int fd, uint64_t size, struct err *e)
{
    /* -K: nothing of it may be given back to the host, not even now. */
    static const char *const argv[] = {"mkfs.xfs",  "-q", "-f",        "-K", "-m",
                                       "reflink=1", "-s", "size=4096", "--", "/proc/self/fd/3",
                                       NULL};
    struct vol_run run = {.package = "xfsprogs", .argv = argv, .fd = fd, .deadline_ms = MKFS_MS};

    /* Allocated whole: a sparse pool lets a full host fail a write into a half-empty volume. */
    if (fallocate(fd, 0, 0, (off_t)size) < 0) {
        char wanted[16];

        return err_set_os(e, errno, "could not allocate its %s",
                          str_size(wanted, sizeof(wanted), size));
    }
    if (INJECT("vol.pool.allocated", e) < 0 || vol_run(&run, e) < 0)
        return -1;
    if (fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync it");
    return INJECT("vol.pool.formatted", e);
}

/* Make pool.xfs unless it is there. What an interrupted run left is begun anew. */
static int make_pool_file(int dir_fd, const struct vol_pool_spec *spec, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    uint64_t size = spec->size < VOL_POOL_MIN ? VOL_POOL_MIN : spec->size;
    struct stat st;

    size -= size % VOL_BLOCK;
    if (fstatat(dir_fd, POOLFILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    (void)unlinkat(dir_fd, POOLFILE ".new", 0);
    fd = openat(dir_fd, POOLFILE ".new", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_os(e, errno, "could not create the pool file in \"%s\"", spec->dir);
    if (format_pool_file(fd, size, e) < 0) {
        struct err of_mkfs = *e;

        (void)unlinkat(dir_fd, POOLFILE ".new", 0); /* it may be what fills the disk */
        *e = of_mkfs;
        return err_prefix(e, "could not make the pool file in \"%s\"", spec->dir);
    }
    if (renameat(dir_fd, POOLFILE ".new", dir_fd, POOLFILE) < 0 || fsync(dir_fd) < 0)
        return err_set_os(e, errno, "could not name the pool file in \"%s\"", spec->dir);
    return INJECT("vol.pool.named", e);
}

/* The first time: choose the kind, make what it needs, and only then write it down. */
static int settle(int dir_fd, const struct vol_pool_spec *spec, struct poolid *ret_id,
                  struct err *e)
{
    struct poolid id = {.how = VOL_COPY};
    char text[POOLID_SIZE];

    if (spec->id != NULL) {
        (void)err_set(e, ERR_MISSING, "the pool is not at \"%s\"", spec->dir);
        return err_hint(e, "is its disk mounted?");
    }
    if (!str_copy(id.hub, sizeof(id.hub), spec->hub) || !vol_name_ok(id.hub))
        return err_set(e, ERR_INTERNAL, "the id of this hub cannot be written into a pool");
    rand_id(id.pool);
    if (clones(dir_fd))
        id.how = VOL_REFLINK;
    else if (vol_run_found("mkfs.xfs") && mnt_type_known("xfs"))
        id.how = VOL_XFS;
    if (id.how == VOL_XFS && make_pool_file(dir_fd, spec, e) < 0)
        return -1;
    poolid_print(&id, text);
    if (fd_write_file(dir_fd, IDENTITY, 0600, 0, 0, text, strlen(text), e) < 0)
        return err_prefix(e, "could not write the identity of the pool \"%s\"", spec->dir);
    *ret_id = id;
    return 0;
}

/* Is what is mounted at images/ our own pool file? By device and inode: paths can be made alike. */
static int verify_mount(int dir_fd, const char *dir, dev_t dev, struct err *e)
{
    struct loopdev_info info;
    struct stat st;
    int r = loopdev_info(dev, &info, e);

    if (r < 0)
        return -1;
    if (fstatat(dir_fd, POOLFILE, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not look at \"%s/%s\"", dir, POOLFILE);
    if (r == 0 || info.backing_dev != st.st_dev || info.backing_ino != st.st_ino)
        return err_set(e, ERR_EXISTS, "something else than its pool file is mounted at \"%s/%s\"",
                       dir, IMAGES);
    return 0;
}

static int mount_pool_file(int dir_fd, const struct vol_pool_spec *spec, struct err *e)
{
    AUTO_CLOSE int file = openat(dir_fd, POOLFILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int point = openat(dir_fd, IMAGES, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int mnt = -1, loop_fd = -1;
    struct loopdev loop;
    dev_t dev;
    int r;

    if (file < 0) {
        (void)err_set_os(e, errno, "could not open the pool file \"%s/%s\"", spec->dir, POOLFILE);
        return e->os_errno == ENOENT
                   ? err_hint(e, "the pool was there before: is its disk mounted?")
                   : -1;
    }
    if (point < 0 || (r = mnt_is_root(point, "", &dev)) < 0)
        return err_set_os(e, errno, "could not look at \"%s/%s\"", spec->dir, IMAGES);
    if (r == 1)
        return verify_mount(dir_fd, spec->dir, dev, e);
    file = loopdev_timeless(dir_fd, file);
    if (image_claim(file, "pool", false, e) < 0 || loopdev_take(file, "pool", false, &loop, e) < 0)
        return err_prefix(e, "could not mount the pool \"%s\"", spec->dir);
    loop_fd = loop.fd;
    if (INJECT("vol.pool.looped", e) < 0)
        return -1;
    mnt = mnt_make("xfs", loop.path, false,
                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME, e);
    if (mnt < 0)
        return err_prefix(e, "pool \"%s\"", spec->dir);
    return mnt_place(mnt, point, spec->dir, e);
}

static int open_images(int dir_fd, const struct vol_pool_spec *spec, enum vol_how how,
                       struct err *e)
{
    int fd;

    if (mkdirat(dir_fd, IMAGES, 0700) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make \"%s/%s\"", spec->dir, IMAGES);
    if (how == VOL_XFS && mount_pool_file(dir_fd, spec, e) < 0)
        return -1;
    fd = openat(dir_fd, IMAGES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* The root of a new XFS is 0755. */
    if (fd < 0 || fchmod(fd, 0700) < 0) {
        (void)err_set_os(e, errno, "could not open \"%s/%s\"", spec->dir, IMAGES);
        if (e->os_errno == EIO)
            (void)err_hint(e, "its file system has shut itself down: the kernel's log says why");
        close_fd(&fd);
    }
    return fd;
}

int vol_pool_open(const struct vol_pool_spec *spec, struct vol_pool *ret_pool, struct err *e)
{
    AUTO_CLOSE int dir_fd = -1;
    struct poolid id;
    struct stat st;
    int images, r;

    if (spec->dir[0] != '/')
        return err_set(e, ERR_CONFIG, "the pool \"%s\" is not an absolute path", spec->dir);
    dir_fd = fd_open_dir(AT_FDCWD, spec->dir, 0700, e);
    if (dir_fd < 0)
        return err_prefix(e, "could not open the pool");
    if (fstat(dir_fd, &st) < 0)
        return err_set_os(e, errno, "could not look at the pool \"%s\"", spec->dir);
    if (st.st_uid != 0 || (st.st_mode & 022) != 0)
        return err_set(e, ERR_CONFIG, "the pool \"%s\" is not root's alone to write to", spec->dir);
    /* One at a time: two who find the directory empty would both make a pool. Ends with dir_fd's
     * own life; the descriptor that is given away is another. */
    if (flock(dir_fd, LOCK_EX) < 0)
        return err_set_os(e, errno, "could not lock the pool \"%s\"", spec->dir);
    r = read_identity(dir_fd, spec->dir, &id, e);
    if (r < 0 || (r == 0 && settle(dir_fd, spec, &id, e) < 0) || check_identity(spec, &id, e) < 0)
        return -1;
    images = open_images(dir_fd, spec, id.how, e);
    if (images < 0)
        return -1;
    *ret_pool = (struct vol_pool){
        .how = id.how,
        .dir = mem_copy(spec->dir),
        .dir_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .images_fd = images,
    };
    memcpy(ret_pool->id, id.pool, sizeof(ret_pool->id));
    if (ret_pool->dir_fd < 0) {
        (void)err_set_os(e, errno, "could not open the pool \"%s\"", spec->dir);
        vol_pool_done(ret_pool);
        return -1;
    }
    return 0;
}

void vol_pool_done(struct vol_pool *p)
{
    close_fd(&p->images_fd);
    close_fd(&p->dir_fd);
    free(take_ptr(p->dir));
}

/* On a disk that has failed nothing can be looked at any more; what is mounted there is still to be
 * taken off, so that the disk can be. */
static bool is_dead_pool(const char *dir, dev_t dev, struct err *e)
{
    AUTO_FREE char *file = mem_printf("%s/" POOLFILE, dir);
    struct loopdev_backing backing;

    loopdev_backing(dev, &backing);
    backing.path[strcspn(backing.path, "\n")] = '\0';
    if (str_is(backing.path, file))
        return true;
    (void)err_set(e, ERR_EXISTS, "something else than its pool file is mounted in \"%s\"", dir);
    return false;
}

int vol_pool_close(const char *dir, struct err *e)
{
    AUTO_FREE char *images = mem_printf("%s/%s", dir, IMAGES);
    AUTO_CLOSE int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dev_t dev;
    int r;

    if (dir_fd < 0 && errno == ENOENT)
        return 0;
    if (dir_fd < 0 && errno != EIO)
        return err_set_os(e, errno, "could not open the pool \"%s\"", dir);
    r = mnt_is_root(AT_FDCWD, images, &dev);
    if (r == 0 || (r < 0 && errno == ENOENT))
        return 0;
    if (r < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", images);
    if ((dir_fd < 0 || verify_mount(dir_fd, dir, dev, e) < 0) && !is_dead_pool(dir, dev, e))
        return -1;
    return mnt_undo(images, dev, "the pool", e);
}

int vol_pool_room(const struct vol_pool *p, struct vol_space *ret_space, struct err *e)
{
    struct statfs fs;

    if (fstatfs(p->images_fd, &fs) < 0)
        return err_set_os(e, errno, "could not look at the pool \"%s\"", p->dir);
    *ret_space = (struct vol_space){.total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize,
                                    .free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize,
                                    .inodes = fs.f_files,
                                    .inodes_free = fs.f_ffree};
    return 0;
}
