#include "link.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"
#include "cancel.h"
#include "door.h"
#include "login.h"
#include "quiet.h"
#include "relay.h"
#include "server.h"
#include "session.h"
#include "setup.h"

enum { RETRY_MS = 100 };

#define DORMD_SOCKET "/dormd.sock"

static void try_link(struct loop_timer *t);

static void retry_later(struct gate *g)
{
    loop_timer_set(g->loop, &g->link_timer, loop_now(g->loop) + RETRY_MS, try_link);
}

static void take_listener(struct gate *g, const struct ipc_msg *msg, int *fd)
{
    struct err e;

    if (g->draining || g->retired)
        return;
    if (*fd < 0 || door_open(g, msg->field[0].at, fd, &e) < 0)
        log_error(NULL, "could not listen where dormd told: %s",
                  *fd < 0 ? "no descriptor came" : e.msg);
}

static void take_setup(struct gate *g, const struct ipc_msg *msg)
{
    struct err e;

    if (setup_take(g, msg, &e) < 0)
        log_err(NULL, LOG_ERROR_, &e);
    else
        log_info(NULL, "took a certificate and %zu networks without TLS", g->plaintext_n);
    door_resume(g);
}

static void take_ready(struct session *s, int *fd)
{
    if (*fd < 0) {
        log_error(&s->log, "dormd sent no descriptor");
        return;
    }
    if (s->stage == STAGE_CANCEL)
        cancel_ready(s, fd);
    else
        server_ready(s, fd);
}

static void take_fail(struct session *s, const struct ipc_msg *msg)
{
    if (s->stage == STAGE_WAITING || s->stage == STAGE_LOGIN || s->stage == STAGE_CANCEL)
        session_kick(s, msg->field[1].at, msg->field[2].at, msg->field[3].at);
}

static void take_message(struct ipc_conn *c, const struct ipc_msg *msg, int *fd)
{
    struct gate *g = list_of(c, struct gate, dormd);
    struct session *s = NULL;

    if (msg->type == IPC_GATE_SETUP) {
        take_setup(g, msg);
        return;
    }
    if (msg->type == IPC_GATE_LISTEN) {
        take_listener(g, msg, fd);
        return;
    }
    if (msg->type == IPC_GATE_UNLISTEN) {
        door_shut(g, msg->field[0].at);
        return;
    }
    if (msg->type == IPC_GATE_DRAIN) {
        gate_drain(g);
        return;
    }
    if (msg->type == IPC_GATE_RETIRE) {
        gate_retire(g);
        return;
    }
    if (msg->type == IPC_GATE_STRAY) {
        cancel_take_stray(g, fd);
        return;
    }
    if (msg->type == IPC_GATE_NAP) {
        quiet_asked(g, msg);
        return;
    }
    if (msg->n > 0)
        s = slot_find(&g->slots, msg->field[0].number);
    if (s == NULL)
        return; /* ended meanwhile: dormd has been told, or never let it in */
    if (msg->type == IPC_GATE_WHO)
        login_who(s, msg);
    else if (msg->type == IPC_GATE_READY)
        take_ready(s, fd);
    else if (msg->type == IPC_GATE_FAIL)
        take_fail(s, msg);
    else if (msg->type == IPC_GATE_NOTICE)
        server_notice(s, msg->field[1].at);
    else if (msg->type == IPC_GATE_TELL)
        relay_tell(s, msg->field[1].at, msg->field[2].at);
    else if (msg->type == IPC_GATE_KICK)
        session_kick(s, msg->field[1].at, msg->field[2].at, msg->field[3].at);
    else
        log_warn(NULL, "dormd sent %s, which is not for a gate", ipc_name(msg->type));
}

static void lost(struct ipc_conn *c, const struct err *why)
{
    struct gate *g = list_of(c, struct gate, dormd);

    g->linked = false;
    quiet_forget(g);
    log_warn(NULL, "lost dormd (%s); sessions go on, logins wait", why->msg);
    retry_later(g);
}

/* Non-blocking: a dormd that does not accept must not hold up the sessions. */
static int connect_dormd(int *ret_fd, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = DORMD_SOCKET};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_set_os(e, errno, "could not create a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set_os(e, errno, "could not connect to dormd");
    *ret_fd = take_fd(&fd);
    return 0;
}

/* What each session needs a new dormd to know, or to do once more. */
static void report_session(struct session *s)
{
    switch (s->stage) {
    case STAGE_LOGIN:
    case STAGE_WAITING:
        if (s->login->asked)
            login_ask(s);
        break;
    case STAGE_STARTING:
    case STAGE_RELAY:
        ipc_send(&s->gate->dormd, -1, IPC_GATE_HELD, s->slot->id, s->server);
        break;
    case STAGE_CANCEL:
        if (s->server_fd < 0)
            cancel_ask(s);
        break;
    case STAGE_CLOSING:
    case STAGE_GONE:
        break;
    }
}

static void try_link(struct loop_timer *t)
{
    struct gate *g = list_of(t, struct gate, link_timer);
    AUTO_CLOSE int fd = -1;
    struct err e;

    if (connect_dormd(&fd, &e) < 0 ||
        ipc_conn_start(&g->dormd, g->loop, &fd, take_message, lost, &e) < 0) {
        if (!g->link_lost_said)
            log_warn(NULL, "%s; trying again", e.msg);
        g->link_lost_said = true;
        retry_later(g);
        return;
    }
    g->linked = true;
    g->link_lost_said = false;
    log_info(NULL, "connected to dormd");
    if (g->retired)
        ipc_send(&g->dormd, -1, IPC_GATE_RETIRED);
    ipc_send(&g->dormd, -1, IPC_GATE_HELLO, (uint64_t)IPC_VERSION, (uint64_t)getpid(),
             (uint64_t)door_count(g));
    door_report(g);
    list_each (&g->sessions, node)
        report_session(list_of(node, struct session, node));
}

void link_begin(struct gate *g)
{
    g->dormd.fd = -1;
    try_link(&g->link_timer);
}

void link_end(struct gate *g)
{
    loop_timer_stop(g->loop, &g->link_timer);
    ipc_conn_stop(&g->dormd);
}

void gate_retire(struct gate *g)
{
    if (!g->retired)
        log_info(NULL, "another gate takes over: %zu sessions stay", g->sessions_n);
    g->retired = true;
    door_rest(g);
    (void)flock(g->locks.keep, LOCK_SH);
    close_fd(&g->locks.accepts); /* before the answer: the next one finds it free */
    ipc_send(&g->dormd, -1, IPC_GATE_RETIRED);
}

void gate_drain(struct gate *g)
{
    if (!g->draining)
        log_info(NULL, "draining: %zu sessions are left", g->sessions_n);
    g->draining = true;
    door_close(g);
    close_fd(&g->locks.keep);
    gate_check_drained(g);
}
