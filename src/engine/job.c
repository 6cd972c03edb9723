#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"

struct job {
    struct job_spec spec;
    struct loop_child child;
    struct loop_timer limit;
    int report_fd; /* owned: where the child says why it failed */
    bool late;
};

/* The child's whole life, unless run() execs. */
static _Noreturn void be_child(const struct job_spec *spec, int report_fd, pid_t parent)
{
    struct err e = {0};
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (!spec->outlives_us) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1); /* it died before the line above could tell us */
    }
    if (spec->run(spec->arg, &e) == 0)
        _exit(0);
    /* same program, same address space layout: e.file still points to its text in the parent */
    if (write(report_fd, &e, sizeof(e)) != (ssize_t)sizeof(e))
        _exit(2);
    _exit(1);
}

/* fork(), into another cgroup if that can be: moving there afterwards is slow (see box/groups.h).
 */
static pid_t fork_into(int birthplace)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (__u64)birthplace};
    long pid;

    if (birthplace <= 0)
        return fork();
    pid = syscall(SYS_clone3, &args, sizeof(args));
    return pid < 0 ? fork() : (pid_t)pid; /* it moves by itself then */
}

static void read_report(struct job *j, int status, struct err *e)
{
    if (read(j->report_fd, e, sizeof(*e)) == (ssize_t)sizeof(*e) && e->kind < ERR_KIND_N)
        return;
    if (j->late)
        (void)err_set(e, ERR_BUSY, "could not %s in %llu s: gave up", j->spec.what,
                      (unsigned long long)(j->spec.limit_ms / 1000));
    else if (status != -1 && WIFSIGNALED(status))
        (void)err_set(e, ERR_OS, "could not %s: killed by signal %d", j->spec.what,
                      WTERMSIG(status));
    else
        (void)err_set(e, ERR_OS, "could not %s: it ended with status %d", j->spec.what,
                      status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void child_done(struct loop_child *child, int status)
{
    struct job *j = list_of(child, struct job, child);
    struct loop *loop = j->spec.loop;
    struct err e;

    loop_timer_stop(loop, &j->limit);
    if (status != 0)
        read_report(j, status, &e);
    close_fd(&j->report_fd);
    if (j->spec.done != NULL)
        j->spec.done(j->spec.owner, status, status == 0 ? NULL : &e);
    loop_free_later(loop, j);
}

static void limit_reached(struct loop_timer *t)
{
    struct job *j = list_of(t, struct job, limit);

    j->late = true;
    job_kill(j);
}

struct job *job_start(const struct job_spec *spec, struct err *e)
{
    struct job *j = mem_new(sizeof(*j));
    pid_t parent = getpid(), pid;
    int report[2];

    *j = (struct job){.spec = *spec, .report_fd = -1};
    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
        (void)err_set_os(e, errno, "could not make a pipe");
        free(j);
        return NULL;
    }
    pid = fork_into(spec->birthplace);
    if (pid == 0)
        be_child(spec, report[1], parent);
    (void)close(report[1]);
    j->report_fd = report[0];
    if (pid < 0 || loop_child_start(spec->loop, &j->child, pid, child_done, e) < 0) {
        if (pid < 0)
            (void)err_set_os(e, errno, "could not start a process");
        else
            (void)kill(pid, SIGKILL);
        close_fd(&j->report_fd);
        free(j);
        return NULL;
    }
    if (spec->limit_ms != 0)
        loop_timer_set(spec->loop, &j->limit, loop_now(spec->loop) + spec->limit_ms, limit_reached);
    return j;
}

void job_kill(struct job *j)
{
    (void)syscall(SYS_pidfd_send_signal, j->child.pidfd, SIGKILL, NULL, 0);
}

void job_forget(struct job *j)
{
    j->spec.done = NULL;
}

int job_pid(const struct job *j)
{
    return j->child.pid;
}
