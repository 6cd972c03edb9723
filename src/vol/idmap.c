/* A user namespace that exists only to name an id map for a mount. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"

#include "vol-int.h"

/*
 * A namespace needs a process in it until a descriptor holds it. This one shares our memory, so
 * that no page table is copied for it (most of the price of a fork), and therefore touches none of
 * it: it only waits to be killed. It dies with us too.
 */
__attribute__((no_sanitize("address"))) static int wait_for_death(void *parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != *(const pid_t *)parent)
        _exit(0);
    for (;;)
        (void)pause();
}

static int put_map(pid_t pid, const char *file, unsigned inside, unsigned outside, struct err *e)
{
    char path[48], map[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    (void)snprintf(map, sizeof(map), "0 0 1\n%u %u 1\n", inside, outside);
    return fd_put(AT_FDCWD, path, map, e);
}

struct pair {
    uid_t uid;
    gid_t gid;
};

static int map_and_open(pid_t pid, struct pair disk, struct pair host, struct err *e)
{
    char path[48];
    int fd;

    if (put_map(pid, "uid_map", disk.uid, host.uid, e) < 0 ||
        put_map(pid, "gid_map", disk.gid, host.gid, e) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_os(e, errno, "could not open the id map of a volume");
    return fd;
}

int idmap_open_from(uid_t disk_uid, gid_t disk_gid, uid_t uid, gid_t gid, struct err *e)
{
    struct pair disk = {disk_uid, disk_gid}, host = {uid, gid};
    _Alignas(16) char stack[16 << 10];
    sigset_t all, before;
    pid_t parent = getpid(), pid;
    int fd;

    /* A handler of ours must not run in the child: it would run on our memory. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &before);
    pid = clone(wait_for_death, stack + sizeof(stack), CLONE_VM | CLONE_NEWUSER, &parent);
    if (pid < 0) {
        int number = errno;

        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        (void)err_set_os(e, number, "could not make the id map of a volume");
        if (number != ENOSPC && number != EPERM && number != EINVAL && number != EUSERS)
            return -1;
        e->kind = ERR_MISSING;
        return err_hint(e, "this machine does not let root make user namespaces: "
                           "see sysctl user.max_user_namespaces");
    }
    fd = map_and_open(pid, disk, host, e);
    (void)kill(pid, SIGKILL);
    /* No exit signal was asked for, so the parent's SIGCHLD handling never hears of it. */
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return fd;
}

int idmap_open(uid_t uid, gid_t gid, struct err *e)
{
    return idmap_open_from(VOL_DISK_UID, VOL_DISK_GID, uid, gid, e);
}
