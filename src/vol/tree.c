#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/rand.h"
#include "base/str.h"

#include "vol-int.h"

/* A name from the tree for a message. */
struct shown {
    char text[96];
};

static const char *show(struct shown *at, const char *name)
{
    return str_show(at->text, sizeof(at->text), name, strlen(name));
}

/* -1 with errno. O_NONBLOCK: opening a FIFO would wait for its other end. */
static int enter(int dir_fd, const char *name, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };

    return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

static DIR *list_take(int *fd)
{
    DIR *dir = *fd < 0 ? NULL : fdopendir(*fd);

    if (dir != NULL)
        (void)take_fd(fd);
    return dir;
}

/* The next entry but "." and ".."; NULL with errno 0 at the end. */
static const char *next(DIR *dir)
{
    const struct dirent *entry;

    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry != NULL && (str_is(entry->d_name, ".") || str_is(entry->d_name, "..")));
    return entry == NULL ? NULL : entry->d_name;
}

bool tree_shares(int dir_fd)
{
    static const char block[VOL_BLOCK];
    AUTO_CLOSE int from = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    AUTO_CLOSE int to = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return from >= 0 && to >= 0 && write(from, block, sizeof(block)) == (ssize_t)sizeof(block) &&
           ioctl(to, FICLONE, from) == 0;
}

/* ---- copying ---- */

/* -1 with errno. The mode comes after the owner, whose change takes bits away. */
static int dress(const struct tree_copy *c, int to, const struct stat *st)
{
    const struct timespec times[] = {st->st_atim, st->st_mtim};
    mode_t mode = st->st_mode & (S_ISDIR(st->st_mode) ? 07777 : 01777);

    return fchown(to, c->uid, c->gid) < 0 || fchmod(to, mode) < 0 ? -1 : futimens(to, times);
}

static int copy_blocks(struct tree_copy *c, int from, int to, off_t size)
{
    if (!c->copies && size > 0) {
        if (ioctl(to, FICLONE, from) == 0)
            return 0;
        c->copies = errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == ENOSYS;
    }
    return draft_copy_sparse(from, to, size);
}

/* -1 with errno. */
static int copy_file(struct tree_copy *c, int from_dir, int to_dir, const char *name)
{
    AUTO_CLOSE int from = enter(from_dir, name, O_NOATIME), to = -1;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0)
        return -1;
    to = openat(to_dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0 || copy_blocks(c, from, to, st.st_size) < 0)
        return -1;
    return dress(c, to, &st);
}

