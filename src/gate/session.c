#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/auto.h"
#include "base/mem.h"
#include "door.h"
#include "login.h"
#include "net/source.h"
#include "quiet.h"
#include "relay.h"
#include "server.h"

enum { LINGER_BYTES = 262144 };

uint64_t session_born_ms(const struct session *s)
{
    return s->born_ms;
}

struct session *session_of_login(struct list *login_node)
{
    return login_node == NULL ? NULL : list_of(login_node, struct session, login_node);
}

struct session *session_of_source(struct list *source_node)
{
    return source_node == NULL ? NULL : list_of(source_node, struct session, source_node);
}

void session_deadline(struct session *s, uint64_t ms, loop_timer_fn fn)
{
    loop_timer_set(s->gate->loop, &s->deadline, loop_now(s->gate->loop) + ms, fn);
}

void session_client_ready(struct loop_io *io, uint32_t events)
{
    struct session *s = list_of(io, struct session, client_io);

    if (s->stage == STAGE_RELAY) {
        relay_client_ready(s, events);
        return;
    }
    if (s->stage == STAGE_STARTING) {
        server_client_ready(s, events);
        return;
    }
    if (!session_flush(s))
        return;
    if (s->next != NULL)
        s->next(s);
    else if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        session_drop(s);
    session_watch(s);
}

int session_new(struct gate *g, int *fd_take, const struct addr *peer, struct err *e)
{
    struct session *s = mem_new(sizeof(*s));

    s->slot = slot_enter(&g->slots, s);
    if (s->slot == NULL) {
        free(s);
        return err_set(e, ERR_LIMIT, "all session numbers are taken");
    }
    if (loop_io_start(g->loop, &s->client_io, *fd_take, EPOLLIN, session_client_ready, e) < 0) {
        slot_leave(&g->slots, s->slot);
        free(s);
        return -1;
    }
    stream_init(&s->client, fd_take);
    s->gate = g;
    s->peer = *peer;
    s->born_ms = loop_now(g->loop);
    s->server_fd = -1;
    buf_init(&s->in, RELAY_BUF);
    buf_init(&s->out, OUT_MAX);
    buf_init(&s->backend_key, MSG_KEY_MAX);
    buf_init(&s->tell, TELL_MAX);
    (void)snprintf(s->id_text, sizeof(s->id_text), "%" PRIu64, s->slot->id);
    s->log_session = (struct log){.key = "session", .value = s->id_text};
    s->log = (struct log){.outer = &s->log_session, .key = "server"};
    list_append(&g->sessions, &s->node);
    g->sessions_n++;
    list_append(&g->logins, &s->login_node);
    g->logins_n++;
    s->source = source_enter(&g->sources, peer, &s->source_node);
    login_begin(s);
    return 0;
}

static void leave_logins(struct session *s)
{
    struct gate *g = s->gate;

    if (s->source == NULL)
        return;
    source_leave(&g->sources, s->source, &s->source_node);
    s->source = NULL;
    list_remove(&s->login_node);
    g->logins_n--;
    door_resume(g);
}

void session_authenticated(struct session *s)
{
    leave_logins(s);
}

void session_detach(struct session *s)
{
    struct gate *g = s->gate;

    if (s->server_fd >= 0) {
        loop_io_stop(g->loop, &s->server_io);
        close_fd(&s->server_fd);
    }
    if (s->listened)
        quiet_over(s);
    if (s->counted)
        ipc_send(&g->dormd, -1, IPC_GATE_CLOSED, s->slot->id, s->server);
    s->counted = false;
    s->login = login_free(s->login);
    if (s->target != NULL)
        slot_release(&g->slots, s->target);
    s->target = NULL;
    buf_done(&s->backend_key);
    loop_timer_stop(g->loop, &s->again);
}

void session_drop(struct session *s)
{
    struct gate *g = s->gate;

    if (!session_alive(s))
        return;
    s->stage = STAGE_GONE;
    session_detach(s);
    leave_logins(s);
    loop_timer_stop(g->loop, &s->deadline);
    loop_io_stop(g->loop, &s->client_io);
    stream_done(&s->client);
    buf_done(&s->in);
    buf_done(&s->out);
    buf_done(&s->tell);
    slot_leave(&g->slots, s->slot);
    list_remove(&s->node);
    g->sessions_n--;
    loop_free_later(g->loop, s);
    door_resume(g);
    gate_check_drained(g);
}

