#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/str.h"
#include "login.h"
#include "relay.h"

enum {
    START_BYTES_MAX = 1 << 20,
    AGAIN_MS = 50,  /* until a server that was just ending is asked for once more */
    GONE_MS = 3000, /* for one that ends connections without a word */
};

static void woke_too_slowly(struct loop_timer *t)
{
    struct session *s = list_of(t, struct session, deadline);

    log_warn(&s->log, "the server was not there in %d s", WAKE_MS / 1000);
    session_refuse(s, "57P03", "your server has not woken up in time", "Try again in a minute.");
}

static void started_too_slowly(struct loop_timer *t)
{
    struct session *s = list_of(t, struct session, deadline);

    log_warn(&s->log, "the server did not begin a session in %d s", START_MS / 1000);
    session_refuse(s, "08006", "your server did not begin a session in time",
                   "Try again; if it stays so, restart your server.");
}

void server_wake(struct session *s)
{
    if (!s->gate->linked || s->login->wake_sent)
        return; /* asked as soon as dormd is back */
    s->login->wake_sent = true;
    s->counted = true;
    ipc_send(&s->gate->dormd, -1, IPC_GATE_WAKE, s->slot->id, s->server);
}

void server_wait(struct session *s)
{
    s->stage = STAGE_WAITING;
    session_deadline(s, WAKE_MS, woke_too_slowly);
    session_expect_nothing(s);
    if (session_alive(s))
        server_wake(s);
}

void server_notice(struct session *s, const char *text)
{
    struct msg_notice n = {.severity = "NOTICE", .sqlstate = "00000", .message = text};

    if (s->stage != STAGE_WAITING)
        return;
    session_deadline(s, WAKE_MS, woke_too_slowly); /* it has a place in a queue: dormd sees to it */
    if (buf_len(&s->out) > OUT_MAX / 2)
        return; /* a client that does not read needs no more news */
    if (msg_put_notice(&s->out, &n) && session_flush(s))
        session_watch(s);
}

static void broken(struct session *s, const char *how)
{
    log_warn(&s->log, "the server broke off the start of a session: %s", how);
    session_refuse(s, "08006", "your server did not begin a session as a PostgreSQL server does",
                   "Restart it; its log says more.");
}

/* The server's key stays here: the client gets one that only this gate understands. */
static int keep_key(struct session *s, const struct msg *m, struct err *e)
{
    struct msg_key key;

    if (msg_read_key(m, &key, e) < 0)
        return -1;
    buf_done(&s->backend_key);
    s->backend_pid = key.pid;
    if (!buf_put(&s->backend_key, key.key, key.key_len))
        return err_set(e, ERR_PEER, "its key is too long");
    return msg_put_key(&s->out, s->slot->pid, s->slot->key) ? 0 : err_set(e, ERR_LIMIT, "no room");
}

static int take_auth(struct session *s, const struct msg *m, struct err *e)
{
    uint32_t type = 0;

    if (msg_read_auth(m, &type, e) < 0)
        return -1;
    if (type != MSG_AUTH_OK)
        return err_set(e, ERR_PEER, "it asks for a password (authentication request %u)", type);
    if (s->login->admitted)
        return err_set(e, ERR_PEER, "it admits twice");
    s->login->admitted = true; /* the client has had its AuthenticationOk from us */
    return 0;
}

