#include "mend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/str.h"

#include "place.h"

enum {
    ENTRIES_MAX = 300000, /* that are looked at */
    DEPTH_MAX = 12,
    ASIDE_MAX = 99,
    CONF_MAX = 1 << 20,
};

/* linux/fs.h does not go with sys/mount.h in one file */
#define RENAME_NOREPLACE_ 1
#define RENAME_EXCHANGE_  2

static void say(struct pg_mended *m, const char *what, const char *happened)
{
    size_t n = strlen(m->said);

    (void)snprintf(m->said + n, sizeof(m->said) - n, "%s%s %s", n > 0 ? "; " : "", what, happened);
}

/* ---- is it empty? ---- */

struct walk {
    unsigned left, depth;
    int (*visit)(struct walk *w, int dir_fd, const char *name, const struct stat *st);
    bool found;
};

static bool is_dots(const char *name)
{
    return str_is(name, ".") || str_is(name, "..");
}

/* 1: visit has had enough; -1: it is too much, or cannot be read. */
static int walk_dir(struct walk *w, int dir_fd)
{
    AUTO_CLOSE int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (dir == NULL)
        return -1;
    fd = -1; /* dir's now */
    while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        struct stat st;

        if (is_dots(entry->d_name))
            continue;
        if (w->left-- == 0 || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -1;
        r = w->visit(w, dirfd(dir), entry->d_name, &st);
    }
    return r == 0 && errno != 0 ? -1 : r;
}

static int walk_into(struct walk *w, int dir_fd, const char *name)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (fd < 0 || w->depth == DEPTH_MAX)
        return -1;
    w->depth++;
    r = walk_dir(w, fd);
    w->depth--;
    return r;
}

static int find_file(struct walk *w, int dir_fd, const char *name, const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return walk_into(w, dir_fd, name);
    w->found = true;
    return 1;
}

/* A directory beside the data that is data: theirs, under another name. */
static int find_version(struct walk *w, int dir_fd, const char *name, const struct stat *st)
{
    AUTO_CLOSE int fd = -1;
    struct stat version;

    if (!S_ISDIR(st->st_mode) || str_is(name, PG_DATA_NAME))
        return 0;
    fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    w->found = fd >= 0 && fstatat(fd, "PG_VERSION", &version, AT_SYMLINK_NOFOLLOW) == 0;
    return w->found ? 1 : 0;
}

int pg_is_emptied(int pod_fd, struct err *e)
{
    struct walk files = {.left = ENTRIES_MAX, .visit = find_file};
    struct walk beside = {.left = ENTRIES_MAX, .visit = find_version};
    struct stat st;

    if (fstatat(pod_fd, PG_DATA_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!S_ISDIR(st.st_mode) || walk_into(&files, pod_fd, PG_DATA_NAME) != 0)
            return 0;
    } else if (errno != ENOENT) {
        return 0;
    }
    if (walk_dir(&beside, pod_fd) == 0)
        return 1;
    return beside.found ? err_set(e, ERR_MISSING,
                                  "the data directory is gone, and another one lies beside where "
                                  "it was: it has been moved")
                        : 0;
}

/* ---- modes ---- */

/* By a descriptor that is good for nothing else: the mode may not let us open it. */
static int add_mode(int path_fd, mode_t mode)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
    return chmod(path, mode & 07777);
}

