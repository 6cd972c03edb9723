/* A volume of one place as a volume of another. Between drivers files are copied, as root and by
 * descriptors of mounts that nobody else can see. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/str.h"

#include "place-int.h"

#define MIB (UINT64_C(1) << 20)

/* ---- an image as a directory ---- */

struct opened {
    int root; /* owned */
    int loop; /* owned; -1 of a tree */
    dev_t dev;
    bool sealed;
};

static int open_image(int image, const char *id, bool read_only, struct opened *ret, struct err *e)
{
    struct loopdev loop;

    /* A loop device that can be written to even for a mount that cannot: after a crash the journal
     * has to be played back first. */
    if (loopdev_take(image, id, false, &loop, e) < 0)
        return -1;
    ret->loop = loop.fd;
    ret->dev = loop.dev;
    ret->root = mnt_make("ext4", loop.path, read_only, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, e);
    return ret->root < 0 ? -1 : 0;
}

/* Both mounts were nowhere, so closing them is unmounting; that is done when the device is gone. */
static int close_opened(struct opened *o, struct err *e)
{
    struct loopdev_backing backing;
    bool image = o->loop >= 0;

    if (image)
        loopdev_backing(o->dev, &backing);
    close_fd(&o->root);
    close_fd(&o->loop);
    if (image && !loopdev_gone(o->dev, &backing))
        return err_set(e, ERR_BUSY, "its loop device did not go away");
    return 0;
}

static int open_source_image(const struct vol_place *p, const char *id, struct opened *ret,
                             struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(&p->pool, id, &st, e);

    if (there <= 0)
        return there < 0 ? -1 : err_set_os(e, ENOENT, "could not open volume \"%s\"", id);
    ret->sealed = (st.st_mode & 0222) == 0;
    /* A snapshot is as after a power cut, and cannot be written to: its journal is played back in a
     * clone of it that has no name. */
    fd = ret->sealed ? draft_clone(&p->pool, id, id, e) : image_open(&p->pool, id, O_RDWR, e);
    if (fd < 0 || image_claim(fd, id, false, e) < 0)
        return -1;
    return open_image(fd, id, true, ret, e);
}

static int open_source(const struct vol_place *p, const char *id, struct opened *ret, struct err *e)
{
    struct stat st;

    if (p->driver == VOL_IMAGE)
        return open_source_image(p, id, ret, e);
    ret->root = tree_open(p, id, &st, e);
    if (ret->root < 0 || (!tree_is_sealed(&st) && tree_idle(id, &st, "copied", e) < 0))
        return -1;
    ret->sealed = tree_is_sealed(&st);
    return 0;
}

/* ---- into a directory ---- */

static int into_tree(const struct opened *from, const struct vol_place *to, const char *id,
                     uid_t uid, gid_t gid, struct err *e)
{
    AUTO_CLOSE int draft = -1;

    tree_owner(to, &uid, &gid);
    draft = tree_draft(to, id, uid, gid, e);
    if (draft < 0 || tree_fill(from->root, draft, VOL_DIR_POD, uid, gid, e) < 0 ||
        INJECT("copy.filled", e) < 0)
        return -1;
    return tree_name(to, draft, id, id, from->sealed ? TREE_SEALED : TREE_MODE, e);
}

/* ---- into an image ---- */

/* Unmounting would write it all as well, but not say what could not be. */
static int sync_mount(int root, const char *name, struct err *e)
{
    AUTO_CLOSE int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || syncfs(fd) < 0 ? err_set_os(e, errno, "could not sync volume \"%s\"", name)
                                    : 0;
}

static int fill_image(const struct opened *from, const struct vol_pool *pool, const char *name,
                      struct err *e)
{
    AUTO_CLOSE int fd = image_open(pool, name, O_RDWR, e);
    struct opened to = {.root = -1, .loop = -1};
    struct err ignored;
    int r;

    if (fd < 0 || image_claim(fd, name, false, e) < 0)
        return -1;
    r = open_image(fd, name, false, &to, e);
    if (r == 0)
        r = tree_fill(from->root, to.root, VOL_DIR_POD, VOL_DISK_UID, VOL_DISK_GID, e);
    if (r == 0)
        r = sync_mount(to.root, name, e);
    if (close_opened(&to, r < 0 ? &ignored : e) < 0)
        r = -1;
    if (r == 0 && fsync(fd) < 0)
        r = err_set_os(e, errno, "could not sync volume \"%s\"", name);
    return r;
}

