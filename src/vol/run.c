#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"

#define OUTPUT_MAX 4096

static bool find(const char *program, char *path, size_t size)
{
    static const char *const folders[] = {"/sbin", "/usr/sbin"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        struct stat st;
        int n = snprintf(path, size, "%s/%s", folders[i], program);

        if (n > 0 && (size_t)n < size && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
            (st.st_mode & 0111) != 0)
            return true;
    }
    return false;
}

bool vol_run_found(const char *program)
{
    char path[64];

    return find(program, path, sizeof(path));
}

/* Between fork and exec, in the child. Never returns. */
static void become(const char *path, const struct vol_run *run, int output, pid_t parent)
{
    static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                                              "HOME=/", NULL};
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = run->fd < 0 ? null : run->fd;
    sigset_t none;

    /* Whoever is killed in the middle of a job must not leave mkfs writing into its image. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(126);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* Lifted above the numbers that are about to be taken, so that no dup2 overwrites another's
     * source. */
    null = fcntl(null, F_DUPFD_CLOEXEC, 10);
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    output = fcntl(output, F_DUPFD_CLOEXEC, 10);
    if (dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 || dup2(fd, VOL_RUN_FD) < 0)
        _exit(126);
    if (close_range(VOL_RUN_FD + 1, ~0u, 0) < 0)
        _exit(126);
    /* execve takes pointers to non-const for historical reasons and writes through none of them. */
    (void)execve(path, (char *const *)(uintptr_t)run->argv, (char *const *)(uintptr_t)environment);
    _exit(127);
}

/* Read until the program closes its output. The first part of it is kept. False when time is up. */
static bool collect(int fd, uint64_t until_ms, char *output, size_t *ret_len)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_ms();
        char beyond[512];
        bool full = len == OUTPUT_MAX;
        ssize_t n;

        *ret_len = len;
        if (now >= until_ms)
            return false;
        if (poll(&p, 1, until_ms - now > 1000 ? 1000 : (int)(until_ms - now)) <= 0)
            continue;
        n = read(fd, full ? beyond : output + len, full ? sizeof(beyond) : OUTPUT_MAX - len);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return true;
        if (n > 0 && !full)
            len += (size_t)n;
    }
}

static int judge(const struct vol_run *run, int status, const char *output, size_t len,
                 struct err *e)
{
    char shown[sizeof(e->msg) / 2];

    while (len > 0 && output[len - 1] == '\n')
        len--;
    (void)str_show(shown, sizeof(shown), output, len);
    if (WIFSIGNALED(status))
        return err_set(e, ERR_OS, "%s was ended by signal %d: %s", run->argv[0], WTERMSIG(status),
                       shown);
    if (WEXITSTATUS(status) > run->worst_ok)
        return err_set(e, ERR_OS, "%s failed (exit status %d): %s", run->argv[0],
                       WEXITSTATUS(status), shown);
    return 0;
}

int vol_run(const struct vol_run *run, struct err *e)
{
    AUTO_CLOSE int ours = -1, theirs = -1;
    char path[64], output[OUTPUT_MAX];
    uint64_t until_ms = clock_ms() + run->deadline_ms;
    pid_t parent = getpid(), pid;
    int ends[2], status;
    size_t len;
    bool ended;

    if (!find(run->argv[0], path, sizeof(path))) {
        (void)err_set(e, ERR_MISSING, "the program %s is not installed", run->argv[0]);
        return err_hint(e, "apt-get install %s", run->package);
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set_os(e, errno, "could not run %s", run->argv[0]);
    ours = ends[0];
    theirs = ends[1];
    pid = fork();
    if (pid < 0)
        return err_set_os(e, errno, "could not run %s", run->argv[0]);
    if (pid == 0)
        become(path, run, theirs, parent);
    close_fd(&theirs);
    ended = collect(ours, until_ms, output, &len);
    if (!ended)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_set_os(e, errno, "could not wait for %s", run->argv[0]);
    if (!ended)
        return err_set(e, ERR_OS, "%s did not end within %llu seconds", run->argv[0],
                       (unsigned long long)(run->deadline_ms / 1000));
    return judge(run, status, output, len, e);
}