static int open_to_owner(int fd, const char *name, bool strict, struct err *e)
{
    struct stat st;
    bool fine;

    if (fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", name);
    fine =
        (st.st_mode & S_IRWXU) == S_IRWXU && (!strict || (st.st_mode & (S_IWGRP | S_IRWXO)) == 0);
    if (fine || add_mode(fd, strict ? 0700 : st.st_mode | S_IRWXU) == 0)
        return 0;
    return err_set_os(e, errno, "could not set the mode of \"%s\"", name);
}

/* Its owner has moved it, and left a link: theirs says where it is, and nothing leaves the volume.
 */
static int follow_link(int pod_fd, const char *where, struct pg_mended *m, struct err *e)
{
    AUTO_CLOSE int there = -1;
    char to[256];
    ssize_t n = readlinkat(pod_fd, where, to, sizeof(to) - 1);
    struct stat st;

    if (n < 0)
        return 0; /* no link */
    to[n] = '\0';
    there = strchr(to, '/') != NULL ? -1 : fd_open_beneath(pod_fd, to, O_PATH | O_DIRECTORY, e);
    if (there < 0 || fstatat(there, "PG_VERSION", &st, AT_SYMLINK_NOFOLLOW) < 0) {
        (void)err_set(e, ERR_CONFIG, "it is a link, and not to a data directory beside it");
        return -1;
    }
    if (syscall(SYS_renameat2, pod_fd, to, pod_fd, where, RENAME_EXCHANGE_) < 0)
        return err_set_os(e, errno, "could not put it in the place of the link to it");
    if (INJECT("pg.mend.link", e) < 0)
        return -1;
    (void)unlinkat(pod_fd, to, 0); /* a link to itself by now */
    say(m, "the data directory", "was a link, and is in its place again");
    return 0;
}

int pg_mend_entrance(int pod_fd, const char *where, struct pg_mended *m, struct err *e)
{
    AUTO_CLOSE int data = -1;

    if (open_to_owner(pod_fd, "the volume's directory", false, e) < 0 ||
        follow_link(pod_fd, where, m, e) < 0)
        return -1;
    data = fd_open_beneath(pod_fd, where, O_PATH | O_DIRECTORY, e);
    return data < 0 ? -1 : open_to_owner(data, where, true, e);
}

static int mend_mode(struct walk *w, int dir_fd, const char *name, const struct stat *st)
{
    mode_t want = S_ISDIR(st->st_mode) ? S_IRWXU : S_IRUSR | S_IWUSR;

    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return 0;
    if ((st->st_mode & want) != want) {
        AUTO_CLOSE int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || add_mode(fd, st->st_mode | want) < 0)
            return -1;
        w->found = true;
    }
    return S_ISDIR(st->st_mode) ? walk_into(w, dir_fd, name) : 0;
}

int pg_mend_modes(int data_fd, struct pg_mended *m, struct err *e)
{
    struct walk w = {.left = ENTRIES_MAX, .visit = mend_mode};

    if (walk_dir(&w, data_fd) < 0)
        return err_set(e, ERR_DENIED, "could not go through the data directory");
    if (w.found)
        say(m, "files", "that their owner could not read were made readable");
    return w.found;
}

/* ---- files ---- */

/*
 * Where a name of the tables below is, and how it is called there; -1: nowhere in the data
 * directory. Their owner's rights are not enough: a directory that is a link would lead us to what
 * everybody may write on the host, where a pod does not reach.
 */
static int open_dir_of(int data_fd, const char *path, const char **ret_name)
{
    const char *slash = strchr(path, '/');
    char dir[32] = ".";
    struct err ignored;

    if (slash != NULL)
        (void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
    *ret_name = slash == NULL ? path : slash + 1;
    return fd_open_beneath(data_fd, dir, O_PATH | O_DIRECTORY, &ignored);
}

static int sync_dir(int dir_fd)
{
    AUTO_CLOSE int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -1 : fsync(fd);
}

static int rename_aside(int data_fd, const char *name, char ret[PG_ASIDE_SIZE], struct err *e)
{
    for (int i = 1; i <= ASIDE_MAX; i++) {
        if (i == 1)
            (void)snprintf(ret, PG_ASIDE_SIZE, "%.35s.aside", name);
        else
            (void)snprintf(ret, PG_ASIDE_SIZE, "%.35s.aside.%d", name, i);
        if (syscall(SYS_renameat2, data_fd, name, data_fd, ret, RENAME_NOREPLACE_) == 0)
            return sync_dir(data_fd) < 0 ? err_set_os(e, errno, "could not sync") : 1;
        if (errno != EEXIST)
            break;
    }
    return err_set_os(e, errno, "could not set %s aside", name);
}

int pg_put_back(int data_fd, const char *name, const char *aside, struct err *e)
{
    if (syscall(SYS_renameat2, data_fd, aside, data_fd, name, RENAME_NOREPLACE_) < 0 &&
        errno != ENOENT && errno != EEXIST)
        return err_set_os(e, errno, "could not put %s back", name);
    return sync_dir(data_fd) < 0 ? err_set_os(e, errno, "could not sync") : 0;
}

static bool says_something(const char *text)
{
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += strspn(line, " \t\r\n");
        if (*line != '\0' && *line != '#')
            return true;
        if (*line == '\0')
            return false;
    }
    return false;
}

