#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/hub.h"
#include "ipc/conn.h"

enum {
    CHUNK = 65536,
    ID_ROOM = 64,
    AGAIN_MS = 100,      /* between two attempts to find a new dormd */
    PATIENCE_MS = 12000, /* below what dormd waits for us */
};

enum { SLOT_DORMD, SLOT_SIGNAL, SLOT_STDIN, SLOT_IN, SLOT_OUT, SLOT_ERR, SLOTS };

struct relay {
    const struct cli *cli;
    const char *name; /* of the server */
    int dormd;        /* owned; -1: it is away */
    uint64_t away_since, asked_ms;
    char id[ID_ROOM]; /* of the tool */
    int in, out, err; /* owned; -1: closed. in and out are one descriptor of a terminal */
    int signals;      /* owned */
    bool terminal, stdin_over, over, known;
    int status, killed_by; /* killed_by: a signal of ours */
    struct buf typed;      /* from our stdin, not taken yet */
    struct buf storage;
    struct termios before; /* our terminal's */
    bool raw;
};

static void close_in(struct relay *r)
{
    if (!r->terminal)
        close_fd(&r->in);
    r->stdin_over = true;
}

static void close_out(struct relay *r)
{
    if (r->terminal)
        r->in = -1;
    close_fd(&r->out);
}

/* ---- what dormd says ---- */

static int take_stream(struct relay *r, uint64_t which, int *fd, struct err *e)
{
    int *const places[] = {&r->in, &r->out, &r->err, &r->out};

    if (*fd < 0 || which >= sizeof(places) / sizeof(places[0]) || *places[which] >= 0)
        return err_set(e, ERR_PEER, "dormd sent no stream of the program");
    /* the program may open its end again, and read what we have been told to read */
    if (fd_nonblocking(*fd, e) < 0)
        return -1;
    *places[which] = take_fd(fd);
    r->terminal = which == 3;
    if (r->terminal)
        r->in = r->out;
    return 0;
}

static int take_failure(const struct ipc_msg *m, struct err *e)
{
    uint64_t kind = m->field[0].number;

    (void)err_set(e, kind > ERR_NONE && kind < ERR_KIND_N ? (enum err_kind)kind : ERR_INTERNAL,
                  "%s", m->field[1].at);
    return err_hint(e, "%s", m->field[2].at);
}

static int take_message(struct relay *r, const struct ipc_msg *m, int *fd, struct err *e)
{
    switch ((int)m->type) {
    case IPC_TOOL:
        if (!str_copy(r->id, sizeof(r->id), m->field[0].at))
            return err_set(e, ERR_PEER, "dormd named the program too long");
        return 0;
    case IPC_STREAM:
        return take_stream(r, m->field[0].number, fd, e);
    case IPC_SAY:
        call_remark(r->cli, m->field[1].at);
        return 0;
    case IPC_EXIT:
        r->known = m->field[0].number <= 255;
        r->status = r->known ? (int)m->field[0].number : 0;
        return 0;
    case IPC_DONE:
        r->over = true;
        close_fd(&r->dormd);
        return 0;
    case IPC_FAIL:
        (void)take_failure(m, e);
        if (e->kind != ERR_NOT_FOUND || r->away_since == 0)
            return -1;
        r->over = true; /* it ended while dormd was away */
        close_fd(&r->dormd);
        return 0;
    default:
        return err_set(e, ERR_PEER, "dormd answered with something else (%s)", ipc_name(m->type));
    }
}

static int hear(struct relay *r, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct ipc_msg m;

    if (ipc_receive_fd_now(r->dormd, &r->storage, &m, &fd, e) == 0)
        return take_message(r, &m, &fd, e);
    if (e->kind != ERR_PEER && e->os_errno != ECONNRESET)
        return -1;
    if (r->id[0] == '\0') /* nothing has begun */
        return err_prefix(e, "dormd broke off its answer");
    close_fd(&r->dormd);
    r->away_since = r->asked_ms = clock_ms();
    return 0;
}

