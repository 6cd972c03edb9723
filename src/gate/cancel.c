#include "cancel.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/fd.h"

enum { CANCELS_AT_ONCE = 16 }; /* for one session: more would do no more */

void cancel_ask(struct session *s)
{
    const struct session *target = s->target->owner;

    if (target == NULL)
        session_drop(s);
    else if (s->gate->linked)
        ipc_send(&s->gate->dormd, -1, IPC_GATE_CANCEL, s->slot->id, target->server);
}

/* The server closes when its signal is sent, and libpq waits for that. */
static void delivered(struct loop_io *io, uint32_t events)
{
    (void)events;
    session_close(list_of(io, struct session, server_io));
}

/*
 * Perhaps of a session that a retired gate keeps: the request is written down for those, and who
 * asked waits until all of them have closed it. dormd closes it at once if there are none.
 */
static void pass_on(struct session *s, uint32_t pid, const uint8_t *key, size_t key_len)
{
    AUTO_CLOSE int theirs = -1;
    struct buf request;
    struct err e;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        session_drop(s);
        return;
    }
    theirs = pair[1];
    s->server_fd = pair[0];
    s->stage = STAGE_CANCEL;
    session_expect_nothing(s);
    if (!session_alive(s))
        return;
    buf_init(&request, STARTUP_KEY_MAX + 16);
    if (!startup_put_cancel(&request, pid, key, key_len) ||
        send(s->server_fd, buf_data(&request), buf_len(&request), MSG_NOSIGNAL) < 0 ||
        loop_io_start(s->gate->loop, &s->server_io, s->server_fd, EPOLLIN, delivered, &e) < 0)
        session_drop(s);
    else
        ipc_send(&s->gate->dormd, theirs, IPC_GATE_STRAY);
    buf_done(&request);
}

void cancel_take_stray(struct gate *g, int *fd_take)
{
    /* of nowhere: without TLS nothing but a request to cancel is taken from there */
    struct addr nowhere = {.kind = ADDR_IP4, .uid = UINT64_MAX};
    struct err e;

    if (*fd_take >= 0 && g->retired && g->logins_n < LOGINS_MAX &&
        g->sessions_n < g->sessions_max && session_new(g, fd_take, &nowhere, &e) < 0)
        log_limited(NULL, LOG_WARN_, "could not take a request to cancel: %s", e.msg);
}

void cancel_begin(struct session *s, uint32_t pid, const uint8_t *key, size_t key_len)
{
    struct slot *slot = slot_of_key(&s->gate->slots, pid, key, key_len);
    const struct session *target = slot == NULL ? NULL : slot->owner;

    if (slot == NULL && s->gate->linked && !s->gate->retired) {
        pass_on(s, pid, key, key_len);
        return;
    }
    if (target == NULL || target->stage != STAGE_RELAY || slot->held >= CANCELS_AT_ONCE) {
        session_drop(s);
        return;
    }
    slot_hold(slot);
    s->target = slot;
    s->stage = STAGE_CANCEL;
    session_expect_nothing(s);
    if (session_alive(s))
        cancel_ask(s);
}

static bool put_request(struct buf *b, const struct session *target)
{
    return startup_put_cancel(b, target->backend_pid, buf_data(&target->backend_key),
                              buf_len(&target->backend_key));
}

void cancel_ready(struct session *s, int *fd_take)
{
    const struct session *target = s->target == NULL ? NULL : s->target->owner;
    struct buf request;
    struct err e;

    if (target == NULL || target->stage != STAGE_RELAY || s->server_fd >= 0 ||
        fd_nonblocking(*fd_take, &e) < 0) {
        session_drop(s);
        return;
    }
    s->server_fd = take_fd(fd_take);
    buf_init(&request, STARTUP_KEY_MAX + 16);
    if (!put_request(&request, target) ||
        send(s->server_fd, buf_data(&request), buf_len(&request), MSG_NOSIGNAL) !=
            (ssize_t)buf_len(&request) ||
        loop_io_start(s->gate->loop, &s->server_io, s->server_fd, EPOLLIN, delivered, &e) < 0) {
        log_limited(&s->log_session, LOG_WARN_, "could not pass on a request to cancel");
        session_drop(s);
    }
    buf_done(&request);
}
