/* t_vol.h: a pool in a directory of its own, and after each test nothing of it. Needs root. */
#pragma once

#include "t_err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "vol/mountinfo.h"
#include "vol/run.h"
#include "vol/vol-int.h"

#define MIB      (UINT64_C(1) << 20)
#define CAPACITY (64 * MIB)
#define ALICE    200001
#define BOB      200002

static char scratch[] = "/tmp/dormouse-vol.XXXXXX";
static char pool_dir[64], mounts[64], at_a[96], at_b[96];
static uint64_t pool_size = 400 * MIB;
static struct vol_pool pool;

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline int detach_one(void *owner, const struct vol_mount *m, struct err *err)
{
    (void)owner;
    return vol_detach(m->mountpoint, err);
}

static inline int destroy_one(void *owner, const struct vol_image *image, struct err *err)
{
    return vol_destroy(owner, image->name, err);
}

static inline void begin(void)
{
    struct vol_pool_spec s = {.dir = pool_dir, .size = pool_size, .hub = "testhub"};

    (void)snprintf(pool_dir, sizeof(pool_dir), "%s/pool", scratch);
    (void)snprintf(mounts, sizeof(mounts), "%s/m", scratch);
    (void)snprintf(at_a, sizeof(at_a), "%s/a", mounts);
    (void)snprintf(at_b, sizeof(at_b), "%s/b", mounts);
    T_EQ(mkdir(mounts, 0711), 0);
    T_DO(vol_pool_open(&s, &pool, &e));
}

/* A pool that copies, whatever the file system can. */
static inline void begin_copying(void)
{
    static const char identity[] = "dormouse-pool 1\nhub testhub\npool abcdefghijklm\nhow copy\n";
    AUTO_CLOSE int dir = -1;

    (void)snprintf(pool_dir, sizeof(pool_dir), "%s/pool", scratch);
    dir = fd_open_dir(AT_FDCWD, pool_dir, 0700, &e);
    T_DO(fd_write_file(dir, "identity", 0600, 0, 0, identity, strlen(identity), &e));
    begin();
    T_EQ(pool.how, VOL_COPY);
}

/* Nothing in the pool but images that have been destroyed. */
static inline bool images_empty(void)
{
    AUTO_CLOSE int fd = openat(pool.images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool empty = dir != NULL;

    (void)take_fd(&fd);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.') {
            printf("# left: %s\n", entry->d_name);
            empty = false;
        }
    return empty;
}

static inline bool kernel_knows_scratch(void)
{
    AUTO_CLOSEDIR DIR *dir = opendir("/sys/block");
    AUTO_FREE char *text = NULL;
    struct dirent *entry;
    bool known;

    T_DO(fd_read_file(AT_FDCWD, "/proc/self/mountinfo", 1u << 24, &text, &e));
    known = strstr(text, scratch) != NULL;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        AUTO_FREE char *path = mem_printf("/sys/block/%s/loop/backing_file", entry->d_name);
        AUTO_FREE char *backing = NULL;
        struct err ignored;

        if (fd_read_file(AT_FDCWD, path, 8192, &backing, &ignored) >= 0)
            known = known || strstr(backing, scratch) != NULL;
    }
    return known;
}

static inline void finish(void)
{
    T_DO(vol_attached(mounts, detach_one, NULL, &e));
    T_DO(vol_list(&pool, destroy_one, &pool, &e));
    T_OK(images_empty());
    vol_pool_done(&pool);
    T_DO(vol_pool_close(pool_dir, &e));
    T_OK(!kernel_knows_scratch());
    T_EQ(rmdir(mounts), 0);
    T_EQ(nftw(pool_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline int attach(const char *image, const char *at, uid_t id, unsigned flags)
{
    struct vol_attach want = {
        .image = image, .mountpoint = at, .uid = id, .gid = id, .flags = flags};

    return vol_attach(&pool, &want, &e);
}

/* Run fn as that user, in a child. What it returns; 99: could not become them. */
static inline int as_user(uid_t id, int (*fn)(const char *at), const char *at)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        if (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
            _exit(99);
        _exit(fn(at));
    }
    (void)waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline uint64_t image_blocks(const char *name)
{
    struct stat st = {0};

    T_EQ(image_stat(&pool, name, &st, &e), 1);
    return (uint64_t)st.st_blocks * 512;
}

/* Run it in a child that is killed at a named place. True if it was. */
static inline bool killed_at(const char *place, int (*fn)(struct err *))
{
    AUTO_FREE char *wish = mem_printf("%s=kill", place);
    int status = 0;
    pid_t pid;

    T_EQ(setenv("DORM_INJECT", wish, 1), 0);
    pid = fork();
    if (pid == 0) {
        struct err err;

        _exit(fn(&err) < 0 ? 1 : 0);
    }
    (void)waitpid(pid, &status, 0);
    T_EQ(unsetenv("DORM_INJECT"), 0);
    return WIFSIGNALED(status);
}

static inline int skip(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    return EXIT_SUCCESS;
}

/* A copy of the mounts of a hub that runs beside us would keep its loop devices from going. */
static inline int let_go(void *arg, const struct mountinfo *m, const char *line, size_t len,
                         struct err *err)
{
    (void)arg, (void)line, (void)len, (void)err;
    if (str_starts(m->source, "/dev/loop"))
        (void)umount2(m->mountpoint, MNT_DETACH);
    return 0;
}

/* Why this machine cannot run these tests, or NULL and it is all prepared. */
static inline const char *prepare(void)
{
    AUTO_CLOSE int control = -1;

    if (geteuid() != 0)
        return "volumes are mounted by root";
    control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return "this machine has no loop devices";
    if (!vol_run_found("mkfs.ext4"))
        return "mkfs.ext4 is not installed (apt-get install e2fsprogs)";
    /* Whoever copies the mount namespace for a moment, as every sandbox does, holds what is mounted
     * in it: other tests must not hold ours. */
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return "no mount namespace of its own can be had";
    T_DO(mnt_each(let_go, NULL, &e));
    if (mkdtemp(scratch) == NULL || chmod(scratch, 0711) < 0)
        return "no directory could be made in /tmp";
    return NULL;
}