static int ask(struct relay *r, const struct call_words *w, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct buf b;
    int sent = -1;

    if (hub_connect(r->cli, &fd, e) < 0)
        return -1;
    buf_init(&b, IPC_MAX);
    if (!ipc_format(&b, IPC_CALL, w->at[0], w->at + 1, w->n - 1))
        (void)err_set(e, ERR_INPUT, "what was typed is too long to be passed on");
    else
        sent = ipc_send_now(fd, &b, e);
    buf_done(&b);
    if (sent == 0)
        r->dormd = take_fd(&fd);
    return sent;
}

/* The program runs on without dormd, and its streams do; but it is ended by a dormd that nobody
 * asks for it. */
static void come_back(struct relay *r)
{
    struct call_words w = {.at = {"server rejoin"}, .n = 1};
    struct err e;

    if (r->dormd >= 0 || r->over || clock_ms() - r->asked_ms < AGAIN_MS)
        return;
    r->asked_ms = clock_ms();
    call_words_add(&w, "name", r->name);
    call_words_add(&w, "tool", r->id);
    if (ask(r, &w, &e) < 0 && clock_ms() - r->away_since > PATIENCE_MS)
        r->over = true;
}

/* ---- streams ---- */

/* From ours into the buffer; only when all that was typed before has been taken. */
static void take_typed(struct relay *r)
{
    ssize_t n;

    if (!buf_reserve(&r->typed, CHUNK))
        return;
    n = read(STDIN_FILENO, buf_tail(&r->typed), buf_room(&r->typed));
    if (n > 0)
        buf_wrote(&r->typed, (size_t)n);
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        r->stdin_over = true;
}

static void pass_typed(struct relay *r)
{
    ssize_t n = 0;

    if (buf_len(&r->typed) > 0)
        n = write(r->in, buf_data(&r->typed), buf_len(&r->typed));
    if (n > 0)
        buf_eat(&r->typed, (size_t)n);
    else if (n < 0 && errno != EINTR && errno != EAGAIN)
        close_in(r); /* it reads no more; it may still write */
}

static void of_an_end(sigset_t *ret)
{
    static const int numbers[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT};

    (void)sigemptyset(ret);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaddset(ret, numbers[i]);
}

/*
 * Whoever reads what we write may have stopped, and a signal must end us nevertheless. A terminal
 * takes what it is given, and would be left raw.
 */
static int show(const struct relay *r, bool is_err, const char *text, size_t len, struct err *e)
{
    sigset_t set;
    int result;

    of_an_end(&set);
    if (!r->raw)
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    result = fd_write_all(is_err ? STDERR_FILENO : STDOUT_FILENO, text, len, e);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return result;
}

/* As it came: what a terminal makes of it is between the program and who asked for it. */
static int pass_said(struct relay *r, bool is_err, struct err *e)
{
    static char chunk[CHUNK];
    ssize_t n = read(is_err ? r->err : r->out, chunk, sizeof(chunk));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0) { /* a terminal says EIO when nobody has it open any more */
        if (is_err)
            close_fd(&r->err);
        else
            close_out(r);
        return 0;
    }
    if (show(r, is_err, chunk, (size_t)n, e) == 0)
        return 0;
    if (e->os_errno == EPIPE)
        r->killed_by = SIGPIPE;
    return -1;
}

