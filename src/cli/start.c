#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/hub.h"

#define UNIT "dormouse.service"

enum { READY_MS = 180000, LOOK_MS = 100, SAY_MS = 2000 };

static bool is_there(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

bool start_by_unit(const char *state)
{
    return hub_is_default(state) && is_there("/run/systemd/system") &&
           (is_there("/etc/systemd/system/" UNIT) ||
            is_there("/usr/local/lib/systemd/system/" UNIT) ||
            is_there("/usr/lib/systemd/system/" UNIT));
}

const char *start_log_of(const char *state)
{
    static char path[HUB_PATH + 16];

    if (start_by_unit(state))
        return "journalctl -u " UNIT;
    (void)snprintf(path, sizeof(path), "%s/dormd.log", state);
    return path;
}

/* A line of progress every two seconds: the first start prepares PostgreSQL, which takes a while.
 */
static void progress(const struct cli *c, uint64_t began_ms, uint64_t *said_ms)
{
    uint64_t now = clock_ms();
    char text[80];

    if (now - *said_ms < SAY_MS || !isatty(STDERR_FILENO))
        return;
    *said_ms = now;
    (void)snprintf(text, sizeof(text), "  ... %llu s", (unsigned long long)(now - began_ms) / 1000);
    call_remark(c, text);
}

static int too_slow(const char *state, struct err *e)
{
    (void)err_set(e, ERR_BUSY, "dormd was not ready within %d s", READY_MS / 1000);
    return err_hint(e, "what it is doing: %s", start_log_of(state));
}

/* ---- systemd ---- */

int start_and_wait(const char *program, const char *const *argv, struct err *e)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        return err_set_os(e, errno, "could not start \"%s\"", program);
    if (pid == 0) {
        (void)execvp(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int systemctl(const char *const *argv, struct err *e)
{
    return start_and_wait(argv[0], argv, e);
}

/* systemd tells when the process is there, the socket when it answers: ask until it does. */
static int wait_for_socket(const struct cli *c, const char *state, struct err *e)
{
    static const char *const failed[] = {"systemctl", "--quiet", "is-failed", UNIT, NULL};
    uint64_t began = clock_ms(), said = began;

    while (clock_ms() - began < READY_MS) {
        AUTO_CLOSE int fd = -1;

        if (hub_connect(c, &fd, e) == 0)
            return 0;
        if (e->kind != ERR_MISSING)
            return -1;
        if (systemctl(failed, e) == 0) {
            (void)err_set(e, ERR_MISSING, "systemd could not start " UNIT);
            return err_hint(e, "why: %s", start_log_of(state));
        }
        progress(c, began, &said);
        (void)poll(NULL, 0, LOOK_MS);
    }
    return too_slow(state, e);
}

static int start_unit(const struct cli *c, const char *state, struct err *e)
{
    static const char *const enable[] = {"systemctl", "--quiet", "enable", "--now", UNIT, NULL};
    int code = systemctl(enable, e);

    if (code < 0)
        return -1;
    if (code != 0) {
        (void)err_set(e, ERR_MISSING, "systemd could not start " UNIT);
        return err_hint(e, "why: %s", start_log_of(state));
    }
    return wait_for_socket(c, state, e);
}

int start_forget(const struct cli *c, const char *state, struct err *e)
{
    static const char *const disable[] = {"systemctl", "--quiet", "disable", "--now", UNIT, NULL};

    if (geteuid() != 0 || !start_by_unit(state))
        return 0;
    if (systemctl(disable, e) != 0)
        call_remark(c, "systemd may start the hub again at the next boot: systemctl disable " UNIT);
    return 0;
}

/* ---- by ourselves ---- */

int start_find_dormd(char **ret_path, struct err *e)
{
    const char *dir = getenv("DORM_LIB");
    char own[4096];
    ssize_t n;

    if (dir != NULL && dir[0] != '\0') {
        *ret_path = mem_printf("%s/dormd", dir);
    } else {
        n = readlink("/proc/self/exe", own, sizeof(own) - 1);
        if (n < 0)
            return err_set_os(e, errno, "could not find where dorm is installed");
        own[n] = '\0';
        own[strrchr(own, '/') - own] = '\0';
        *ret_path = mem_printf("%s/../lib/dormouse/dormd", own);
    }
    if (is_there(*ret_path))
        return 0;
    (void)err_set(e, ERR_MISSING, "there is no dormd at \"%s\"", *ret_path);
    return err_hint(e, "install with: make up; from a build directory set DORM_LIB");
}

/*
 * In the second child, whose parent is gone: it belongs to no terminal, and the daemon gets nothing
 * of ours but its log and the descriptor on which it says that it is ready.
 */
static void become_dormd(const char *path, const char *state, int log_fd, int ready_fd)
{
    char number[16];
    const char *argv[] = {"dormd", "--state", state, "--ready-fd", number, NULL};
    AUTO_CLOSE int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;

    (void)snprintf(number, sizeof(number), "%d", ready_fd);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    /* dup2 alone drops O_CLOEXEC, and here that is the purpose */
    if (chdir("/") < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0 || fcntl(ready_fd, F_SETFD, 0) < 0)
        return;
    (void)execv(path, (char *const *)(uintptr_t)argv);
    (void)dprintf(ready_fd, "could not start \"%s\": %s\n", path, strerror(errno));
}

static int detach(const char *path, const char *state, int log_fd, int ready_fd, struct err *e)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        return err_set_os(e, errno, "could not start dormd");
    if (pid == 0) {
        (void)setsid();
        pid = fork();
        if (pid == 0) {
            become_dormd(path, state, log_fd, ready_fd);
            _exit(127);
        }
        _exit(pid < 0 ? 1 : 0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0 ? 0 : err_set(e, ERR_OS, "could not start dormd");
}

/* What came before the end of the pipe was not "ready": it is the reason. */
static int not_ready(struct buf *said, const char *state, struct err *e)
{
    char *text, *hint;

    if (!buf_put_u8(said, '\0'))
        return err_set(e, ERR_INTERNAL, "dormd said more than anybody would read");
    text = (char *)buf_data(said);
    hint = strstr(text, "\nhint: ");
    if (hint != NULL) {
        *hint = '\0';
        hint += sizeof("\nhint: ") - 1;
        hint[strcspn(hint, "\n")] = '\0';
    }
    text[strcspn(text, "\n")] = '\0';
    if (text[0] == '\0')
        (void)err_set(e, ERR_MISSING, "dormd ended before it was ready");
    else
        (void)err_set(e, ERR_MISSING, "%s", text);
    return hint != NULL ? err_hint(e, "%s", hint) : err_hint(e, "see %s", start_log_of(state));
}

static int wait_until_ready(const struct cli *c, const char *state, int fd, struct err *e)
{
    uint64_t began = clock_ms(), said_ms = began;
    struct buf said;
    int r = 1;

    buf_init(&said, 4096);
    while (r == 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, SAY_MS) == 0) {
            progress(c, began, &said_ms);
            if (clock_ms() - began > READY_MS)
                r = too_slow(state, e);
            continue;
        }
        n = buf_reserve(&said, 512) ? read(fd, buf_tail(&said), 512) : 0;
        if (n > 0)
            buf_wrote(&said, (size_t)n);
        if (buf_len(&said) >= 6 && memcmp(buf_data(&said), "ready\n", 6) == 0)
            r = 0;
        else if (n == 0 || (n < 0 && errno != EINTR))
            r = not_ready(&said, state, e);
    }
    buf_done(&said);
    return r;
}

static int start_by_hand(const struct cli *c, const char *state, struct err *e)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int log_fd = -1, read_end = -1, write_end = -1;
    int ends[2];

    if (start_find_dormd(&path, e) < 0)
        return -1;
    if (mkdir(state, 0711) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make the state directory \"%s\"", state);
    log_fd =
        open(start_log_of(state), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0)
        return err_set_os(e, errno, "could not open the log \"%s\"", start_log_of(state));
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set_os(e, errno, "could not create a pipe");
    read_end = ends[0];
    write_end = ends[1];
    if (detach(path, state, log_fd, write_end, e) < 0)
        return -1;
    close_fd(&write_end); /* or its end would never be seen */
    if (wait_until_ready(c, state, read_end, e) < 0)
        return -1;
    call_remark(c, is_there("/run/systemd/system")
                       ? "this hub is not a unit of systemd: after a reboot, start it with dorm up"
                       : "systemd does not run here: after a reboot, start the hub with dorm up");
    return 0;
}

static int restart_unit(const struct cli *c, const char *state, struct err *e)
{
    static const char *const restart[] = {"systemctl", "--quiet", "restart", UNIT, NULL};
    int code = systemctl(restart, e);

    if (code < 0)
        return -1;
    if (code != 0) {
        (void)err_set(e, ERR_MISSING, "systemd could not restart " UNIT);
        return err_hint(e, "why: %s", start_log_of(state));
    }
    return wait_for_socket(c, state, e);
}

int start_again(const struct cli *c, const char *state, struct err *e)
{
    return start_by_unit(state) ? restart_unit(c, state, e) : start_by_hand(c, state, e);
}

int start_hub(const struct cli *c, const char *state, struct err *e)
{
    call_remark(c, is_there(state) ? "starting the hub"
                                   : "starting a new hub: PostgreSQL is prepared once, which takes "
                                     "some seconds");
    return start_by_unit(state) ? start_unit(c, state, e) : start_by_hand(c, state, e);
}
