/*
 * Copies of a volume that is a directory, and putting one in its place.
 *
 * The new one is made as ".next-<id>+<keep_as>", marked by the sticky bit, and both change names at
 * once: at every instant the volume's name is either all old or all new. After the exchange it is
 * the old one that is called so, without the bit, until it gets the name it is to be kept by. Where
 * names cannot be exchanged (NFS), the old one goes first; whoever looks for a volume that is
 * missing gives its name to the new one, so that nobody makes an empty one meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"

#include "place-int.h"

#define MARKED (TREE_MODE | S_ISVTX)

int tree_snapshot(const struct vol_place *p, const char *id, const char *as, const char *mountpoint,
                  struct vol_shot *ret, struct err *e)
{
    AUTO_CLOSE int from = -1, draft = -1;
    uint64_t before = clock_us();
    struct stat st, pod;
    int there = tree_stat(p, as, &st, e);

    (void)mountpoint; /* the kernel knows better where it is attached */
    if (there < 0)
        return -1;
    if (there == 1) {
        *ret = (struct vol_shot){0};
        return tree_is_sealed(&st) ? tree_sync(p, as, e)
                                   : err_set(e, ERR_EXISTS,
                                             "there already is a volume \"%s\", and it is no "
                                             "snapshot",
                                             as);
    }
    from = tree_open(p, id, &st, e);
    if (from < 0 || tree_idle(id, &st, "copied", e) < 0)
        return -1;
    if (fstatat(from, VOL_DIR_POD, &pod, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", id);
    draft = tree_draft_of(p, from, as, pod.st_uid, pod.st_gid, e);
    if (draft < 0 || tree_name(p, draft, as, as, TREE_SEALED, e) < 0)
        return err_prefix(e, "could not take a snapshot of volume \"%s\"", id);
    *ret = (struct vol_shot){.took_us = clock_us() - before};
    return 0;
}

/* ---- what a killed replacement left ---- */

struct next {
    char file[sizeof(".next-") + 2 * (size_t)VOL_NAME_MAX + sizeof("+")];
    const char *keep_as; /* in it */
};

static void next_name(const char *id, const char *keep_as, struct next *ret)
{
    int n = snprintf(ret->file, sizeof(ret->file), ".next-%.*s+", VOL_NAME_MAX, id);

    ret->keep_as = ret->file + n;
    (void)snprintf(ret->file + n, sizeof(ret->file) - (size_t)n, "%.*s", VOL_NAME_MAX, keep_as);
}

/* 1, 0, or -1. */
static int next_find(const struct vol_place *p, const char *id, struct next *ret, struct err *e)
{
    AUTO_CLOSE int fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    size_t len;

    if (dir == NULL)
        return err_set_os(e, errno, "could not look for volume \"%s\"", id);
    (void)take_fd(&fd);
    next_name(id, "", ret);
    len = strlen(ret->file);
    while (errno = 0, (entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, ret->file, len) == 0 && vol_name_ok(entry->d_name + len)) {
            next_name(id, entry->d_name + len, ret);
            return 1;
        }
    return errno != 0 ? err_set_os(e, errno, "could not look for volume \"%s\"", id) : 0;
}

/* 1 and *ret_st, 0 when there is none, or -1. */
static int look(const struct vol_place *p, const char *file, struct stat *ret_st, struct err *e)
{
    if (fstatat(p->dir_fd, file, ret_st, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : err_set_os(e, errno, "could not look at \"%s\"", file);
}

static bool is_marked(const struct stat *st)
{
    return (st->st_mode & S_ISVTX) != 0;
}

static int rename_to(const struct vol_place *p, const char *from, const char *to, struct err *e)
{
    if (renameat(p->dir_fd, from, p->dir_fd, to) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", to);
    return tree_sync(p, to, e);
}

/* What is kept may have its name, and not be sealed yet. */
static int seal_kept(const struct vol_place *p, const char *keep_as, struct err *e)
{
    struct stat st;
    int r = look(p, keep_as, &st, e);

    return r <= 0 ? r : tree_seal(p, keep_as, e);
}

int tree_settle(const struct vol_place *p, const char *id, struct err *e)
{
    struct next next = {.keep_as = ""};
    struct stat st;
    int r = next_find(p, id, &next, e);
    bool marked;

    if (r <= 0 || (r = look(p, next.file, &st, e)) < 0)
        return r;
    marked = is_marked(&st);
    r = look(p, id, &st, e);
    if (r < 0)
        return -1;
    if (r == 0)
        r = rename_to(p, next.file, id, e);
    else if (marked) /* new, and it never was the volume */
        r = tree_remove(p->dir_fd, next.file, e);
    else
        r = rename_to(p, next.file, next.keep_as, e);
    return r < 0 || seal_kept(p, next.keep_as, e) < 0 ? -1 : 1;
}

/* ---- replacing ---- */

/* The mark says which of two is new, while there are two: the next replacement must not find it on
 * the volume. */
static int unmark(const struct vol_place *p, const char *id, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int r = look(p, id, &st, e);

    if (r <= 0 || !is_marked(&st))
        return r < 0 ? -1 : 0;
    fd = tree_open(p, id, &st, e);
    if (fd < 0)
        return -1;
    if (fchmod(fd, TREE_MODE) < 0 || fsync(fd) < 0)
        return err_set_os(e, errno, "could not unmark volume \"%s\"", id);
    return 0;
}

/* A clone of the sealed from, marked. */
static int make_next(const struct vol_place *p, const char *id, const char *from,
                     const struct next *next, uid_t uid, gid_t gid, struct err *e)
{
    struct stat st;
    AUTO_CLOSE int source = tree_open(p, from, &st, e), draft = -1;

    if (source < 0)
        return -1;
    if (!tree_is_sealed(&st))
        return err_set(e, ERR_INTERNAL, "volume \"%s\" is not sealed, so it cannot be cloned",
                       from);
    draft = tree_draft_of(p, source, id, uid, gid, e);
    if (draft < 0 || tree_name(p, draft, id, next->file, MARKED, e) < 0)
        return -1;
    return INJECT("tree.next", e);
}

/* Afterwards the volume is new, and the old one is at `next`, or has its name already. */
static int exchange(const struct vol_place *p, const char *id, const struct next *next,
                    struct err *e)
{
    if (renameat2(p->dir_fd, next->file, p->dir_fd, id, RENAME_EXCHANGE) == 0)
        return tree_sync(p, id, e) < 0 ? -1 : INJECT("tree.exchanged", e);
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return err_set_os(e, errno, "could not exchange it");
    if (rename_to(p, id, next->keep_as, e) < 0)
        return -1;
    return INJECT("tree.put.away", e);
}

/* The volume is there, and what it is has to be kept. */
static int replace(const struct vol_place *p, const char *id, const char *from, const char *keep_as,
                   uid_t uid, gid_t gid, struct err *e)
{
    struct next next = {.keep_as = ""};

    if (from == NULL)
        return rename_to(p, id, keep_as, e) < 0 ? -1 : INJECT("tree.put.away", e);
    next_name(id, keep_as, &next);
    return unmark(p, id, e) < 0 || make_next(p, id, from, &next, uid, gid, e) < 0
               ? -1
               : exchange(p, id, &next, e);
}

int tree_replace(const struct vol_place *p, const char *id, const char *from, const char *keep_as,
                 uid_t uid, gid_t gid, struct err *e)
{
    struct stat st, kept;
    int there, keeps;

    if (tree_settle(p, id, e) < 0)
        return -1;
    there = tree_stat(p, id, &st, e);
    keeps = there < 0 ? -1 : tree_stat(p, keep_as, &kept, e);
    if (keeps < 0 || (there == 1 && tree_idle(id, &st, "replaced", e) < 0))
        return -1;
    if (there == 1 && keeps == 0 && replace(p, id, from, keep_as, uid, gid, e) < 0)
        return err_prefix(e, "could not replace volume \"%s\"", id);
    if (there == 0 && from != NULL && p->ops->clone(p, from, id, uid, gid, e) < 0)
        return -1;
    if (tree_settle(p, id, e) < 0 || unmark(p, id, e) < 0)
        return -1;
    return seal_kept(p, keep_as, e);
}
