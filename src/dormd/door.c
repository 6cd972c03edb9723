#include "door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cert/cert.h"
#include "conf/conf.h"
#include "dormd/fleet.h"
#include "dormd/listen.h"
#include "dormd/login.h"
#include "dormd/news.h"
#include "dormd/people.h"
#include "dormd/program.h"
#include "ipc/conn.h"

enum {
    RETURN_MS = 5000,     /* a gate that outlived the last dormd knocks again within this time */
    RESTART_MS = 200,     /* between the end of a gate and the next */
    SESSIONS_MOST = 500,  /* of one server, far above the 100 that PostgreSQL lets in */
    CLOSING_MS = 3000,    /* for sessions to be told, and gone */
    SETUP_MAX = 48 << 10, /* of certificate and key: it must fit into one message */
};

/* A session in the gate that has been let through to a server, or waits for it. */
struct session {
    struct door *door;
    char key[17]; /* its number in hex */
    uint64_t number;
    char server[ID_SIZE];
    struct fleet_waiter waiter;
    bool counted; /* the fleet knows that it is in */
};

struct door {
    struct hub *hub;
    struct listener listeners[LISTENERS_MAX];
    size_t listeners_n;
    struct loop_io knock;
    int knock_fd;         /* owned: where a gate connects to us */
    struct ipc_conn gate; /* .fd is -1 while there is none */
    struct loop_child child;
    bool ours; /* we started it, and are told of its end */
    pid_t pid; /* of the gate that is connected */
    struct loop_timer timer;
    struct map sessions;
    bool closing;
    void (*closed)(void *owner); /* called once, when it is closed */
    void *owner;
};

static void start_gate(struct loop_timer *t);

/* ---- sessions ---- */

static void key_of(uint64_t number, char key[17])
{
    (void)snprintf(key, 17, "%016llx", (unsigned long long)number);
}

static struct session *session_of(struct door *d, uint64_t number)
{
    char key[17];

    key_of(number, key);
    return map_get(&d->sessions, key);
}

static void session_told(struct fleet_waiter *w, int *fd, const struct err *e);

static struct session *session_new(struct door *d, uint64_t number, const char *server)
{
    struct session *s = mem_new(sizeof(*s));

    *s = (struct session){
        .door = d, .number = number, .waiter = {.told = session_told, .wants_connection = true}};
    key_of(number, s->key);
    (void)snprintf(s->server, sizeof(s->server), "%s", server);
    map_add(&d->sessions, s->key, s);
    return s;
}

static void session_free(struct session *s)
{
    struct fleet *fleet = s->door->hub->fleet;

    (void)map_remove(&s->door->sessions, s->key);
    fleet_unwait(&s->waiter);
    if (s->counted)
        fleet_session_ended(fleet, s->server);
    loop_free_later(s->door->hub->loop, s);
}

static void send_failure(struct door *d, uint64_t number, const struct err *e)
{
    ipc_send(&d->gate, -1, IPC_GATE_FAIL, number, err_sqlstate(e->kind), e->msg, e->hint);
}

/* What somebody who comes in should know: these come before the first prompt. */
static void send_news(const struct session *s)
{
    struct door *d = s->door;
    struct fleet_view view = fleet_look(d->hub->fleet, s->server);
    AUTO_FREE char *news = news_take(d->hub, s->server);

    if (view.ephemeral)
        ipc_send(&d->gate, -1, IPC_GATE_NOTICE, s->number,
                 "this server is ephemeral: what is in it is gone when it falls asleep");
    if (view.room != NULL)
        ipc_send(&d->gate, -1, IPC_GATE_NOTICE, s->number, view.room);
    if (news != NULL)
        ipc_send(&d->gate, -1, IPC_GATE_NOTICE, s->number, news);
}

static void session_told(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct session *s = list_of(w, struct session, waiter);
    struct door *d = s->door;

    if (e != NULL) {
        send_failure(d, s->number, e);
        session_free(s);
        return;
    }
    s->counted = fleet_session_began(d->hub->fleet, s->server);
    send_news(s);
    ipc_send(&d->gate, *fd, IPC_GATE_READY, s->number);
}

