#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"

enum { SHOWN_MAX = 4 << 20 };

static const char enter[] = "\033[?1049h\033[?25l"; /* a page of its own, no cursor */
static const char leave[] = "\033[?25h\033[?1049l";

struct screen {
    struct termios was;
    sigset_t mask;
    int signals; /* owned */
};

bool screen_there(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

struct screen *screen_open(struct err *e)
{
    struct screen *s = mem_new(sizeof(*s));
    struct termios raw;
    sigset_t ends;

    s->signals = -1;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGHUP);
    (void)sigaddset(&ends, SIGQUIT);
    if (tcgetattr(STDIN_FILENO, &s->was) < 0 || sigprocmask(SIG_BLOCK, &ends, &s->mask) < 0 ||
        (s->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        (void)err_set_os(e, errno, "could not take the terminal");
        free(s);
        return NULL;
    }
    raw = s->was;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)fd_write_all(STDOUT_FILENO, enter, sizeof(enter) - 1, e);
    return s;
}

void screen_close(struct screen *s)
{
    struct err ignored;

    if (s == NULL)
        return;
    (void)fd_write_all(STDOUT_FILENO, leave, sizeof(leave) - 1, &ignored);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->was);
    (void)sigprocmask(SIG_SETMASK, &s->mask, NULL);
    close_fd(&s->signals);
    free(s);
}

/* How many bytes of the line are its first so many characters. */
static size_t cut(const char *line, size_t len, unsigned columns)
{
    size_t at = 0;

    for (unsigned n = 0; at < len; at++) {
        n += ((unsigned char)line[at] & 0xc0) != 0x80;
        if (n > columns)
            break;
    }
    return at;
}

bool screen_put(struct buf *b, const char *text, size_t len, unsigned rows, unsigned columns)
{
    if (!buf_printf(b, "\033[H"))
        return false;
    for (unsigned row = 0; row < rows && len > 0; row++) {
        const char *end = memchr(text, '\n', len);
        size_t line = end == NULL ? len : (size_t)(end - text);

        if (!buf_printf(b, "%s%.*s\033[K", row == 0 ? "" : "\r\n", (int)cut(text, line, columns),
                        text))
            return false;
        line += end != NULL;
        text += line;
        len -= line;
    }
    return buf_printf(b, "\033[J");
}

static void draw(const struct buf *shown, struct err *e)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct buf b;

    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    buf_init(&b, SHOWN_MAX);
    /* without the last column, terminals that wrap at it stay as they are */
    if (size.ws_row > 0 && size.ws_col > 1 &&
        screen_put(&b, (const char *)buf_data(shown), buf_len(shown), size.ws_row,
                   size.ws_col - 1u))
        (void)fd_write_all(STDOUT_FILENO, buf_data(&b), buf_len(&b), e);
    buf_done(&b);
}

static bool is_enough(const struct pollfd *keys, const struct pollfd *signals)
{
    char typed[64];
    ssize_t n;

    if (signals->revents != 0)
        return true;
    if (keys->revents == 0)
        return false;
    n = read(STDIN_FILENO, typed, sizeof(typed));
    for (ssize_t i = 0; i < n; i++)
        if (strchr("qQ\003\004", typed[i]) != NULL && typed[i] != '\0')
            return true;
    return n <= 0; /* the terminal has gone */
}

/* 1: time is up, or fd (-1: none) has something; 0: it is enough. */
static int wait_for(const struct screen *s, int fd, uint64_t until_ms)
{
    for (;;) {
        struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = s->signals, .events = POLLIN},
                             {.fd = fd, .events = POLLIN}};
        uint64_t now = clock_ms();
        int timeout = fd >= 0 ? -1 : now >= until_ms ? 0 : (int)(until_ms - now);
        int n = poll(p, 3, timeout);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || is_enough(&p[0], &p[1]))
            return 0;
        if (n == 0 || p[2].revents != 0)
            return 1;
    }
}

static _Noreturn void be_source(const struct screen *s, int out,
                                int (*source)(void *arg, unsigned turn), void *arg, unsigned turn)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigprocmask(SIG_SETMASK, &s->mask, NULL);
    if (dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        _exit(1);
    _exit(source(arg, turn) < 0 || fflush(stdout) != 0 ? 1 : 0);
}

/* 1: read to its end, 0: it is enough. */
static int read_all(const struct screen *s, int fd, struct buf *b)
{
    for (;;) {
        ssize_t n;

        if (wait_for(s, fd, 0) == 0)
            return 0;
        n = buf_reserve(b, 4096) ? read(fd, buf_tail(b), buf_room(b)) : 0;
        if (n <= 0)
            return 1;
        buf_wrote(b, (size_t)n);
    }
}

/* 1: there is more to come, 0: it is enough, 2: the source has failed, -1. */
static int one_turn(const struct screen *s, int (*source)(void *arg, unsigned turn), void *arg,
                    unsigned turn, struct err *e)
{
    AUTO_CLOSE int in = -1, out = -1;
    int fds[2], status = 0, r;
    struct buf b;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set_os(e, errno, "could not create a pipe");
    in = fds[0];
    out = fds[1];
    pid = fork();
    if (pid < 0)
        return err_set_os(e, errno, "could not fork");
    if (pid == 0)
        be_source(s, out, source, arg, turn);
    close_fd(&out);
    buf_init(&b, SHOWN_MAX / 4);
    r = read_all(s, in, &b);
    close_fd(&in);
    if (r == 0)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (r == 1 && status != 0)
        r = 2;
    if (r == 1)
        draw(&b, e);
    buf_done(&b);
    return r;
}

int screen_run(struct screen *s, int (*source)(void *arg, unsigned turn), void *arg,
               uint64_t every_ms, struct err *e)
{
    for (unsigned turn = 0;; turn++) {
        uint64_t next = clock_ms() + (turn == 0 ? 0 : every_ms);
        int r = one_turn(s, source, arg, turn, e);

        if (r != 1)
            return r == 2 ? 1 : r;
        if (wait_for(s, -1, next) == 0)
            return 0;
    }
}