bool session_fill(struct session *s, size_t max)
{
    while (buf_len(&s->in) < max) {
        size_t n = 0, room = max - buf_len(&s->in);

        if (!buf_reserve(&s->in, room < 1024 ? room : 1024))
            break;
        room = buf_room(&s->in) < room ? buf_room(&s->in) : room;
        switch (stream_read(&s->client, buf_tail(&s->in), room, &n)) {
        case IO_OK:
            buf_wrote(&s->in, n);
            continue;
        case IO_AGAIN:
            return true;
        case IO_EOF:
        case IO_ERR:
            session_drop(s);
            return false;
        }
    }
    return true;
}

bool session_flush(struct session *s)
{
    while (buf_len(&s->out) > 0) {
        size_t n = 0;

        switch (stream_write(&s->client, buf_data(&s->out), buf_len(&s->out), &n)) {
        case IO_OK:
            buf_eat(&s->out, n);
            continue;
        case IO_AGAIN:
            return true;
        case IO_EOF:
        case IO_ERR:
            session_drop(s);
            return false;
        }
    }
    buf_rest(&s->out);
    return true;
}

void session_watch(struct session *s)
{
    uint32_t events;

    if (!session_alive(s) || s->stage == STAGE_RELAY)
        return;
    events = stream_events(&s->client, s->next != NULL, buf_len(&s->out) > 0);
    loop_io_want(s->gate->loop, &s->client_io, events | (s->next == NULL ? EPOLLRDHUP : 0));
}

void session_expect(struct session *s, session_fn next)
{
    s->next = next;
    if (session_flush(s))
        next(s);
    session_watch(s);
}

void session_expect_nothing(struct session *s)
{
    s->next = NULL;
    if (session_flush(s))
        session_watch(s);
}

/* Its last words may be on their way: closed with bytes unread, TCP would take them back. */
static void linger(struct session *s)
{
    static uint8_t waste[16384];
    struct stream plain = {.fd = s->client.fd};

    if (buf_len(&s->out) > 0)
        return;
    if (!s->finished) {
        s->finished = true;
        stream_finish(&s->client);
        loop_timer_set(s->gate->loop, &s->deadline, loop_now(s->gate->loop) + LINGER_MS,
                       s->deadline.fn);
    }
    for (size_t n = 0, all = 0; all < LINGER_BYTES; all += n)
        switch (stream_read(&plain, waste, sizeof(waste), &n)) {
        case IO_OK:
            continue;
        case IO_AGAIN:
            return;
        case IO_EOF:
        case IO_ERR:
            session_drop(s);
            return;
        }
}

static void waited_enough(struct loop_timer *t)
{
    session_drop(list_of(t, struct session, deadline));
}

void session_close(struct session *s)
{
    if (!session_alive(s) || s->stage == STAGE_CLOSING)
        return;
    s->stage = STAGE_CLOSING;
    session_detach(s);
    session_deadline(s, FLUSH_MS, waited_enough);
    session_expect(s, linger);
}

void session_refuse(struct session *s, const char *sqlstate, const char *message, const char *hint)
{
    struct msg_notice n = {
        .severity = "FATAL", .sqlstate = sqlstate, .message = message, .hint = hint};

    if (!session_alive(s) || s->stage == STAGE_CLOSING)
        return;
    if (!msg_put_error(&s->out, &n))
        log_debug(&s->log, "no room for the last words");
    session_close(s);
}

void session_refuse_why(struct session *s, const struct refusal *why)
{
    if (!msg_put_refusal(&s->out, why))
        log_debug(&s->log, "no room for the last words");
    session_close(s);
}

void session_kick(struct session *s, const char *sqlstate, const char *message, const char *hint)
{
    switch (s->stage) {
    case STAGE_RELAY:
        if (frame_between(&s->frame)) {
            session_refuse(s, sqlstate, message, hint);
            return;
        }
        session_close(s);
        return;
    case STAGE_LOGIN:
        if (!login_may_speak(s)) {
            session_close(s);
            return;
        }
        session_refuse(s, sqlstate, message, hint);
        return;
    case STAGE_WAITING:
    case STAGE_STARTING:
        session_refuse(s, sqlstate, message, hint);
        return;
    case STAGE_CANCEL:
        session_drop(s);
        return;
    case STAGE_CLOSING:
    case STAGE_GONE:
        return;
    }
}
