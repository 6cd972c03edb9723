#include "prove.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/rand.h"
#include "base/str.h"

#include "groups.h"

#define SCRATCH_LIMIT (16u << 20)
#define SCRATCH_TOUCH (64u << 20)
#define DEADLINE_MS   10000
#define BWRAP         "/usr/bin/bwrap"

enum { TOUCHED_ALL = 0, NOT_TRIED = 3 };

/* Wait for a child, but not for ever. -1: it had to be killed. */
static int await(pid_t pid, int *ret_status, struct err *e)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint64_t deadline = clock_ms() + DEADLINE_MS;
    int n = 0;

    while (fd >= 0 && (n = poll(&poll_fd, 1, (int)(deadline - clock_ms()))) < 0 && errno == EINTR &&
           clock_ms() < deadline)
        ;
    if (n != 1)
        (void)kill(pid, SIGKILL); /* our own child, not waited for yet: the number is still its */
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    if (n != 1)
        return err_set(e, ERR_BUSY, "a test process did not end in %d s", DEADLINE_MS / 1000);
    return 0;
}

static void touch_memory(const struct box_groups *g, const char *id)
{
    struct err e;
    unsigned char *at;

    if (box_groups_join(g, id, &e) < 0)
        _exit(NOT_TRIED);
    at = mmap(NULL, SCRATCH_TOUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        _exit(NOT_TRIED);
    for (size_t i = 0; i < SCRATCH_TOUCH; i += 4096)
        ((volatile unsigned char *)at)[i] = 1;
    _exit(TOUCHED_ALL);
}

static int try_memory(const struct box_groups *g, const char *id, bool *ret_enforced, struct err *e)
{
    struct box_limits limits = {.memory = SCRATCH_LIMIT, .pids = 4};
    int status = 0;
    pid_t pid;

    if (box_groups_make(g, id, &limits, e) < 0)
        return -1;
    pid = fork();
    if (pid < 0)
        return err_set_os(e, errno, "could not start a test process");
    if (pid == 0)
        touch_memory(g, id);
    if (await(pid, &status, e) < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TRIED)
        return err_set(e, ERR_OS, "a test process could not enter its control group");
    *ret_enforced = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return 0;
}

int box_prove_memory(const struct box_groups *g, bool *ret_enforced, struct err *e)
{
    uint64_t deadline = clock_ms() + DEADLINE_MS;
    char id[ID_SIZE];
    struct err later;
    int r, left;

    rand_id(id);
    r = try_memory(g, id, ret_enforced, e);
    /* The only process is gone and reaped; the kernel lets go of the group a little later. */
    while ((left = box_groups_remove(g, id, &later)) > 0 && clock_ms() < deadline) {
        (void)box_groups_kill(g, id, &later);
        (void)poll(NULL, 0, 5);
    }
    if (r == 0 && left != 0)
        return err_set(e, ERR_BUSY, "the control group \"%s\" of a test could not be removed", id);
    return r;
}

static void run_bwrap(uid_t uid, gid_t gid, int output)
{
    static char *env[] = {NULL};
    static const char *const argv[] = {"bwrap",
                                       "--unshare-user",
                                       "--unshare-pid",
                                       "--unshare-net",
                                       "--uid",
                                       "1000",
                                       "--gid",
                                       "1000",
                                       "--ro-bind",
                                       "/",
                                       "/",
                                       "--",
                                       "/bin/true",
                                       NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(output, 2) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        _exit(NOT_TRIED);
    (void)execve(BWRAP, (char *const *)(uintptr_t)argv, env);
    _exit(NOT_TRIED);
}

/* A sysctl's number; -1 where the kernel does not have it. */
static long long sysctl(const char *path)
{
    unsigned long long value;
    struct err ignored;

    return fd_get_u64(-1, path, &value, &ignored) < 0 ? -1 : (long long)value;
}

/* Which of the usual suspects forbids it, and what to do. */
static int explain(const char *said, struct err *e)
{
    (void)err_set(e, ERR_MISSING, "bubblewrap cannot make a user namespace: %s", said);
    if (sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        return err_hint(e,
                        "AppArmor restricts user namespaces here: load a profile that gives %s "
                        "the permission userns, or set "
                        "kernel.apparmor_restrict_unprivileged_userns=0",
                        BWRAP);
    if (sysctl("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return err_hint(e, "set kernel.unprivileged_userns_clone=1");
    if (sysctl("/proc/sys/user/max_user_namespaces") == 0)
        return err_hint(e, "set user.max_user_namespaces to more than 0");
    return err_hint(e, "in a container, it must be allowed to make user namespaces and mount proc");
}

int box_prove_userns(uid_t uid, gid_t gid, struct err *e)
{
    AUTO_CLOSE int said_fd = -1;
    char said[200], shown[200];
    struct stat st;
    int status = 0;
    ssize_t n;
    pid_t pid;

    if (stat(BWRAP, &st) < 0) {
        (void)err_set(e, ERR_MISSING, "there is no %s", BWRAP);
        return err_hint(e, "install the package bubblewrap");
    }
    if ((st.st_mode & (S_ISUID | S_ISGID)) != 0) {
        (void)err_set(e, ERR_MISSING, "%s is setuid", BWRAP);
        return err_hint(e, "chmod u-s,g-s %s: pods are made by user namespaces alone", BWRAP);
    }
    /* A file, not a pipe: nothing to drain while we wait. */
    said_fd = memfd_create("box-said", MFD_CLOEXEC);
    if (said_fd < 0)
        return err_set_os(e, errno, "could not create an anonymous file");
    pid = fork();
    if (pid < 0)
        return err_set_os(e, errno, "could not start a test process");
    if (pid == 0)
        run_bwrap(uid, gid, said_fd);
    if (await(pid, &status, e) < 0)
        return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TRIED)
        return err_set(e, ERR_OS, "could not run %s as uid %u", BWRAP, uid);
    n = pread(said_fd, said, sizeof(said), 0);
    while (n > 0 && said[n - 1] == '\n')
        n--;
    return explain(str_show(shown, sizeof(shown), said, n < 0 ? 0 : (size_t)n), e);
}
