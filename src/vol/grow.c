/* Images that get larger. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/str.h"

#include "ext4.h"
#include "run.h"
#include "vol-int.h"

#define RESIZE_MS 600000
#define GROW_SIZE (VOL_NAME_MAX + sizeof(".grow")) /* not .img: nobody lists it */

/* The kernel's header for it is not exported. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

static void grow_file(const char *id, char at[GROW_SIZE])
{
    (void)snprintf(at, GROW_SIZE, "%.*s.grow", VOL_NAME_MAX, id);
}

/* resize2fs keeps the percentage that is reserved, but what root needs does not grow like that. */
static int set_reserve(int fd, uint64_t capacity, struct err *e)
{
    char blocks[24];
    const char *argv[] = {"tune2fs", "-r", blocks, "--", "/proc/self/fd/3", NULL};
    struct vol_run run = {.package = "e2fsprogs", .argv = argv, .fd = fd, .deadline_ms = RESIZE_MS};

    (void)snprintf(blocks, sizeof(blocks), "%llu",
                   (unsigned long long)(reserve_bytes(capacity) / VOL_BLOCK));
    return vol_run(&run, e);
}

/* Give the file of an image, attached nowhere, that capacity, checked and with its reserve. */
static int image_enlarge(int fd, const char *name, uint64_t capacity, struct err *e)
{
    static const char *const resize[] = {"resize2fs", "--", "/proc/self/fd/3", NULL};
    struct vol_run run = {
        .package = "e2fsprogs", .argv = resize, .fd = fd, .deadline_ms = RESIZE_MS};

    if (ftruncate(fd, (off_t)capacity) < 0)
        return err_set_os(e, errno, "could not give it its capacity");
    if (INJECT("vol.grow.longer", e) < 0 ||
        ext4_check(fd, name, e) < 0 || /* resize2fs insists on it */
        vol_run(&run, e) < 0 || set_reserve(fd, capacity, e) < 0 ||
        draft_make_sparse(fd, capacity, e) < 0)
        return -1;
    return draft_furnish(fd, name, reserve_restore, e);
}

int grow_forget(const struct vol_pool *p, const char *id, struct err *e)
{
    char file[GROW_SIZE];

    grow_file(id, file);
    if (unlinkat(p->images_fd, file, 0) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove \"%s\"", file);
    return 0;
}

/*
 * A larger clone takes the place of the image when it is complete. Not in the image itself, even
 * where cloning means copying: e2fsck cannot mend every instant that resize2fs can be killed in.
 */
static int grow_clone(const struct vol_pool *p, int image, const char *id, uint64_t capacity,
                      struct err *e)
{
    AUTO_CLOSE int fd = draft_open(p, id, 0600, e);
    char next[GROW_SIZE], file[VOL_FILE_SIZE];

