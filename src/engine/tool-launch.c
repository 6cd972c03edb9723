/* A tool pod, from its streams to the exec. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "box/groups.h"
#include "box/netns.h"
#include "pg/place.h"
#include "tool-int.h"

enum { NOFILE = 4096, PORT = 5432 };

/* ---- streams ---- */

/* Its own uid may open it again, as /dev/stdout does; nobody else has that uid. */
static int give(int fd, uid_t uid, struct err *e)
{
    if (fchown(fd, uid, uid) < 0 || fchmod(fd, 0600) < 0)
        return err_set_os(e, errno, "could not give a stream to the pod");
    return 0;
}

/*
 * A terminal of its own, never that of who typed the command. The other end of the master is found
 * through the master itself: what a path in /dev/pts means is not asked.
 */
static int make_terminal(const struct tool_spec *spec, int *ret_master, int *ret_slave,
                         struct err *e)
{
    struct winsize size = {.ws_row = spec->rows, .ws_col = spec->columns};
    AUTO_CLOSE int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    AUTO_CLOSE int slave = -1;
    int unlock = 0;

    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return err_set_os(e, errno, "could not make a terminal");
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return err_set_os(e, errno, "could not open a terminal");
    (void)ioctl(master, TIOCSWINSZ, &size);
    if (give(slave, spec->uid, e) < 0)
        return -1;
    *ret_master = take_fd(&master);
    *ret_slave = take_fd(&slave);
    return 0;
}

static int make_pipe(uid_t uid, int theirs, int ret[2], struct err *e)
{
    if (pipe2(ret, O_CLOEXEC) < 0)
        return err_set_os(e, errno, "could not make a pipe");
    return give(ret[theirs], uid, e);
}

static int make_pipes(const struct tool_spec *spec, int stdio[TOOL_STREAMS], int ret[TOOL_STREAMS],
                      struct err *e)
{
    for (int i = 0; i < TOOL_STREAMS; i++) {
        int theirs = i == 0 ? 0 : 1, ends[2] = {-1, -1};
        int r = make_pipe(spec->uid, theirs, ends, e);

        stdio[i] = ends[theirs];
        ret[i] = ends[1 - theirs];
        if (r < 0)
            return -1;
    }
    return 0;
}

int tool_streams(const struct tool_spec *spec, int stdio[TOOL_STREAMS], int ret[TOOL_STREAMS],
                 struct err *e)
{
    for (int i = 0; i < TOOL_STREAMS; i++)
        stdio[i] = ret[i] = -1;
    if (spec->term == NULL)
        return make_pipes(spec, stdio, ret, e);
    return make_terminal(spec, &ret[0], &stdio[0], e);
}

/* ---- in the child ---- */

static int send_listeners(int to, const int *fds, size_t n, struct err *e)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * TOOL_LISTENERS)];
    } control = {0};
    char byte = 'l';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = CMSG_SPACE(sizeof(int) * n)};

    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n);
    if (sendmsg(to, &msg, MSG_NOSIGNAL) != 1)
        return err_set_os(e, errno, "could not hand over the listeners of a pod");
    return 0;
}

static int make_network(const struct tool_run *run, struct err *e)
{
    int fds[BOX_NETNS_LISTENERS];
    size_t n = 0;
    int r;

    if (box_netns_make(PORT, fds, &n, e) < 0)
        return -1;
    r = send_listeners(run->said, fds, n, e);
    while (n > 0)
        (void)close(fds[--n]);
    return r < 0 ? -1 : INJECT("tool.listening", e);
}

static void plan_env(const struct tool_run *run, struct pg_words *env)
{
    const struct tool_spec *spec = run->spec;

    pg_words_add(env, mem_printf("PATH=%s:/usr/local/bin:/usr/bin:/bin", run->install->bin));
    pg_words_add(env, mem_copy("HOME=/tmp"));
    pg_words_add(env, mem_printf("USER=%s", spec->login));
    pg_words_add(env, mem_printf("LOGNAME=%s", spec->login));
    pg_words_add(env, mem_copy("SHELL=/bin/bash"));
    pg_words_add(env, mem_copy("LANG=C.UTF-8"));
    pg_words_add(env, mem_copy("LC_ALL=C.UTF-8"));
    pg_client_env(spec->superuser, env);
    if (spec->term == NULL)
        return;
    pg_words_add(env, mem_printf("TERM=%s", spec->term));
    pg_words_add(env, mem_printf("PS1=\\u@%s:\\w\\$ ", spec->name));
}

/* What is named without a path is looked for in the pod, by a shell of the pod. */
static void plan_argv(const struct tool_spec *spec, struct pg_words *argv)
{
    static const char *const found[] = {"/bin/sh", "-c", "exec \"$@\"", "sh"};
    /* the terminal is inherited: only a new session that asks for it can be controlled by it */
    static const char *const shell[] = {"/usr/bin/setsid", "-c", "/bin/bash"};

    for (size_t i = 0; spec->argv != NULL && i < sizeof(found) / sizeof(found[0]); i++)
        pg_words_add(argv, mem_copy(found[i]));
    for (size_t i = 0; spec->argv != NULL && spec->argv[i] != NULL; i++)
        pg_words_add(argv, mem_copy(spec->argv[i]));
    for (size_t i = 0; spec->argv == NULL && i < sizeof(shell) / sizeof(shell[0]); i++)
        pg_words_add(argv, mem_copy(shell[i]));
}

int tool_launch(void *arg, struct err *e)
{
    const struct tool_run *run = arg;
    const struct tool_spec *spec = run->spec;
    struct pg_words argv = {0}, env = {0};
    struct box_plan plan;

    /* where the kernel must choose among all pods, no server goes before a tool does */
    if (box_groups_join(run->local->groups, run->id, e) < 0 ||
        fd_put(AT_FDCWD, "/proc/self/oom_score_adj", "1000", e) < 0 || make_network(run, e) < 0)
        return -1;
    box_plan_init(&plan);
    plan.uid = plan.gid = spec->uid;
    plan.user = spec->login;
    plan.home = plan.cwd = "/tmp";
    plan.host = &run->local->host;
    plan.own_net = true;
    plan.terminals = spec->term != NULL;
    plan.in = run->stdio[0];
    plan.out = spec->term != NULL ? run->stdio[0] : run->stdio[1];
    plan.err = spec->term != NULL ? run->stdio[0] : run->stdio[2];
    plan.seccomp_fd = run->local->seccomp_fd;
    plan.lean_fd = run->local->lean_fd;
    plan.rlimits.nofile = NOFILE;
    plan.shm_size = plan.tmp_size = spec->memory / 4;
    plan_env(run, &env);
    plan_argv(spec, &argv);
    plan.argv = (const char *const *)argv.at;
    plan.env = (const char *const *)env.at;
    return INJECT("tool.launch", e) < 0 ? -1 : box_exec(&plan, run->local->groups, e);
}
