#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "place-int.h"

/* ---- the path, part by part ---- */

#define PARTS_MAX 64

struct path {
    const char *text; /* borrowed */
    char *copy;       /* owned: cut into parts */
    char *parts[PARTS_MAX];
    struct stat st[PARTS_MAX + 1]; /* of "/", and of each part that is there */
    size_t n, there;
    int fd; /* owned: the last part that is there. O_PATH */
};

static void path_done(struct path *p)
{
    close_fd(&p->fd);
    free(take_ptr(p->copy));
}
#define AUTO_PATH AUTO(path_done)

static int split(struct path *p, struct err *e)
{
    char *rest, *part;

    if (p->text[0] != '/')
        return err_set(e, ERR_CONFIG, "\"%s\" is not an absolute path", p->text);
    p->copy = mem_copy(p->text);
    rest = p->copy;
    while ((part = strsep(&rest, "/")) != NULL) {
        if (part[0] == '\0')
            continue;
        if (str_is(part, ".") || str_is(part, ".."))
            return err_set(e, ERR_CONFIG, "\"%s\" has \"%s\" in it", p->text, part);
        if (p->n == PARTS_MAX)
            return err_set(e, ERR_CONFIG, "\"%s\" has more than %d parts", p->text, PARTS_MAX);
        p->parts[p->n++] = part;
    }
    if (p->n == 0)
        return err_set(e, ERR_CONFIG, "\"/\" cannot be a volume");
    return 0;
}

/* 1, 0 when it is not there, or -1. */
static int step(struct path *p, const char *part, struct err *e)
{
    int fd = openat(p->fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && errno == ENOTDIR && fstatat(p->fd, part, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(st.st_mode)) {
        (void)err_set(e, ERR_CONFIG, "\"%s\" in \"%s\" is a link", part, p->text);
        return err_hint(e, "give the path it leads to");
    }
    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\" in \"%s\"", part, p->text);
    close_fd(&p->fd);
    p->fd = fd;
    if (fstat(fd, &p->st[p->there + 1]) < 0)
        return err_set_os(e, errno, "could not look at \"%s\" in \"%s\"", part, p->text);
    p->there++;
    return 1;
}

static int walk(struct path *p, struct err *e)
{
    int r = split(p, e) < 0 ? -1 : 1;

    if (r == 1) {
        p->fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (p->fd < 0 || fstat(p->fd, &p->st[0]) < 0)
            return err_set_os(e, errno, "could not open \"/\"");
    }
    while (r == 1 && p->there < p->n)
        r = step(p, p->parts[p->there], e);
    return r < 0 ? -1 : 0;
}

static const struct stat *last(const struct path *p)
{
    return &p->st[p->there];
}

/* Whoever could write to a part could put something else in the place of what is below. */
static int judge(const struct path *p, const struct vol_host *want, struct err *e)
{
    uid_t owner = p->there == p->n ? last(p)->st_uid : want->uid;

    for (size_t i = 0; i <= p->there; i++) {
        const struct stat *st = &p->st[i];
        const char *part = i == 0 ? "/" : p->parts[i - 1];
        bool stranger = st->st_uid != 0 && st->st_uid != owner && st->st_uid != want->uid;
        bool group = (st->st_mode & S_IWGRP) != 0 && st->st_gid != 0 && st->st_gid != want->gid;

        if (!stranger && !group && (st->st_mode & S_IWOTH) == 0)
            continue;
        (void)err_set(e, ERR_CONFIG, "\"%s\" in \"%s\" can be written to by others", part, p->text);
        return stranger ? err_hint(e, "it belongs to uid %u", st->st_uid)
                        : err_hint(e, "its mode is %04o: chmod go-w", st->st_mode & 07777);
    }
    return 0;
}

/* ---- making what is missing ---- */

/* Who may rename in the parent could have put a directory of root's there: nothing in it may be
 * given away. */
static int check_fresh(int dir_fd, struct err *e)
{
    AUTO_CLOSE int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;
    int entries = 0;

    if (dir == NULL || fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at a new directory");
    (void)take_fd(&fd);
    while (readdir(dir) != NULL)
        entries++;
    return entries <= 2 && st.st_uid == 0
               ? 0
               : err_set(e, ERR_DENIED, "somebody has put another directory in its place");
}

static int make_part(struct path *p, const struct vol_host *want, struct err *e)
{
    const char *part = p->parts[p->there];
    bool whole = p->there + 1 == p->n;
    AUTO_CLOSE int fd = -1;

    if (mkdirat(p->fd, part, 0700) < 0)
        return err_set_os(e, errno, "could not make \"%s\" in \"%s\"", part, p->text);
    if (INJECT("host.making", e) < 0)
        return -1;
    if (step(p, part, e) < 1 || check_fresh(p->fd, e) < 0)
        return err_prefix(e, "\"%s\" in \"%s\"", part, p->text);
    fd = openat(p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, whole ? 0700 : 0711) < 0 ||
        (whole && fchown(fd, want->uid, want->gid) < 0) || fstat(fd, &p->st[p->there]) < 0)
        return err_set_os(e, errno, "could not give \"%s\" its owner", p->text);
    return INJECT("host.made", e);
}

/* What a run left that was killed between the directory and its owner. */
static int finish_part(struct path *p, const struct vol_host *want, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct err ignored;

    if (last(p)->st_uid != 0 || (last(p)->st_mode & 07777) != 0700 ||
        check_fresh(p->fd, &ignored) < 0)
        return 0;
    fd = openat(p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchown(fd, want->uid, want->gid) < 0 || fstat(fd, &p->st[p->there]) < 0)
        return err_set_os(e, errno, "could not give \"%s\" its owner", p->text);
    return 0;
}

