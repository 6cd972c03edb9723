#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"

#include "groups.h"
#include "lean.h"

#define BWRAP    "/usr/bin/bwrap"
#define ARGS_MAX 65536
#define ETC_MAX  8192

static int set_stdio(const struct box_plan *p, struct err *e)
{
    int wanted[3] = {p->in, p->out, p->err}, copies[3];

    /* First all away from 0-2, then down: out = 2 with err = 1 is a permutation. */
    for (int i = 0; i < 3; i++) {
        copies[i] = wanted[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : wanted[i];
        if (copies[i] >= 0)
            copies[i] = fcntl(copies[i], F_DUPFD_CLOEXEC, 3);
        if (copies[i] < 0)
            return err_set_os(e, errno, "could not prepare descriptor %d of the pod", i);
    }
    for (int i = 0; i < 3; i++)
        if (dup2(copies[i], i) < 0)
            return err_set_os(e, errno, "could not set descriptor %d of the pod", i);
    return 0;
}

/* An own open of the same file: the filter is shared by all pods, its reading position is not. */
static int reopen(int fd, struct err *e)
{
    char path[40];
    int again;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDONLY | O_CLOEXEC);
    if (again < 0)
        return err_set_os(e, errno, "could not open the system-call filter again");
    return again;
}

static int keep(int fd, struct err *e)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return err_set_os(e, errno, "could not duplicate descriptor %d for the pod", fd);
    return copy;
}

/* The numbers in ret_fds are born close-on-exec; open_planned opens them up at the end. */
static int make_fds(const struct box_plan *p, struct box_fds *ret_fds, struct err *e)
{
    ret_fds->lock = ret_fds->seccomp = -1;
    if (p->lock_fd >= 0 && (ret_fds->lock = keep(p->lock_fd, e)) < 0)
        return -1;
    if (p->seccomp_fd >= 0 && (ret_fds->seccomp = reopen(p->seccomp_fd, e)) < 0)
        return -1;
    for (size_t i = 0; i < BOX_ETC_N; i++) {
        struct buf text;

        buf_init(&text, ETC_MAX);
        if (!box_etc(p, (enum box_etc_file)i, &text))
            return err_set(e, ERR_LIMIT, "the pod's /etc does not fit");
        ret_fds->etc[i] = fd_sealed("box-etc", buf_data(&text), buf_len(&text), e);
        buf_done(&text);
        if (ret_fds->etc[i] < 0)
            return -1;
    }
    for (size_t i = 0; i < p->n_files; i++) {
        ret_fds->files[i] = fd_sealed("box-file", p->files[i].data, p->files[i].len, e);
        if (ret_fds->files[i] < 0)
            return err_prefix(e, "\"%s\" of the pod", p->files[i].to);
    }
    for (size_t i = 0; i < p->n_binds; i++) {
        ret_fds->binds[i] = -1;
        if (p->binds[i].by_fd && (ret_fds->binds[i] = keep(p->binds[i].fd, e)) < 0)
            return -1;
    }
    return 0;
}

static int make_args(const struct box_plan *p, const struct box_fds *fds, struct err *e)
{
    struct buf args;
    int fd;

    buf_init(&args, ARGS_MAX);
    if (!box_args(p, fds, &args))
        return err_set(e, ERR_LIMIT, "the options of the pod are longer than %d bytes", ARGS_MAX);
    fd = fd_sealed("box-args", buf_data(&args), buf_len(&args), e);
    buf_done(&args);
    return fd;
}

static int open_one(int fd, struct err *e)
{
    if (fd >= 0 && fcntl(fd, F_SETFD, 0) < 0)
        return err_set_os(e, errno, "could not pass descriptor %d to bubblewrap", fd);
    return 0;
}

/*
 * Whatever else is open, by whoever, stays behind: bubblewrap hands what it does not know to the
 * payload.
 */
static int open_planned(const struct box_plan *p, const struct box_fds *fds, int args_fd,
                        struct err *e)
{
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return err_set_os(e, errno, "could not close descriptors on exec");
    if (open_one(fds->lock, e) < 0 || open_one(fds->seccomp, e) < 0 || open_one(args_fd, e) < 0)
        return -1;
    for (size_t i = 0; i < BOX_ETC_N; i++)
        if (open_one(fds->etc[i], e) < 0)
            return -1;
    for (size_t i = 0; i < p->n_files; i++)
        if (open_one(fds->files[i], e) < 0)
            return -1;
    for (size_t i = 0; i < p->n_binds; i++)
        if (open_one(fds->binds[i], e) < 0)
            return -1;
    return 0;
}

static int set_rlimit(__rlimit_resource_t which, const char *name, uint64_t wish, struct err *e)
{
    struct rlimit now;

    if (getrlimit(which, &now) < 0)
        return err_set_os(e, errno, "could not read the limit %s", name);
    if (wish < now.rlim_max)
        now.rlim_max = wish;
    now.rlim_cur = now.rlim_max;
    if (setrlimit(which, &now) < 0)
        return err_set_os(e, errno, "could not set the limit %s", name);
    return 0;
}

/*
 * The first two whoever started us may have been granted; the others are counted per uid, and the
 * kernel's objects behind them are small, but not nothing.
 */