    grow_file(id, next);
    if (fd < 0 || image_file(id, file, e) < 0 || grow_forget(p, id, e) < 0)
        return -1;
    if (draft_share(p, image, fd) < 0)
        return err_set_os(e, errno, "could not clone it");
    if (replace_mark_copy(image, fd, id, e) < 0 || image_enlarge(fd, id, capacity, e) < 0)
        return -1;
    if (fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync it");
    if (INJECT("vol.grow.complete", e) < 0)
        return -1;
    if (draft_link(p, fd, next) < 0)
        return err_set_os(e, errno, "could not name it");
    if (INJECT("vol.grow.named", e) < 0)
        return -1;
    if (renameat(p->images_fd, next, p->images_fd, file) < 0)
        return err_set_os(e, errno, "could not name it");
    return INJECT("vol.grown", e) < 0 ? -1 : image_sync(p, id, e);
}

/* 1 when the file system is smaller than that, 0 when it has that capacity, or -1. */
static int compare(const struct ext4_super *s, const char *id, uint64_t capacity, struct err *e)
{
    uint64_t size = s->blocks * s->block_size;
    char used[16], had[16];

    if (capacity >= size)
        return capacity > size ? 1 : 0;
    (void)err_set(e, ERR_INPUT, "volume \"%s\" cannot be made smaller: it holds %s of %s in use",
                  id, str_size(used, sizeof(used), ext4_super_used(s)),
                  str_size(had, sizeof(had), size));
    return err_hint(e, "ask for a capacity of at least %s", had);
}

int vol_grow(const struct vol_pool *p, const char *id, uint64_t capacity, struct err *e)
{
    AUTO_CLOSE int image = -1;
    struct ext4_super super;
    struct stat st;
    int r;

    if (image_check_capacity(id, capacity, e) < 0)
        return -1;
    image = image_open(p, id, O_RDWR, e);
    if (image < 0 || image_claim(image, id, false, e) < 0 ||
        ext4_super_read(image, id, &super, e) < 0)
        return -1;
    r = compare(&super, id, capacity, e);
    if (r < 0)
        return -1;
    if (fstat(image, &st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", id);
    /* A run for more that got no further than the file, and was then given up. */
    if (r == 0 && (uint64_t)st.st_size > capacity && ftruncate(image, (off_t)capacity) < 0)
        return err_set_os(e, errno, "could not give volume \"%s\" its capacity", id);
    if (r == 0)
        return 0;
    if (grow_clone(p, image, id, capacity, e) < 0)
        return err_prefix(e, "could not enlarge volume \"%s\"", id);
    return 1;
}

/* ---- while it is attached ---- */

static int enlarge_device(int image, int loop, uint64_t capacity, const char *id, struct err *e)
{
    struct stat st;

    if (fstat(image, &st) < 0 ||
        ((uint64_t)st.st_size < capacity && ftruncate(image, (off_t)capacity) < 0) ||
        fsync(image) < 0)
        return err_set_os(e, errno, "could not enlarge volume \"%s\"", id);
    if (INJECT("vol.grow.attached", e) < 0)
        return -1;
    if (ioctl(loop, LOOP_SET_CAPACITY, 0) < 0)
        return err_set_os(e, errno, "could not enlarge the loop device of volume \"%s\"", id);
    return 0;
}

static int enlarge_mounted(int root, uint64_t blocks, const char *id, struct err *e)
{
    if (ioctl(root, EXT4_IOC_RESIZE_FS, &blocks) == 0)
        return reserve_restore(root, e);
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOTTY)
        return err_set_os(e, errno, "could not enlarge the file system of volume \"%s\"", id);
    (void)err_set(e, ERR_BUSY, "volume \"%s\" cannot grow while it is in use on this machine", id);
    return err_hint(e, "it takes effect at the next wake");
}

int vol_grow_attached(const struct vol_pool *p, const char *id, uint64_t capacity,
                      const char *mountpoint, struct err *e)
{
    AUTO_CLOSE int image = -1, root = -1, loop = -1;
    struct loopdev_info info;
    struct ext4_super super;
    struct stat st;
    dev_t dev;
    int r;

    if (image_check_capacity(id, capacity, e) < 0)
        return -1;
    image = image_open(p, id, O_RDWR, e);
    root = image < 0 ? -1 : attached_open(mountpoint, &dev, e);
    loop = root < 0 ? -1 : loopdev_open(dev, e);
    if (loop < 0 || loopdev_info(dev, &info, e) < 0)
        return -1;
    if (fstat(image, &st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", id);
    if (info.backing_dev != st.st_dev || info.backing_ino != st.st_ino)
        return err_set(e, ERR_EXISTS, "something else is mounted at \"%s\"", mountpoint);
    /* Through the device: the file has not seen yet what the mounted file system says. */
    if (ext4_super_read(loop, id, &super, e) < 0)
        return -1;
    r = compare(&super, id, capacity, e);
    if (r <= 0)
        return r;
    if (enlarge_device(image, loop, capacity, id, e) < 0 ||
        enlarge_mounted(root, capacity / super.block_size, id, e) < 0)
        return -1;
    return 1;
}