static int check_want(const struct vol_host *want, struct err *e)
{
    if (want->uid == 0 || want->gid == 0 || want->uid == (uid_t)-1 || want->gid == (gid_t)-1)
        return err_set(e, ERR_INPUT, "\"%s\" cannot be shown to root or nobody", want->path);
    return 0;
}

static int prepare(struct path *p, const struct vol_host *want, struct err *e)
{
    if (check_want(want, e) < 0 || walk(p, e) < 0 || judge(p, want, e) < 0)
        return -1;
    if (p->there == p->n && !want->read_only)
        return finish_part(p, want, e);
    while (p->there < p->n)
        if (make_part(p, want, e) < 0)
            return -1;
    return 0;
}

int vol_host_lock_name(const char *path, char *at, struct err *e)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_CONFIG, "\"%s\" is not a directory", path);
    (void)snprintf(at, VOL_NAME_MAX + 1, "host-%llx-%llx", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino);
    return 0;
}

/* ---- showing ---- */

/* The id map from the directory's owner to the pod's user; -1 and 0 when none is needed. */
static int map_owner(const struct vol_host *want, const struct stat *st, int *ret_fd, struct err *e)
{
    bool root = st->st_uid == 0 || st->st_gid == 0;

    if ((st->st_uid == want->uid && st->st_gid == want->gid) || (root && want->read_only))
        return 0;
    if (root) {
        /* What the user made there would be root's on the host: a set-user-id program, too. */
        (void)err_set(e, ERR_CONFIG, "\"%s\" belongs to root, and would be written to by a user",
                      want->path);
        return err_hint(e, "chown %u:%u %s", want->uid, want->gid, want->path);
    }
    *ret_fd = idmap_open_from(st->st_uid, st->st_gid, want->uid, want->gid, e);
    return *ret_fd < 0 ? -1 : 0;
}

static int already_there(int point, const struct path *p, const struct vol_host *want,
                         struct err *e)
{
    struct statvfs fs;
    struct stat st;

    if (fstat(point, &st) < 0 || fstatvfs(point, &fs) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", want->mountpoint);
    if (st.st_dev != last(p)->st_dev || st.st_ino != last(p)->st_ino)
        return err_set(e, ERR_EXISTS, "something else is mounted at \"%s\"", want->mountpoint);
    if (!(fs.f_flag & ST_RDONLY) != !want->read_only ||
        (last(p)->st_uid != 0 && st.st_uid != want->uid))
        return err_set(e, ERR_EXISTS, "\"%s\" is mounted at \"%s\" for somebody else", want->path,
                       want->mountpoint);
    return 0;
}

static int show(const struct path *p, int point, const struct vol_host *want, struct err *e)
{
    unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    AUTO_CLOSE int namespace = -1, mnt = -1;

    if (map_owner(want, last(p), &namespace, e) < 0)
        return -1;
    if (want->read_only)
        attributes |= MOUNT_ATTR_RDONLY;
    mnt = place_mount(p->fd, attributes, namespace, "it", e);
    if (mnt < 0) {
        (void)err_prefix(e, "could not show \"%s\"", want->path);
        return e->kind != ERR_MISSING
                   ? -1
                   : err_hint(e, "its file system cannot map ids: chown -R %u:%u %s", want->uid,
                              want->gid, want->path);
    }
    if (INJECT("host.mapped", e) < 0 || mnt_place(mnt, point, want->mountpoint, e) < 0)
        return -1;
    return INJECT("host.placed", e);
}

int vol_host_attach(const struct vol_host *want, struct err *e)
{
    AUTO_PATH struct path p = {.text = want->path, .fd = -1};
    AUTO_FREE char *shown = mem_printf("%s/%s", want->mountpoint, VOL_DIR_POD);
    AUTO_CLOSE int folder = -1, point = -1;
    dev_t dev;
    int r;

    if (prepare(&p, want, e) < 0)
        return -1;
    folder = attach_point(want->mountpoint, e);
    point = folder < 0 ? -1 : attach_point(shown, e);
    if (point < 0)
        return -1;
    r = mnt_is_root(point, "", &dev);
    if (r < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", shown);
    if (r == 1)
        return already_there(point, &p, want, e);
    r = show(&p, point, want, e);
    if (r < 0) {
        (void)rmdir(shown);
        (void)rmdir(want->mountpoint);
    }
    return r;
}

int vol_host_detach(const char *mountpoint, struct err *e)
{
    AUTO_FREE char *shown = mem_printf("%s/%s", mountpoint, VOL_DIR_POD);
    dev_t dev;
    int r = mnt_is_root(AT_FDCWD, mountpoint, &dev);

    if (r < 0 && errno == ENOENT)
        return 0;
    if (r == 1)
        return err_set(e, ERR_EXISTS, "what is mounted at \"%s\" is not a static volume",
                       mountpoint);
    if (r == 0)
        r = mnt_is_root(AT_FDCWD, shown, &dev);
    if (r < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not look at \"%s\"", mountpoint);
    if (r == 1 && place_unmount(shown, "a static volume", e) < 0)
        return -1;
    if ((rmdir(shown) < 0 && errno != ENOENT) || (rmdir(mountpoint) < 0 && errno != ENOENT))
        return err_set_os(e, errno, "could not remove the mountpoint \"%s\"", mountpoint);
    return 0;
}