static int set_rlimits(const struct box_rlimits *r, struct err *e)
{
    static const struct {
        __rlimit_resource_t which;
        const char *name;
        uint64_t most;
    } always[] = {
        {RLIMIT_CORE, "core", 0},
        {RLIMIT_RTPRIO, "rtprio", 0},
        {RLIMIT_NICE, "nice", 0},
        {RLIMIT_MEMLOCK, "memlock", 8u << 20},
        {RLIMIT_MSGQUEUE, "msgqueue", 819200},
        {RLIMIT_SIGPENDING, "sigpending", 16384},
    };

    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (set_rlimit(always[i].which, always[i].name, always[i].most, e) < 0)
            return -1;
    if (r->nofile != 0 && set_rlimit(RLIMIT_NOFILE, "nofile", r->nofile, e) < 0)
        return -1;
    if (r->nproc != 0 && set_rlimit(RLIMIT_NPROC, "nproc", r->nproc, e) < 0)
        return -1;
    if (r->data != 0 && set_rlimit(RLIMIT_DATA, "data", r->data, e) < 0)
        return -1;
    return 0;
}

/*
 * What a daemon has blocked or ignores would stay so in every program of the pod. Asked of the
 * kernel itself: libc will not touch the two signals it keeps for itself, which whoever started us
 * may have left ignored.
 */
static void reset_signals(void)
{
    static const uint64_t by_default[8]; /* the kernel's struct sigaction: SIG_DFL, no flags */
    sigset_t none;

    for (int i = 1; i <= SIGRTMAX; i++)
        (void)syscall(SYS_rt_sigaction, i, by_default, NULL, (size_t)(_NSIG / 8));
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int set_capabilities(struct err *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capset, &header, none) < 0)
        return err_set_os(e, errno, "could not drop capabilities");
    return 0;
}

/*
 * The bounding set first, it takes a capability to shrink; groups before the uid for the same
 * reason. From setresuid to execve the process is not dumpable, so no other process of that uid can
 * attach to it while it still holds our descriptors.
 */
static int drop_privileges(uid_t uid, gid_t gid, struct err *e)
{
    int there;

    /* Until the kernel knows no such capability; a host may lack some in the middle. */
    for (unsigned long cap = 0; (there = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; cap++)
        if (there == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_set_os(e, errno, "could not drop capability %lu", cap);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return err_set_os(e, errno, "could not drop ambient capabilities");
    if (setgroups(0, NULL) < 0)
        return err_set_os(e, errno, "could not leave the supplementary groups");
    if (setresgid(gid, gid, gid) < 0)
        return err_set_os(e, errno, "could not become gid %u", gid);
    if (setresuid(uid, uid, uid) < 0)
        return err_set_os(e, errno, "could not become uid %u", uid);
    if (set_capabilities(e) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_os(e, errno, "could not forbid new privileges");
    /* Else the pod would possess the keys of our session. Without key support there are none. */
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return err_set_os(e, errno, "could not leave the session keyring");
    return 0;
}

static int verify_privileges(uid_t uid, gid_t gid, struct err *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
    uid_t u[3];
    gid_t g[3];

    if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0 ||
        syscall(SYS_capget, &header, caps) < 0)
        return err_set_os(e, errno, "could not read the pod's own identity");
    for (int i = 0; i < 3; i++)
        if (u[i] != uid || g[i] != gid)
            return err_set(e, ERR_INTERNAL, "did not become uid %u, gid %u", uid, gid);
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        if ((caps[i].effective | caps[i].permitted | caps[i].inheritable) != 0)
            return err_set(e, ERR_INTERNAL, "did not lose its capabilities");
    if (getgroups(0, NULL) != 0)
        return err_set(e, ERR_INTERNAL, "did not leave the supplementary groups");
    if (setresuid(0, 0, 0) == 0)
        return err_set(e, ERR_INTERNAL, "could become root again");
    return 0;
}

/* argv of bubblewrap: the options come by descriptor, so that ps on the host shows only argv. */
static const char **make_argv(const char *const *payload, char *args_fd)
{
    size_t n = 0;
    const char **argv;

    while (payload[n] != NULL)
        n++;
    argv = mem_new((n + 5) * sizeof(*argv));
    argv[0] = "bwrap";
    argv[1] = "--args";
    argv[2] = args_fd;
    argv[3] = "--";
    for (size_t i = 0; i < n; i++)
        argv[4 + i] = payload[i];
    return argv;
}

int box_exec(const struct box_plan *plan, const struct box_groups *groups, struct err *e)
{
    static char *no_env[] = {NULL};
    AUTO_FREE const char **argv = NULL;
    struct box_plan own = *plan, *p = &own;
    struct box_host host;
    struct box_places places;
    struct box_fds fds;
    char number[16];
    int args_fd;

    if (box_plan_check(p, e) < 0)
        return -1;
    host = *p->host;
    box_host_refresh(&host);
    p->host = &host;
    if (p->group != NULL && box_groups_join(groups, p->group, e) < 0)
        return -1;
    if (INJECT("box.joined", e) < 0)
        return -1;
    if (p->lean_fd >= 0 && box_lean_enter(p, &places, e) < 0)
        return -1;
    reset_signals();
    (void)setsid(); /* fails when it leads a group already, which is as good */
    (void)umask(022);
    if (chdir("/") < 0)
        return err_set_os(e, errno, "could not enter /");
    if (set_stdio(p, e) < 0 || make_fds(p, &fds, e) < 0 || (args_fd = make_args(p, &fds, e)) < 0)
        return -1;
    (void)snprintf(number, sizeof(number), "%d", args_fd);
    argv = make_argv(p->argv, number);
    if (drop_privileges(p->uid, p->gid, e) < 0 || verify_privileges(p->uid, p->gid, e) < 0)
        return -1;
    if (INJECT("box.dropped", e) < 0)
        return -1;
    /* After the descriptors were made, which a low nofile could have refused. */
    if (open_planned(p, &fds, args_fd, e) < 0 || set_rlimits(&p->rlimits, e) < 0)
        return -1;
    (void)execve(BWRAP, (char *const *)(uintptr_t)argv, no_env);
    (void)err_set_os(e, errno, "could not start %s", BWRAP);
    return err_hint(e, "install the package bubblewrap");
}