int pg_set_aside(int data_fd, const char *name, char ret[PG_ASIDE_SIZE], struct err *e)
{
    AUTO_CLOSE int fd =
        openat(data_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    AUTO_FREE char *text = NULL;
    struct stat st;
    ssize_t n;

    if (fstatat(data_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not look at %s", name);
    if (fd >= 0 && S_ISREG(st.st_mode) && st.st_size < CONF_MAX) {
        text = calloc(1, CONF_MAX + 1);
        n = text == NULL ? -1 : read(fd, text, CONF_MAX);
        if (n >= 0 && strlen(text) == (size_t)n && !says_something(text))
            return 0;
    }
    return rename_aside(data_fd, name, ret, e);
}

/* What PostgreSQL opens at a start and would wait for: a FIFO has no end. What is read only when
 * its owner has put it there may be a link of theirs. */
static const struct {
    const char *name;
    bool link_may_be;
} plain[] = {
    {"PG_VERSION", false},     {PG_AUTO_CONF, false},       {PG_USER_CONF, true},
    {"postmaster.opts", true}, {"backup_label", true},      {"tablespace_map", true},
    {"standby.signal", true},  {"recovery.signal", true},   {"pg_ident.conf", true},
    {"postmaster.pid", true},  {"global/pg_control", true}, {"global/pg_filenode.map", true},
};

static int mend_plain(int data_fd, struct pg_mended *m, struct err *e)
{
    char aside[PG_ASIDE_SIZE];

    /*
     * Left by a crash, and perhaps empty: PostgreSQL would not start over it. That no other
     * postmaster has this directory is what the lock of the volume says, better than this file.
     */
    (void)unlinkat(data_fd, "postmaster.pid", 0);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        const char *name;
        AUTO_CLOSE int dir = open_dir_of(data_fd, plain[i].name, &name);
        struct stat st;

        if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode) ||
            (S_ISLNK(st.st_mode) && plain[i].link_may_be))
            continue;
        if (rename_aside(dir, name, aside, e) < 0)
            return -1;
        say(m, plain[i].name, "was no file and was set aside");
    }
    return 0;
}

/* Every database has a copy of it. */
static int mend_version(int data_fd, int major, struct pg_mended *m, struct err *e)
{
    AUTO_CLOSE int base = -1, fd = -1;
    char expected[16], found[16] = "";
    struct stat st;

    if (fstatat(data_fd, "PG_VERSION", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0)
        return 0;
    base = fd_open_beneath(data_fd, "base/1/PG_VERSION", O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
    (void)snprintf(expected, sizeof(expected), "%d\n", major);
    if (base < 0 || read(base, found, sizeof(found) - 1) <= 0 || !str_is(found, expected))
        return 0; /* then it is looked at, and refused with words, by whoever looks next */
    fd = openat(data_fd, "PG_VERSION", O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                0600);
    if (fd < 0 || fd_write_all(fd, expected, strlen(expected), e) < 0 || fsync(fd) < 0 ||
        sync_dir(data_fd) < 0)
        return err_set_os(e, errno, "could not write PG_VERSION");
    say(m, "PG_VERSION", "was written again");
    return INJECT("pg.mend.version", e);
}

/* What they hold while no server runs is nothing, or can be missed. pg_xact and pg_multixact are
 * not here: they are data. */
static int mend_dirs(int data_fd, struct pg_mended *m, struct err *e)
{
    static const char *const names[] = {
        "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_logical/mappings", "pg_logical/snapshots",
        "pg_notify",    "pg_replslot", "pg_serial",  "pg_snapshots",        "pg_stat",
        "pg_stat_tmp",  "pg_subtrans", "pg_tblspc",  "pg_twophase",
    };
    bool made = false;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *name;
        AUTO_CLOSE int dir = open_dir_of(data_fd, names[i], &name);
        struct stat st;

        if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
            continue; /* what cannot be looked at, PostgreSQL complains of: pg_mend_modes() */
        if (mkdirat(dir, name, 0700) < 0)
            return err_set_os(e, errno, "could not make directory \"%s\"", names[i]);
        made = true;
    }
    if (made)
        say(m, "missing directories", "were made again");
    return 0;
}

int pg_mend_data(int data_fd, int major, struct pg_mended *m, struct err *e)
{
    struct stat st;

    if (mend_plain(data_fd, m, e) < 0 || mend_version(data_fd, major, m, e) < 0)
        return -1;
    /* without these it is no data directory, or none that anything could be made of */
    if (fstatat(data_fd, "base", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(data_fd, "global", &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return mend_dirs(data_fd, m, e);
}