/* -1 with errno. */
static int copy_link(const struct tree_copy *c, int from_dir, int to_dir, const char *name,
                     const struct stat *st)
{
    const struct timespec times[] = {st->st_atim, st->st_mtim};
    char target[PATH_MAX + 1];
    ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

    if (n < 0)
        return -1;
    target[n] = '\0';
    return symlinkat(target, to_dir, name) < 0 ||
                   fchownat(to_dir, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0
               ? -1
               : utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_dir(struct tree_copy *c, int from_take, int to, unsigned depth, struct err *e);

static int copy_subdir(struct tree_copy *c, int from_dir, int to_dir, const char *name,
                       unsigned depth, struct err *e)
{
    AUTO_CLOSE int from = enter(from_dir, name, O_DIRECTORY), to = -1;
    struct shown shown;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0 || mkdirat(to_dir, name, 0700) < 0 ||
        (to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return err_set_os(e, errno, "could not copy directory \"%s\"", show(&shown, name));
    if (copy_dir(c, take_fd(&from), to, depth, e) < 0)
        return -1;
    if (dress(c, to, &st) < 0)
        return err_set_os(e, errno, "could not copy directory \"%s\"", show(&shown, name));
    return 0;
}

static int copy_entry(struct tree_copy *c, int from_dir, int to_dir, const char *name,
                      unsigned depth, struct err *e)
{
    struct shown shown;
    struct stat st;
    int r;

    if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", show(&shown, name));
    if (S_ISDIR(st.st_mode))
        return copy_subdir(c, from_dir, to_dir, name, depth + 1, e);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        c->skipped++;
        return 0;
    }
    r = S_ISREG(st.st_mode) ? copy_file(c, from_dir, to_dir, name)
                            : copy_link(c, from_dir, to_dir, name, &st);
    return r < 0 ? err_set_os(e, errno, "could not copy \"%s\"", show(&shown, name)) : 0;
}

static int copy_dir(struct tree_copy *c, int from_take, int to, unsigned depth, struct err *e)
{
    AUTO_CLOSE int from = from_take;
    AUTO_CLOSEDIR DIR *dir = NULL;
    const char *name;

    if (depth > TREE_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "there are more than %d directories in each other",
                       TREE_DEPTH_MAX);
    dir = list_take(&from);
    if (dir == NULL)
        return err_set_os(e, errno, "could not list a directory");
    while ((name = next(dir)) != NULL)
        if (copy_entry(c, dirfd(dir), to, name, depth, e) < 0)
            return -1;
    return errno != 0 ? err_set_os(e, errno, "could not list a directory") : 0;
}

int tree_copy(int from, int to, struct tree_copy *c, struct err *e)
{
    AUTO_CLOSE int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (again < 0 || fstat(again, &st) < 0)
        return err_set_os(e, errno, "could not open a directory to copy");
    if (copy_dir(c, take_fd(&again), to, 0, e) < 0)
        return -1;
    return dress(c, to, &st) < 0 ? err_set_os(e, errno, "could not copy a directory") : 0;
}

/* ---- counting ---- */

/* What is deeper than we go is not counted: it is a figure for an operator. */
static int count(int fd_take, unsigned depth, uint64_t *total, struct err *e)
{
    AUTO_CLOSE int fd = fd_take;
    AUTO_CLOSEDIR DIR *dir = list_take(&fd);
    const char *name;

    if (dir == NULL)
        return err_set_os(e, errno, "could not list a directory");
    while ((name = next(dir)) != NULL) {
        struct stat st;
        int sub;

        if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* a volume may be counted while it is used */
        *total += (uint64_t)st.st_blocks * 512;
        if (!S_ISDIR(st.st_mode) || depth == TREE_DEPTH_MAX)
            continue;
        sub = enter(dirfd(dir), name, O_DIRECTORY);
        if (sub >= 0 && count(sub, depth + 1, total, e) < 0)
            return -1;
    }
    return 0;
}

int tree_used(int dir_fd, uint64_t *ret_used, struct err *e)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint64_t total = 0;

    if (fd < 0)
        return err_set_os(e, errno, "could not open a directory to count");
    if (count(fd, 0, &total, e) < 0)
        return -1;
    *ret_used = total;
    return 0;
}

/* ---- removing ---- */

struct removal {
    int top;       /* borrowed: the directory that is being removed */
    uint64_t done; /* entries that went, or moved up */
};

static int remove_dir(struct removal *r, int fd_take, unsigned depth, struct err *e);

/*
 * Each level costs a descriptor, and whoever made the tree decides how deep it is: what lies too
 * deep is moved to the top first, under a name that nobody can have foreseen.
 */
static int lift(struct removal *r, int dir_fd, const char *name, struct err *e)
{
    char id[ID_SIZE];

    rand_id(id);
    if (renameat(dir_fd, name, r->top, id) < 0)
        return err_set_os(e, errno, "could not move a directory to remove it");
    r->done++;
    return 0;
}

static int remove_entry(struct removal *r, int dir_fd, const char *name, unsigned depth,
                        struct err *e)
{
    struct shown shown;
    int fd;

    if (unlinkat(dir_fd, name, 0) == 0) {
        r->done++;
        return 0;
    }
    if (errno != EISDIR)
        return errno == ENOENT
                   ? 0
                   : err_set_os(e, errno, "could not remove \"%s\"", show(&shown, name));
    if (depth == TREE_DEPTH_MAX)
        return lift(r, dir_fd, name, e);
    fd = enter(dir_fd, name, O_DIRECTORY);
    if (fd < 0 && errno == EXDEV)
        return err_set(e, ERR_BUSY, "something is mounted on \"%s\"", show(&shown, name));
    if (fd < 0)
        return err_set_os(e, errno, "could not remove \"%s\"", show(&shown, name));
    if (remove_dir(r, fd, depth + 1, e) < 0)
        return -1;
    /* Not every file system lists all of a directory that changes meanwhile: the next round. */
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        r->done++;
    else if (errno != ENOTEMPTY && errno != EEXIST)
        return err_set_os(e, errno, "could not remove \"%s\"", show(&shown, name));
    return 0;
}

static int remove_dir(struct removal *r, int fd_take, unsigned depth, struct err *e)
{
    AUTO_CLOSE int fd = fd_take;
    AUTO_CLOSEDIR DIR *dir = list_take(&fd);
    const char *name;

    if (dir == NULL)
        return err_set_os(e, errno, "could not list a directory");
    while ((name = next(dir)) != NULL)
        if (remove_entry(r, dirfd(dir), name, depth, e) < 0)
            return -1;
    return errno != 0 ? err_set_os(e, errno, "could not list a directory") : 0;
}

int tree_remove(int dir_fd, const char *name, struct err *e)
{
    AUTO_CLOSE int top = enter(dir_fd, name, O_DIRECTORY);
    struct removal r = {.top = top};
    uint64_t before;

    if (top < 0)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not open \"%s\"", name);
    do {
        int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        before = r.done;
        if (fd < 0)
            return err_set_os(e, errno, "could not open \"%s\"", name);
        if (remove_dir(&r, fd, 0, e) < 0)
            return err_prefix(e, "in \"%s\"", name);
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
            return 0;
    } while ((errno == ENOTEMPTY || errno == EEXIST) && r.done > before);
    return err_set_os(e, errno, "could not remove \"%s\"", name);
}
