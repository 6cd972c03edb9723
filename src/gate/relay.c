#include "relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "login.h"
#include "quiet.h"

enum {
    TURN_READS = 4, /* 64 KiB each: then the other sessions have their turn */
    AGAIN_MS = 1,
    GONE_MS = 30000,
};

/* One thread, and never used across two calls: what one side does not take at once is copied. */
static uint8_t scratch[RELAY_BUF];

/* With no event wanted, epoll would still tell of a hang-up, over and over: then it is not asked.
 */
static void want(struct session *s, struct loop_io *io, int fd, uint32_t events, loop_io_fn fn)
{
    struct err e;

    if (fd < 0)
        return;
    if (events == 0) {
        loop_io_stop(s->gate->loop, io);
    } else if (io->started) {
        loop_io_want(s->gate->loop, io, events);
    } else if (loop_io_start(s->gate->loop, io, fd, events, fn, &e) < 0) {
        log_error(&s->log, "%s", e.msg);
        session_drop(s);
    }
}

void relay_want_server(struct session *s, uint32_t events)
{
    want(s, &s->server_io, s->server_fd, events, server_io_ready);
}

/* Bytes of [at, at + len) that the server took; all of them when it no longer listens. */
static size_t give_server(struct session *s, const uint8_t *at, size_t len)
{
    size_t given = 0;

    while (given < len && !s->server_deaf) {
        ssize_t n = send(s->server_fd, at + given, len - given, MSG_NOSIGNAL);

        if (n >= 0)
            given += (size_t)n;
        else if (errno == EAGAIN)
            return given;
        else if (errno != EINTR)
            s->server_deaf = true; /* it may still have said something: that is read to its end */
    }
    return s->server_deaf ? len : given;
}

static size_t give_client(struct session *s, const uint8_t *at, size_t len)
{
    size_t given = 0;

    while (given < len && !s->client_gone) {
        size_t n = 0;

        switch (stream_write(&s->client, at + given, len - given, &n)) {
        case IO_OK:
            given += n;
            continue;
        case IO_AGAIN:
            return given;
        case IO_EOF:
        case IO_ERR:
            s->client_gone = true;
            continue;
        }
    }
    return s->client_gone ? len : given;
}

/* Hand over what waits in b; true when nothing waits any more. */
static bool empty(struct session *s, struct buf *b,
                  size_t (*give)(struct session *, const uint8_t *, size_t))
{
    if (buf_len(b) > 0)
        buf_eat(b, give(s, buf_data(b), buf_len(b)));
    if (buf_len(b) > 0)
        return false;
    buf_rest(b);
    return true;
}

/* Keep what was not taken. b is empty before, and as large as scratch. */
static bool keep_rest(struct buf *b, size_t given, size_t len)
{
    return given == len || buf_put(b, scratch + given, len - given);
}

/* Client to server: false when more waits than one turn may take. */
static bool pump_up(struct session *s)
{
    for (int i = 0; i < TURN_READS; i++) {
        size_t n = 0;

        if (!empty(s, &s->in, give_server) || s->server_deaf)
            return true;
        if (s->client_eof) {
            if (!s->server_told)
                (void)shutdown(s->server_fd, SHUT_WR);
            s->server_told = true;
            return true;
        }
        switch (stream_read(&s->client, scratch, sizeof(scratch), &n)) {
        case IO_OK:
            break;
        case IO_AGAIN:
            return true;
        case IO_ERR:
            s->client_gone = true;
            s->client_eof = true;
            quiet_over(s);
            continue;
        case IO_EOF:
            s->client_eof = true;
            quiet_over(s); /* its server is to take note */
            continue;
        }
        s->client_last = true;
        quiet_over(s);
        if (!keep_rest(&s->in, give_server(s, scratch, n), n))
            s->client_gone = true;
        if (n < sizeof(scratch) && !stream_more(&s->client))
            return true; /* a short read has emptied the socket: poll tells of more */
    }
    return !stream_more(&s->client);
}

/* What is to be told goes before the bytes that came, or as far behind as their first end is. */
static void tell_in_between(struct session *s, size_t n)
{
    size_t whole = frame_pass_to_end(&s->frame, scratch, n);
    bool fits = buf_put(&s->out, scratch, whole);

    if (frame_between(&s->frame)) {
        fits = fits && buf_put(&s->out, buf_data(&s->tell), buf_len(&s->tell));
        buf_done(&s->tell);
    }
    frame_pass(&s->frame, scratch + whole, n - whole);
    if (!fits || !buf_put(&s->out, scratch + whole, n - whole))
        s->client_gone = true;
}