/* It is of no use to try again by ourselves, nor for dormd, where the server is merely busy. */
static bool is_barred(const struct session *s, const struct msg_error *error)
{
    static const char *const others[] = {"08", "0A", "53", "57"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (str_starts(error->sqlstate, others[i]))
            return false;
    return s->gate->linked && !s->login->passed_on && str_is(error->severity, "FATAL");
}

/* Back to where it waits. */
static void leave_server(struct session *s)
{
    struct login *l = s->login;

    loop_io_stop(s->gate->loop, &s->server_io);
    close_fd(&s->server_fd);
    s->server_eof = false;
    buf_eat(&l->back, buf_len(&l->back));
    buf_eat(&l->up, buf_len(&l->up));
    l->admitted = l->server_refused = false;
    l->server_bytes = 0;
    s->stage = STAGE_WAITING;
    session_deadline(s, WAKE_MS, woke_too_slowly);
}

/* dormd sees what can be done, and brings a new connection or says no. */
static void wait_barred(struct session *s, const struct msg_error *error)
{
    const struct login *l = s->login;

    log_info(&s->log, "the server lets nobody in (%s)", error->sqlstate);
    leave_server(s);
    ipc_send(&s->gate->dormd, -1, IPC_GATE_BARRED, s->slot->id, l->role, l->database,
             error->sqlstate, error->message, error->hint);
    session_expect_nothing(s);
}

static void ask_again(struct loop_timer *t)
{
    struct session *s = list_of(t, struct session, again);

    if (s->stage != STAGE_WAITING)
        return;
    if (s->counted && s->gate->linked)
        ipc_send(&s->gate->dormd, -1, IPC_GATE_CLOSED, s->slot->id, s->server);
    s->login->wake_sent = false;
    server_wake(s);
}

/*
 * The server was told to stop, or its owner restarts it, just when this session was brought to it:
 * whoever has logged in waits for it to be there again, and does not hear of that. False: it has
 * lasted too long.
 */
static bool wait_again(struct session *s, uint64_t patience_ms)
{
    struct login *l = s->login;
    uint64_t now = loop_now(s->gate->loop);

    if (l->turned_away_ms == 0)
        l->turned_away_ms = now;
    if (l->passed_on || now - l->turned_away_ms >= patience_ms)
        return false;
    leave_server(s);
    loop_timer_set(s->gate->loop, &s->again, now + AGAIN_MS, ask_again);
    session_expect_nothing(s);
    return true;
}

static int pass_on(struct session *s, const struct msg *m, struct err *e)
{
    s->login->passed_on = true;
    if (!buf_put(&s->out, m->body - 5, m->total))
        return err_set(e, ERR_LIMIT, "there is no room for its message");
    return 0;
}

static int pass_error(struct session *s, const struct msg *m, struct err *e)
{
    struct msg_error error;
    struct msg_notice n;

    msg_read_error(m, &error);
    if (m->type == 'E' && str_is(error.sqlstate, "57P03") && wait_again(s, WAKE_MS))
        return 0;
    if (m->type == 'E' && is_barred(s, &error)) {
        wait_barred(s, &error);
        return 0;
    }
    if (m->type == 'E')
        s->login->server_refused = true;
    if (error.whole)
        return pass_on(s, m, e);
    n = (struct msg_notice){.severity = error.severity,
                            .sqlstate = error.sqlstate,
                            .message = error.message,
                            .detail = error.detail,
                            .hint = error.hint};
    if (!(m->type == 'E' ? msg_put_error(&s->out, &n) : msg_put_notice(&s->out, &n)))
        return err_set(e, ERR_LIMIT, "there is no room for its message");
    return 0;
}

/* 1 when the server is ready for queries. */
static int take_message(struct session *s, const struct msg *m, struct err *e)
{
    struct msg_setting setting;
    char status;

    if (!s->login->admitted && m->type != 'R' && m->type != 'E' && m->type != 'N')
        return err_set(e, ERR_PEER, "a message of type %u comes before it admits", m->type);
    switch (m->type) {
    case 'R':
        return take_auth(s, m, e);
    case 'E':
    case 'N':
        return pass_error(s, m, e);
    case 'K':
        return keep_key(s, m, e);
    case 'S':
        if (msg_read_setting(m, &setting, e) < 0)
            return -1;
        if (str_is(setting.name, "is_superuser") && str_is(setting.value, "off") && s->gate->linked)
            ipc_send(&s->gate->dormd, -1, IPC_GATE_LOWLY, s->slot->id, s->login->role);
        return pass_on(s, m, e);
    case 'Z':
        return msg_read_ready(m, &status, e) < 0 || pass_on(s, m, e) < 0 ? -1 : 1;
    default:
        return err_set(e, ERR_PEER, "a message of type %u has no place there", m->type);
    }
}

/* 1: ready; 0: more must come, or the client must read first; -1: not PostgreSQL. */
static int take_messages(struct session *s, struct err *e)
{
    struct buf *back = &s->login->back;

    for (;;) {
        struct msg m;
        int r;

        if (buf_len(back) == 0 || buf_len(&s->out) > OUT_MAX - MSG_LOGIN_MAX - 2048)
            return 0;
        switch (msg_read(buf_data(back), buf_len(back), MSG_LOGIN_MAX, &m)) {
        case MSG_INCOMPLETE:
            return 0;
        case MSG_BAD:
            return err_set(e, ERR_PEER, "a message has an impossible length");
        case MSG_WHOLE:
            break;
        }
        r = take_message(s, &m, e);
        if (r < 0)
            return -1;
        if (s->stage != STAGE_STARTING)
            return 0;
        buf_eat(back, m.total);
        if (r > 0)
            return 1;
    }
}

/* 1 when something came. */
static int read_some(struct session *s)
{
    struct login *l = s->login;
    ssize_t n;

    if (!buf_reserve(&l->back, MSG_LOGIN_MAX + 1 - buf_len(&l->back)) || buf_room(&l->back) == 0)
        return 0;
    n = recv(s->server_fd, buf_tail(&l->back), buf_room(&l->back), 0);
    if (n > 0) {
        buf_wrote(&l->back, (size_t)n);
        l->server_bytes += (size_t)n;
        return 1;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    s->server_eof = true;
    return 0;
}

static bool send_startup(struct session *s)
{
    struct buf *up = &s->login->up;

    while (buf_len(up) > 0) {
        ssize_t n = send(s->server_fd, buf_data(up), buf_len(up), MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_eat(up, (size_t)n);
    }
    return true;
}

static void server_gone(struct session *s)
{
    if (s->login->server_refused)
        session_close(s); /* what it said has been passed on */
    else if (s->login->server_bytes > 0 || !wait_again(s, GONE_MS))
        broken(s, "it closed the connection");
}

static void server_watch(struct session *s)
{
    /* nothing is read that the client does not take */
    uint32_t events = buf_len(&s->out) > 0 || s->server_eof ? 0 : EPOLLIN;

    if (buf_len(&s->login->up) > 0)
        events |= EPOLLOUT;
    relay_want_server(s, events);
}

/* Make what progress can be made with what came and with what the client has read. */
static void go_on(struct session *s)
{
    struct err e;
    int r = 0;

    if (!send_startup(s))
        s->server_eof = true;
    do {
        r = take_messages(s, &e);
        if (s->stage != STAGE_STARTING || !session_flush(s))
            return;
    } while (r == 0 && buf_len(&s->out) == 0 && read_some(s) > 0 &&
             s->login->server_bytes <= START_BYTES_MAX);
    if (r > 0)
        relay_begin(s);
    else if (r < 0)
        broken(s, e.msg);
    else if (s->login->server_bytes > START_BYTES_MAX)
        broken(s, "it says too much");
    else if (s->server_eof && buf_len(&s->out) == 0)
        server_gone(s);
    else
        server_watch(s);
    session_watch(s);
}

void server_client_ready(struct session *s, uint32_t events)
{
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        session_drop(s);
    else
        go_on(s);
}

void server_io_ready(struct loop_io *io, uint32_t events)
{
    struct session *s = list_of(io, struct session, server_io);

    if (s->stage == STAGE_RELAY)
        relay_server_ready(s, events);
    else
        go_on(s);
}

static int attach(struct session *s, int *fd_take, struct err *e)
{
    int type = 0;
    socklen_t len = sizeof(type);

    if (getsockopt(*fd_take, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return err_set(e, ERR_INPUT, "what came as a connection to the server is none");
    if (fd_nonblocking(*fd_take, e) < 0)
        return -1;
    s->server_fd = take_fd(fd_take);
    return 0;
}

void server_ready(struct session *s, int *fd_take)
{
    struct login *l = s->login;
    struct err e;

    if (s->stage != STAGE_WAITING)
        return;
    if (attach(s, fd_take, &e) < 0) {
        log_error(&s->log, "%s", e.msg);
        session_refuse(s, "58000", "the hub could not connect to your server", "Try again.");
        return;
    }
    if (!startup_put_session(&l->up, &l->start, l->role, l->database)) {
        session_refuse(s, "54000", "your connection has too many settings", "Send fewer settings.");
        return;
    }
    s->stage = STAGE_STARTING;
    session_deadline(s, START_MS, started_too_slowly);
    go_on(s);
}
