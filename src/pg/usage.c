#include "usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#include "place.h"

#define DEPTH_MAX 64 /* a descriptor each */

/* One stretch of counting: a share of the entries and of the time, so that none starves the next.
 */
struct walk {
    struct usage *usage;
    uint64_t entries; /* left */
    uint64_t deadline;
    dev_t device;
    unsigned turn;
    bool over, has_data;
};

static bool is_spent(struct walk *w)
{
    if (!w->over && (w->entries == 0 || (w->turn++ % 128 == 0 && clock_ms() >= w->deadline)))
        w->over = true;
    return w->over;
}

static DIR *open_dir(int dir_fd, const char *name)
{
    struct err ignored;
    int fd = fd_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, &ignored);
    DIR *dir;

    if (fd < 0)
        return NULL;
    dir = fdopendir(fd);
    if (dir == NULL)
        (void)close(fd);
    return dir;
}

static const char *next_name(DIR *dir)
{
    struct dirent *entry;

    while ((entry = readdir(dir)) != NULL)
        if (!str_is(entry->d_name, ".") && !str_is(entry->d_name, ".."))
            return entry->d_name;
    return NULL;
}

/* One entry. True: it is a directory to go into. */
static bool count(struct walk *w, int dir_fd, const char *name, struct usage_part_sum *sum)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0 ||
        st.st_dev != w->device)
        return false; /* gone meanwhile, or somebody's mount */
    w->entries--;
    sum->files++;
    if (S_ISDIR(st.st_mode) || st.st_nlink == 0)
        sum->bytes += (uint64_t)st.st_blocks * 512;
    else
        sum->bytes += ((uint64_t)st.st_blocks * 512 + st.st_nlink - 1) / st.st_nlink;
    return S_ISDIR(st.st_mode);
}

/* What is below a directory. */
static void count_below(struct walk *w, int dir_fd, const char *name, struct usage_part_sum *sum,
                        unsigned depth)
{
    AUTO_CLOSEDIR DIR *dir = depth < DEPTH_MAX ? open_dir(dir_fd, name) : NULL;
    const char *inside;

    if (dir == NULL) {
        sum->cut = true;
        return;
    }
    while ((inside = next_name(dir)) != NULL) {
        if (is_spent(w)) {
            sum->cut = true;
            return;
        }
        if (count(w, dirfd(dir), inside, sum))
            count_below(w, dirfd(dir), inside, sum, depth + 1);
    }
}

static void count_tree(struct walk *w, int dir_fd, const char *name, struct usage_part_sum *ret)
{
    *ret = (struct usage_part_sum){0};
    if (is_spent(w))
        ret->cut = true;
    else if (count(w, dir_fd, name, ret))
        count_below(w, dir_fd, name, ret, 0);
}

static void add(struct usage_part_sum *to, const struct usage_part_sum *more)
{
    to->bytes += more->bytes;
    to->files += more->files;
    to->cut |= more->cut;
}

static void add_beside(struct walk *w, int dir_fd, const char *before, const char *name)
{
    struct usage_largest *largest = &w->usage->largest;
    struct usage_part_sum sum;
    struct stat st;

    count_tree(w, dir_fd, name, &sum);
    add(&w->usage->part[USAGE_BESIDE], &sum);
    if (sum.bytes <= largest->bytes)
        return;
    largest->bytes = sum.bytes;
    largest->is_dir = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    (void)snprintf(largest->name, sizeof(largest->name), "%s%s", before, name);
}

static bool is_own(const char *name)
{
    static const char *const own[] = {
        "PG_VERSION",     "backup_label",    "backup_manifest", "current_logfiles",
        "global",         "pg_commit_ts",    "pg_dynshmem",     "pg_hba.conf",
        "pg_ident.conf",  "pg_logical",      "pg_multixact",    "pg_notify",
        "pg_replslot",    "pg_serial",       "pg_snapshots",    "pg_stat",
        "pg_stat_tmp",    "pg_subtrans",     "pg_tblspc",       "pg_twophase",
        "pg_xact",        "postmaster.opts", "postmaster.pid",  "recovery.signal",
        "standby.signal", "tablespace_map",  PG_USER_CONF,      PG_AUTO_CONF,
    };

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (str_is(name, own[i]))
            return true;
    return false;
}

static void count_base(struct walk *w, int data_fd)
{
    AUTO_CLOSEDIR DIR *dir = open_dir(data_fd, "base");
    const char *name;

    if (dir == NULL)
        return;
    while ((name = next_name(dir)) != NULL) {
        struct usage_part_sum sum;

        count_tree(w, dirfd(dir), name, &sum);
        add(&w->usage->part[str_is(name, "pgsql_tmp") ? USAGE_TEMP : USAGE_TABLES], &sum);
        if (w->over)
            return;
    }
}

static void count_wal(struct walk *w, int data_fd)
{
    count_tree(w, data_fd, "pg_wal", &w->usage->part[USAGE_WAL]);
}

/* Beside the three that have a stretch of their own. */
static void count_rest(struct walk *w, int data_fd)
{
    AUTO_CLOSEDIR DIR *dir = open_dir(data_fd, ".");
    const char *name;

    if (dir == NULL)
        return;
    while ((name = next_name(dir)) != NULL) {
        struct usage_part_sum sum;

        if (str_is(name, "base") || str_is(name, "pg_wal"))
            continue;
        if (!is_own(name)) {
            add_beside(w, dirfd(dir), PG_DATA_NAME "/", name);
        } else {
            count_tree(w, dirfd(dir), name, &sum);
            add(&w->usage->part[USAGE_OWN], &sum);
        }
        if (w->over)
            return;
    }
}

/* Where "data" is no directory but a link or a file, it is a thing like any other. */
static void count_beside(struct walk *w, int pod_fd)
{
    AUTO_CLOSEDIR DIR *dir = open_dir(pod_fd, ".");
    const char *name;

    while (dir != NULL && !w->over && (name = next_name(dir)) != NULL)
        if (!w->has_data || !str_is(name, PG_DATA_NAME))
            add_beside(w, dirfd(dir), "", name);
}

int usage_count(int pod_fd, uint64_t entries, uint64_t deadline, struct usage *ret, struct err *e)
{
    static void (*const stretches[])(struct walk * w, int dir_fd) = {count_wal, count_base,
                                                                     count_rest, count_beside};
    const size_t n = sizeof(stretches) / sizeof(stretches[0]);
    AUTO_CLOSE int pod = fd_open_beneath(pod_fd, ".", O_RDONLY | O_DIRECTORY, e);
    AUTO_CLOSE int data = -1;
    struct err ignored;
    struct stat st;

    if (pod < 0)
        return -1;
    if (fstat(pod, &st) < 0)
        return err_set_os(e, errno, "could not look at the directory");
    *ret = (struct usage){0};
    data = fd_open_beneath(pod, PG_DATA_NAME, O_RDONLY | O_DIRECTORY, &ignored);
    for (size_t i = 0; i < n; i++) {
        uint64_t now = clock_ms(), left = now < deadline ? deadline - now : 0;
        uint64_t share = i + 1 == n ? entries : entries / 2;
        struct walk w = {.usage = ret,
                         .entries = share,
                         .deadline = now + left / (i + 1 == n ? 1 : 2),
                         .device = st.st_dev,
                         .has_data = data >= 0};

        if (i + 1 < n && data < 0)
            continue;
        stretches[i](&w, i + 1 == n ? pod : data);
        entries -= share - w.entries;
    }
    return 0;
}