static void forget_sessions(struct door *d)
{
    for (;;) {
        struct session *any = NULL;

        map_each (&d->sessions, slot)
            any = slot->value;
        if (any == NULL)
            return;
        session_free(any);
    }
}

/* ---- what the gate says ---- */

static void on_login(struct door *d, const struct ipc_msg *m)
{
    struct login_ask ask = {
        .user = m->field[1].at, .database = m->field[2].at, .os_uid = m->field[4].number};
    uint64_t session = m->field[0].number;
    struct login_answer who;
    struct err e;

    if (login_who(d->hub, &ask, &who, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        (void)err_set(&e, ERR_INTERNAL, "the hub could not look you up");
        send_failure(d, session, &e);
        return;
    }
    ipc_send(&d->gate, -1, IPC_GATE_WHO, session, (uint64_t)who.verdict, who.account.server.id,
             who.role, who.database, who.account.user.verifier, who.refusal.msg, who.refusal.hint);
}

/* Sessions cost memory of the gate's, which is everybody's. */
static bool is_crowded(const struct door *d, const char *server)
{
    struct fleet_view view = fleet_look(d->hub->fleet, server);

    return view.sessions + view.waiting >= SESSIONS_MOST;
}

static void on_wake(struct door *d, const struct ipc_msg *m)
{
    uint64_t number = m->field[0].number;
    struct people_want want;
    struct store_account account;
    struct session *s;
    struct err e;

    if (session_of(d, number) != NULL)
        return; /* a second wish of the same session changes nothing */
    if (INJECT("door.wake", &e) < 0 || people_account(d->hub, m->field[1].at, &account, &e) < 0) {
        send_failure(d, number, &e);
        return;
    }
    if (account.user.disabled || account.server.removed_at != 0) {
        (void)err_set(&e, ERR_DENIED, "server \"%s\" is not to be used now", account.server.name);
        send_failure(d, number, &e);
        return;
    }
    if (is_crowded(d, account.server.id)) {
        ipc_send(&d->gate, -1, IPC_GATE_FAIL, number, "53300", "sorry, too many clients already",
                 "Close some of your connections, or use a pool of them.");
        return;
    }
    if (people_want_init(&want, d->hub, &account, &e) < 0) {
        log_err(NULL, LOG_WARN_, &e);
        send_failure(d, number, &e);
        return;
    }
    s = session_new(d, number, account.server.id);
    fleet_wake(d->hub->fleet, &want.want, &s->waiter);
    people_want_done(&want);
}

/* A session that lived on while there was no dormd. */
static void on_held(struct door *d, const struct ipc_msg *m)
{
    struct session *s;

    if (session_of(d, m->field[0].number) != NULL || m->field[1].len != ID_LEN)
        return;
    s = session_new(d, m->field[0].number, m->field[1].at);
    s->counted = fleet_session_began(d->hub->fleet, s->server);
}

static void on_cancel(struct door *d, const struct ipc_msg *m)
{
    AUTO_CLOSE int fd = -1;
    struct err e;

    if (fleet_connect(d->hub->fleet, m->field[1].at, &fd, &e) < 0)
        send_failure(d, m->field[0].number, &e);
    else
        ipc_send(&d->gate, fd, IPC_GATE_READY, m->field[0].number);
}

static int load_setup(struct hub *h, struct buf *chain, struct buf *key, struct err *e)
{
    AUTO_CLOSE int dir = fd_open_dir(h->state_fd, "tls", 0711, e);

    return dir < 0 ? -1 : cert_load(dir, "server.crt", "server.key", clock_unix(), chain, key, e);
}

static void network_text(const struct conf_network *n, char *at, size_t size)
{
    char address[64];

    (void)inet_ntop(n->family, n->address, address, sizeof(address));
    (void)snprintf(at, size, "%s/%u", address, n->bits);
}

static int send_setup(struct door *d, struct err *e)
{
    const struct conf_networks *plain = &d->hub->conf->plaintext;
    char text[CONF_NETWORKS_MAX][80];
    const char *networks[CONF_NETWORKS_MAX];
    struct buf chain, key;
    size_t n = plain->n < IPC_FIELDS - 3 ? plain->n : IPC_FIELDS - 3;
    int r;

    buf_init(&chain, CERT_FILE_MAX);
    buf_init(&key, CERT_FILE_MAX);
    for (size_t i = 0; i < n; i++) {
        network_text(&plain->at[i], text[i], sizeof(text[i]));
        networks[i] = text[i];
    }
    r = load_setup(d->hub, &chain, &key, e);
    if (r == 0 && buf_len(&chain) + buf_len(&key) > SETUP_MAX)
        r = err_set(e, ERR_CONFIG, "the certificate and its chain are larger than %d bytes",
                    SETUP_MAX);
    if (r == 0)
        ipc_send(&d->gate, -1, IPC_GATE_SETUP, buf_data(&chain), buf_len(&chain), buf_data(&key),
                 buf_len(&key), d->hub->mock_key, (size_t)HUB_KEY, networks, n);
    buf_done(&chain);
    buf_done(&key);
    return r;
}

/* psql -h finds it without -p, whatever port the network sees. */
static int usual_name(const struct hub *h, struct err *e)
{
    AUTO_FREE char *usual = mem_printf("%s/.s.PGSQL.5432", h->run_dir);
    AUTO_FREE char *real = mem_printf(".s.PGSQL.%u", h->port);

    if (h->port == 5432)
        return 0;
    (void)unlink(usual);
    return symlink(real, usual) < 0 ? err_set_os(e, errno, "could not make \"%s\"", usual) : 0;
}

static int open_listeners(struct door *d, struct err *e)
{
    char path[128];

    if (d->listeners_n > 0)
        return 0;
    if (listen_postgres(d->hub, d->listeners, &d->listeners_n, e) < 0)
        return -1;
    /* the port is part of the name by which libpq looks for it */
    (void)snprintf(path, sizeof(path), "%s/.s.PGSQL.%u", d->hub->run_dir, d->hub->port);
    d->listeners[d->listeners_n] = (struct listener){"unix", -1};
    if (listen_unix(path, SOCK_STREAM, 0666, &d->listeners[d->listeners_n].fd, e) < 0)
        return -1;
    fd_refuse_fds(d->listeners[d->listeners_n].fd);
    d->listeners_n++;
    return usual_name(d->hub, e);
}

static void on_hello(struct door *d, const struct ipc_msg *m)
{
    struct err e;

    if (d->closing) {
        ipc_send(&d->gate, -1, IPC_GATE_DRAIN);
        return;
    }
    if (m->field[0].number != IPC_VERSION)
        log_warn(NULL, "the gate speaks version %llu, this dormd %u",
                 (unsigned long long)m->field[0].number, IPC_VERSION);
    if (send_setup(d, &e) < 0)
        log_err(NULL, LOG_ERROR_, &e);
    if (m->field[2].number > 0) { /* it outlived an earlier dormd, and brings them */
        while (d->listeners_n > 0)
            close_fd(&d->listeners[--d->listeners_n].fd);
        return;
    }
    if (open_listeners(d, &e) < 0)
        log_err(NULL, LOG_ERROR_, &e);
    for (size_t i = 0; i < d->listeners_n; i++)
        ipc_send(&d->gate, d->listeners[i].fd, IPC_GATE_LISTEN, d->listeners[i].kind);
}

static void on_listener(struct door *d, const struct ipc_msg *m, int *fd)
{
    if (*fd < 0 || d->listeners_n == LISTENERS_MAX)
        return;
    d->listeners[d->listeners_n++] =
        (struct listener){str_is(m->field[0].at, "unix") ? "unix" : "tcp", take_fd(fd)};
}

static void on_message(struct ipc_conn *c, const struct ipc_msg *m, int *fd)
{
    struct door *d = list_of(c, struct door, gate);
    struct session *s;

    if (m->type == IPC_GATE_HELLO)
        on_hello(d, m);
    else if (m->type == IPC_GATE_LISTENER)
        on_listener(d, m, fd);
    else if (m->type == IPC_GATE_HELD)
        on_held(d, m);
    else if (m->type == IPC_GATE_LOGIN)
        on_login(d, m);
    else if (m->type == IPC_GATE_WAKE)
        on_wake(d, m);
    else if (m->type == IPC_GATE_CANCEL)
        on_cancel(d, m);
    else if (m->type == IPC_GATE_CLOSED && (s = session_of(d, m->field[0].number)) != NULL)
        session_free(s);
    else if (m->type != IPC_GATE_CLOSED)
        log_warn(NULL, "the gate sent a message that is not its to send: %s", ipc_name(m->type));
}

/* ---- the process ---- */

static void finish_closing(struct door *d)
{
    void (*closed)(void *) = d->closed;

    d->closed = NULL;
    loop_timer_stop(d->hub->loop, &d->timer);
    if (closed != NULL)
        closed(d->owner);
}

static void gate_lost(struct ipc_conn *c, const struct err *why)
{
    struct door *d = list_of(c, struct door, gate);

    forget_sessions(d);
    if (d->closing) {
        finish_closing(d);
        return;
    }
    log_warn(NULL, "the gate is gone: %s", why->msg);
    /* if it is a child of ours child_ended comes too; if not, this is all we hear of it */
    if (!d->ours)
        loop_timer_set(d->hub->loop, &d->timer, loop_now(d->hub->loop) + RESTART_MS, start_gate);
}

static void knocked(struct loop_io *io, uint32_t events)
{
    struct door *d = list_of(io, struct door, knock);
    AUTO_CLOSE int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t size = sizeof(peer);
    struct err e;

    (void)events;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        peer.uid != hub_uid(d->hub, HUB_UID_GATE) || d->gate.fd >= 0)
        return;
    if (ipc_conn_start(&d->gate, d->hub->loop, &fd, on_message, gate_lost, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        return;
    }
    if (!d->closing)
        loop_timer_stop(d->hub->loop, &d->timer);
    d->pid = peer.pid;
    log_info(NULL, "gate connected pid=%d", (int)peer.pid);
}

static void gate_ended(struct loop_child *child, int status)
{
    struct door *d = list_of(child, struct door, child);

    if (d->closing) {
        finish_closing(d);
        return;
    }
    log_warn(NULL, "the gate ended with status %d, starting another", status);
    loop_timer_set(d->hub->loop, &d->timer, loop_now(d->hub->loop) + RESTART_MS, start_gate);
}

static int spawn_gate(struct door *d, struct err *e)
{
    char uid[16];
    const char *argv[] = {"dorm-gate", d->hub->run_dir, uid, uid, NULL};
    pid_t pid;

    (void)snprintf(uid, sizeof(uid), "%u", (unsigned)hub_uid(d->hub, HUB_UID_GATE));
    if (program_start("dorm-gate", argv, &pid, e) < 0)
        return -1;
    d->ours = true;
    return loop_child_start(d->hub->loop, &d->child, pid, gate_ended, e);
}

/* Does a gate of an earlier dormd live? It holds this lock for as long as it does. */
static bool gate_lives(const struct hub *h)
{
    AUTO_FREE char *path = mem_printf("%s/gate/gate.lock", h->run_dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void start_gate(struct loop_timer *t)
{
    struct door *d = list_of(t, struct door, timer);
    struct err e;

    if (gate_lives(d->hub)) {
        /* it holds the port: a second one would only find another port, and nobody would find it */
        log_warn(NULL, "a gate of an earlier dormd lives and has not come back yet");
        loop_timer_set(d->hub->loop, t, loop_now(d->hub->loop) + RETURN_MS, start_gate);
        return;
    }
    if (open_listeners(d, &e) < 0 || spawn_gate(d, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        loop_timer_set(d->hub->loop, t, loop_now(d->hub->loop) + 10 * RESTART_MS, start_gate);
    }
}

static int open_knock(struct door *d, struct err *e)
{
    AUTO_FREE char *dir = mem_printf("%s/gate", d->hub->run_dir);
    AUTO_FREE char *path = mem_printf("%s/dormd.sock", dir);
    uid_t uid = hub_uid(d->hub, HUB_UID_GATE);

    if (mkdir(dir, 0711) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make directory \"%s\"", dir);
    if (listen_unix(path, SOCK_SEQPACKET, 0600, &d->knock_fd, e) < 0)
        return -1;
    if (chown(path, uid, uid) < 0)
        return err_set_os(e, errno, "could not give \"%s\" to the gate", path);
    return loop_io_start(d->hub->loop, &d->knock, d->knock_fd, EPOLLIN, knocked, e);
}

struct door *door_open(struct hub *h, struct err *e)
{
    struct door *d = mem_new(sizeof(*d));

    *d = (struct door){.hub = h, .knock_fd = -1, .gate = {.fd = -1}, .child = {.pidfd = -1}};
    if (gate_lives(h)) {
        char text[16];
        uint64_t port;

        if (open_knock(d, e) < 0)
            goto fail;
        if (store_setting_get(h->store, "port.postgres", text, sizeof(text), e) == 1 &&
            str_u64(text, &port))
            h->port = (uint16_t)port;
        loop_timer_set(h->loop, &d->timer, clock_ms() + RETURN_MS, start_gate);
        return d;
    }
    if (open_knock(d, e) < 0 || open_listeners(d, e) < 0 || spawn_gate(d, e) < 0)
        goto fail;
    return d;
fail:
    door_free(d);
    return NULL;
}

void door_free(struct door *d)
{
    if (d == NULL)
        return;
    forget_sessions(d);
    map_done(&d->sessions);
    loop_timer_stop(d->hub->loop, &d->timer);
    loop_io_stop(d->hub->loop, &d->knock);
    loop_child_stop(&d->child);
    ipc_conn_stop(&d->gate);
    close_fd(&d->knock_fd);
    for (size_t i = 0; i < d->listeners_n; i++)
        close_fd(&d->listeners[i].fd);
    free(d);
}

void door_kill(struct door *d)
{
    if (d != NULL && d->ours && d->child.pidfd >= 0)
        (void)kill(d->child.pid, SIGKILL);
}

static void kick_all(struct door *d, const char *server, const struct err *why)
{
    map_each (&d->sessions, slot) {
        const struct session *s = slot->value;

        if (server == NULL || str_is(s->server, server))
            ipc_send(&d->gate, -1, IPC_GATE_KICK, s->number, err_sqlstate(why->kind), why->msg,
                     why->hint);
    }
}

void door_kick(struct door *d, const char *server, const struct err *why)
{
    kick_all(d, server, why);
}

static void closing_late(struct loop_timer *t)
{
    struct door *d = list_of(t, struct door, timer);

    if (d->ours && d->child.pidfd >= 0)
        (void)kill(d->child.pid, SIGKILL);
    else if (d->gate.fd >= 0)
        (void)kill(d->pid, SIGKILL); /* it still holds its end: the pid is no one else's yet */
    finish_closing(d);
}

void door_close(struct door *d, void (*done)(void *owner), void *owner)
{
    struct err why;

    d->closing = true;
    d->closed = done;
    d->owner = owner;
    /* a gate that outlived an earlier dormd is about to knock, and is told then */
    if (d->gate.fd < 0 && d->child.pidfd < 0 && !gate_lives(d->hub)) {
        finish_closing(d);
        return;
    }
    (void)err_set(&why, ERR_BUSY, "terminating connection: the hub is going down");
    kick_all(d, NULL, &why);
    if (d->gate.fd >= 0)
        ipc_send(&d->gate, -1, IPC_GATE_DRAIN);
    loop_timer_set(d->hub->loop, &d->timer, loop_now(d->hub->loop) + CLOSING_MS, closing_late);
}

int door_new_certificate(struct door *d, struct err *e)
{
    return d->gate.fd < 0 ? 0 : send_setup(d, e);
}

size_t door_sessions(const struct door *d)
{
    return d->sessions.used;
}