/* Server to client. What is left after a turn the kernel holds, and polls for. */
static void pump_down(struct session *s)
{
    for (int i = 0; i < TURN_READS; i++) {
        ssize_t n;

        if (!empty(s, &s->out, give_client) || s->client_gone || s->server_eof)
            return;
        n = recv(s->server_fd, scratch, sizeof(scratch), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            s->server_eof = true;
            return;
        }
        s->client_last = false;
        quiet_over(s);
        if (buf_len(&s->tell) > 0) {
            tell_in_between(s, (size_t)n);
            (void)empty(s, &s->out, give_client);
            continue;
        }
        frame_pass(&s->frame, scratch, (size_t)n);
        if (!keep_rest(&s->out, give_client(s, scratch, (size_t)n), (size_t)n))
            s->client_gone = true;
        if ((size_t)n < sizeof(scratch))
            return;
    }
}

static void once_more(struct loop_timer *t);

static void watch(struct session *s)
{
    bool read_client = !s->client_eof && !s->server_deaf && buf_len(&s->in) == 0;
    bool read_server = !s->server_eof && !s->client_gone && buf_len(&s->out) == 0;
    uint32_t client = stream_events(&s->client, read_client, buf_len(&s->out) > 0);
    uint32_t server = (read_server ? EPOLLIN : 0) | (buf_len(&s->in) > 0 ? EPOLLOUT : 0);

    /* one who waits for us to read is watched even so: the hang-up of an idle peer is news, once */
    if (client == 0 && !s->client_hung_up && !s->client_gone)
        loop_io_want(s->gate->loop, &s->client_io, EPOLLRDHUP);
    else
        want(s, &s->client_io, s->client.fd, s->client_gone ? 0 : client, session_client_ready);
    if (session_alive(s))
        relay_want_server(s, server);
}

/* What a client has left behind goes to its server, but not for ever: it holds our memory. */
static void gone_too_long(struct loop_timer *t)
{
    session_drop(list_of(t, struct session, deadline));
}

/* Which way bytes may have become able to go: to try the other one costs a system call a query. */
enum { UP = 1u << 0, DOWN = 1u << 1 };

static void go_on(struct session *s, unsigned ways)
{
    if ((ways & UP) != 0 && !pump_up(s))
        loop_timer_set(s->gate->loop, &s->again, loop_now(s->gate->loop) + AGAIN_MS, once_more);
    if ((ways & DOWN) != 0)
        pump_down(s);
    if (s->client_gone && (buf_len(&s->in) == 0 || s->server_deaf))
        session_drop(s);
    else if (s->server_eof && buf_len(&s->out) == 0)
        session_close(s); /* without a word, as PostgreSQL itself ends */
    else
        watch(s);
    if (session_alive(s) && s->client_hung_up && buf_len(&s->in) > 0 && s->deadline.place == 0)
        session_deadline(s, GONE_MS, gone_too_long);
}

static void once_more(struct loop_timer *t)
{
    go_on(list_of(t, struct session, again), UP);
}

void relay_client_ready(struct session *s, uint32_t events)
{
    unsigned ways = buf_len(&s->out) > 0 ? DOWN : 0;

    /* TLS may need to write before it can read */
    if ((events & ~(uint32_t)EPOLLOUT) != 0 || s->client.read_wants_out)
        ways |= UP;
    if ((events & EPOLLRDHUP) != 0)
        s->client_hung_up = true;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        s->client_hung_up = true;
        /* it has sent all and takes nothing: reading would not tell */
        if (s->client_eof)
            s->client_gone = true;
    }
    go_on(s, ways);
}

void relay_server_ready(struct session *s, uint32_t events)
{
    unsigned ways = buf_len(&s->in) > 0 ? UP : 0;

    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        ways |= DOWN;
    go_on(s, ways);
}

/* Nothing of the server's is under way: it can be told now. `out` has the room, see OUT_MAX. */
static void tell_now(struct session *s)
{
    if (!frame_between(&s->frame) || buf_len(&s->tell) == 0)
        return;
    if (!buf_put(&s->out, buf_data(&s->tell), buf_len(&s->tell)))
        log_debug(&s->log, "no room for a notice");
    buf_done(&s->tell);
}

void relay_tell(struct session *s, const char *message, const char *hint)
{
    struct msg_notice n = {
        .severity = "WARNING", .sqlstate = "01000", .message = message, .hint = hint};

    if (s->stage != STAGE_WAITING && s->stage != STAGE_STARTING && s->stage != STAGE_RELAY)
        return;
    if (!msg_put_notice(&s->tell, &n))
        log_debug(&s->log, "a client that does not read is not told more");
    if (s->stage != STAGE_RELAY)
        return; /* as soon as it begins */
    tell_now(s);
    if (buf_len(&s->out) > 0)
        go_on(s, DOWN);
}

void relay_begin(struct session *s)
{
    struct buf *back = &s->login->back;

    tell_now(s);
    if (buf_len(back) > 0) {
        frame_pass(&s->frame, buf_data(back), buf_len(back));
        if (!buf_put(&s->out, buf_data(back), buf_len(back))) {
            session_drop(s);
            return;
        }
    }
    s->login = login_free(s->login);
    s->stage = STAGE_RELAY;
    s->next = NULL;
    quiet_over(s);
    loop_timer_stop(s->gate->loop, &s->deadline);
    go_on(s, UP | DOWN);
}