/* What the source was given, or what it holds and some room. */
static int choose_capacity(const struct vol_place *from, const char *id, uint64_t *capacity,
                           struct err *e)
{
    uint64_t used, had;

    if (*capacity != 0)
        return 0;
    if (from->ops->used(from, id, &used, &had, e) < 0)
        return -1;
    if (had == 0) {
        had = used + used / 4 + 64 * MIB;
        had -= had % MIB;
    }
    *capacity = had;
    return 0;
}

static int into_image(const struct opened *from, const struct vol_place *to, const char *id,
                      uint64_t capacity, struct err *e)
{
    char unfinished[VOL_NAME_MAX + 1], draft[VOL_FILE_SIZE], file[VOL_FILE_SIZE];
    const struct vol_pool *pool = &to->pool;

    (void)snprintf(unfinished, sizeof(unfinished), "copy.%.40s", id);
    if (image_file(unfinished, draft, e) < 0 || image_file(id, file, e) < 0 ||
        vol_destroy(pool, unfinished, e) < 0 || vol_image_make(pool, unfinished, capacity, e) < 0)
        return -1;
    if (fill_image(from, pool, unfinished, e) < 0 || INJECT("copy.filled", e) < 0) {
        struct err ignored;

        (void)vol_destroy(pool, unfinished, &ignored); /* it may be what fills the disk */
        return -1;
    }
    if (renameat2(pool->images_fd, draft, pool->images_fd, file, RENAME_NOREPLACE) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", id);
    if (image_sync(pool, id, e) < 0 || INJECT("copy.named", e) < 0)
        return -1;
    return from->sealed ? vol_seal(pool, id, e) : 0;
}

static int copy_files(const struct vol_place *from, const struct vol_place *to, const char *id,
                      uint64_t capacity, uid_t uid, gid_t gid, struct err *e)
{
    struct opened source = {.root = -1, .loop = -1};
    struct err ignored;
    int r = open_source(from, id, &source, e);

    if (r == 0 && to->driver == VOL_IMAGE)
        r = choose_capacity(from, id, &capacity, e) < 0 ? -1
                                                        : into_image(&source, to, id, capacity, e);
    else if (r == 0)
        r = into_tree(&source, to, id, uid, gid, e);
    if (close_opened(&source, r < 0 ? &ignored : e) < 0)
        r = -1;
    return r;
}

/* ---- whatever it is ---- */

static int copy_blocks(const struct vol_place *from, const struct vol_place *to, const char *id,
                       uint64_t capacity, struct err *e)
{
    uint64_t used, had;
    int there = vol_exists(&to->pool, id, e);

    if (there < 0 || (there == 0 && vol_copy_image(&from->pool, &to->pool, id, e) < 0) ||
        vol_used(&to->pool, id, &used, &had, e) < 0)
        return -1;
    if (capacity > had)
        return vol_grow(&to->pool, id, capacity, e) < 0 ? -1 : 0;
    return image_sync(&to->pool, id, e);
}

/* A copy has its name when it is whole; sealed it may not be yet. */
static int finish(const struct vol_place *from, const struct vol_place *to, const char *id,
                  struct err *e)
{
    struct stat st;
    int there;

    if (to->driver != VOL_IMAGE)
        return tree_sync(to, id, e);
    if (from->driver == VOL_IMAGE)
        return 0;
    there = tree_stat(from, id, &st, e);
    if (there < 0)
        return -1;
    return there == 1 && tree_is_sealed(&st) ? to->ops->publish(to, id, id, e)
                                             : image_sync(&to->pool, id, e);
}

int vol_place_copy(const struct vol_place *from, const struct vol_place *to, const char *id,
                   uint64_t capacity, uid_t uid, gid_t gid, struct err *e)
{
    int r;

    if (from->driver == VOL_IMAGE && to->driver == VOL_IMAGE) {
        r = copy_blocks(from, to, id, capacity, e);
    } else {
        r = to->ops->exists(to, id, e);
        if (r == 1)
            r = finish(from, to, id, e);
        else if (r == 0)
            r = copy_files(from, to, id, capacity, uid, gid, e);
    }
    return r < 0 ? err_prefix(e, "could not copy volume \"%s\" to storage class \"%s\"", id,
                              to->class)
                 : 0;
}