static void follow_size(const struct relay *r)
{
    struct winsize size;

    if (r->terminal && r->out >= 0 && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        (void)ioctl(r->out, TIOCSWINSZ, &size);
}

static void take_signal(struct relay *r)
{
    struct signalfd_siginfo info;

    if (read(r->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGWINCH)
        follow_size(r);
    else
        r->killed_by = (int)info.ssi_signo;
}

/* ---- turning ---- */

static void set_slots(const struct relay *r, struct pollfd at[SLOTS])
{
    bool wants_more = !r->stdin_over && r->in >= 0 && buf_len(&r->typed) == 0;

    at[SLOT_DORMD] = (struct pollfd){.fd = r->dormd, .events = POLLIN};
    at[SLOT_SIGNAL] = (struct pollfd){.fd = r->signals, .events = POLLIN};
    at[SLOT_STDIN] = (struct pollfd){.fd = wants_more ? STDIN_FILENO : -1, .events = POLLIN};
    at[SLOT_IN] = (struct pollfd){.fd = buf_len(&r->typed) > 0 ? r->in : -1, .events = POLLOUT};
    at[SLOT_OUT] = (struct pollfd){.fd = r->out, .events = POLLIN};
    at[SLOT_ERR] = (struct pollfd){.fd = r->err, .events = POLLIN};
}

static int turn(struct relay *r, struct err *e)
{
    struct pollfd at[SLOTS];

    set_slots(r, at);
    if (poll(at, SLOTS, r->dormd < 0 && !r->over ? AGAIN_MS : -1) < 0)
        return errno == EINTR ? 0 : err_set_os(e, errno, "could not wait for the program");
    if (at[SLOT_OUT].revents != 0 && pass_said(r, false, e) < 0)
        return -1;
    if (at[SLOT_ERR].revents != 0 && pass_said(r, true, e) < 0)
        return -1;
    if (at[SLOT_STDIN].revents != 0)
        take_typed(r);
    if (at[SLOT_IN].revents != 0)
        pass_typed(r);
    if (r->stdin_over && buf_len(&r->typed) == 0 && r->in >= 0 && !r->terminal)
        close_in(r);
    if (at[SLOT_SIGNAL].revents != 0)
        take_signal(r);
    if (at[SLOT_DORMD].revents != 0 && hear(r, e) < 0)
        return -1;
    come_back(r);
    return 0;
}

static int turn_until_over(struct relay *r, struct err *e)
{
    /* at its end every process of it is gone, so that what is still in the pipes has an end too */
    while (r->killed_by == 0 && (!r->over || r->out >= 0 || r->err >= 0))
        if (turn(r, e) < 0)
            return r->killed_by != 0 ? 0 : -1;
    if (r->killed_by != 0 || r->known)
        return 0;
    (void)err_set(e, ERR_MISSING, "the program has ended, but with what is not known");
    return err_hint(e, "dormd was restarted while it ran");
}

/* ---- ours ---- */

static int take_signals(struct relay *r, struct err *e)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;

    (void)sigaction(SIGPIPE, &ignore, NULL);
    of_an_end(&set);
    (void)sigaddset(&set, SIGWINCH);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return r->signals < 0 ? err_set_os(e, errno, "could not wait for signals") : 0;
}

static void begin_raw(struct relay *r)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &r->before) < 0)
        return;
    raw = r->before;
    cfmakeraw(&raw);
    r->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

/* With what was typed ahead, and what the terminal answered to the program's questions: neither is
 * for the shell that comes next. */
static void end_raw(struct relay *r)
{
    if (r->raw)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &r->before);
    r->raw = false;
}

/* The first answer tells whether there is a program at all: until then our terminal stays. */
static int begin(struct relay *r, const struct call_words *w, struct err *e)
{
    if (ask(r, w, e) < 0 || take_signals(r, e) < 0)
        return -1;
    while (r->out < 0 && !r->over)
        if (hear(r, e) < 0)
            return -1;
    if (r->terminal)
        begin_raw(r);
    return 0;
}

static void end_by(int number)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t set;

    (void)sigaction(number, &usual, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, number);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    (void)raise(number);
}

int tool_relay(const struct cli *c, const struct call_words *w, int *ret_status, struct err *e)
{
    struct relay r = {.cli = c,
                      .name = cli_value(c, "name"),
                      .dormd = -1,
                      .in = -1,
                      .out = -1,
                      .err = -1,
                      .signals = -1};
    int result;

    buf_init(&r.typed, CHUNK);
    buf_init(&r.storage, IPC_MAX);
    result = begin(&r, w, e) < 0 ? -1 : turn_until_over(&r, e);
    end_raw(&r);
    close_fd(&r.dormd);
    close_in(&r);
    close_out(&r);
    close_fd(&r.err);
    close_fd(&r.signals);
    buf_done(&r.typed);
    buf_done(&r.storage);
    if (r.killed_by != 0)
        end_by(r.killed_by);
    *ret_status = r.status;
    return result;
}
