/*
 * The processes behind the door: found, started, replaced, ended.
 *
 * How one takes over from another without a login refused: the old one is told to retire, stops
 * accepting and lets its lock go; the new one is started, takes the lock, and is given the
 * listeners; then the old one closes its own. At every instant somebody has the listeners open, so
 * who connects waits in the kernel. A dormd that dies on the way leaves gates that say what they
 * are and what they have, and its successor goes on from there (settle).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/door-int.h"
#include "dormd/door-setup.h"
#include "dormd/events.h"
#include "dormd/program.h"
#include "dormd/tools.h"
#include "net/addr.h"
#include "store/store.h"

enum {
    GATES_MAX = 8,      /* each that has retired still has sessions */
    RETURN_MS = 5000,   /* a gate that outlived the last dormd knocks again within this time */
    OTHERS_MS = 500,    /* and they all do: when one is here, the others are soon */
    RESTART_MS = 200,   /* between the end of a gate and the next */
    REPLACE_MS = 10000, /* from being told to retire until the next one accepts */
    CLOSING_MS = 3000,  /* for sessions to be told, and gone */
};

static void settle(struct door *d);
static void settle_later(struct door *d, uint64_t ms);

/* ---- what they are ---- */

struct gate *gates_acceptor(const struct door *d)
{
    list_each (&d->gates, node)
        if (!list_of(node, struct gate, node)->retired)
            return list_of(node, struct gate, node);
    return NULL;
}

/* By a gate, perhaps of an earlier dormd: see gate/confine.h. */
static bool is_locked(const struct hub *h, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/gate/%s", h->run_dir, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void finish_closing(struct door *d)
{
    void (*closed)(void *) = d->closed;

    d->closed = NULL;
    loop_timer_stop(d->hub->loop, &d->timer);
    if (closed != NULL)
        closed(d->owner);
}

static void finish_replacing(struct door *d, const struct err *e)
{
    void (*replaced)(void *, const struct err *) = d->replaced;

    d->replaced = NULL;
    loop_timer_stop(d->hub->loop, &d->replace_timer);
    if (replaced != NULL)
        replaced(d->replace_owner, e);
}

static void gate_free(struct gate *g)
{
    list_remove(&g->node);
    loop_child_stop(&g->child);
    ipc_conn_stop(&g->conn);
    loop_free_later(g->door->hub->loop, g);
}

static void gate_lost(struct ipc_conn *c, const struct err *why)
{
    struct gate *g = list_of(c, struct gate, conn);

    /* if it lives it comes back, and brings its sessions; else child_ended follows */
    g->greeted = false;
    log_info(NULL, "gate pid=%d does not speak any more: %s", (int)g->child.pid, why->msg);
    door_quiet_lost(g);
    door_forget_sessions(g);
}

static void gate_ended(struct loop_child *child, int status)
{
    struct gate *g = list_of(child, struct gate, child);
    struct door *d = g->door;
    size_t sessions = door_sessions(d);
    bool retired = g->retired;

    door_quiet_lost(g);
    door_forget_sessions(g);
    sessions -= door_sessions(d);
    log_info(NULL, "gate pid=%d ended with status %d", (int)child->pid, status);
    gate_free(g);
    if (d->closing) {
        if (list_empty(&d->gates))
            finish_closing(d);
        return;
    }
    if (retired && sessions == 0)
        return; /* as it should */
    event_add(d->hub, EVENT_GATE, NULL, NULL,
              "a gate ended with status %d, and %zu sessions with it", status, sessions);
    if (!retired)
        settle_later(d, RESTART_MS);
}

static struct gate *gate_new(struct door *d, pid_t pid, struct err *e)
{
    struct gate *g = mem_new(sizeof(*g));

    *g = (struct gate){
        .door = d, .number = ++d->gates_made, .conn = {.fd = -1}, .child = {.pidfd = -1}};
    if (loop_child_start(d->hub->loop, &g->child, pid, gate_ended, e) < 0) {
        free(g);
        return NULL;
    }
    list_append(&d->gates, &g->node);
    return g;
}

/* By its descriptor: the number could be another's. */
static void gate_kill(const struct gate *g)
{
    if (g->child.pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, g->child.pidfd, SIGKILL, NULL, 0);
}

/* ---- listeners ---- */

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

/* The same for every descriptor of one socket. 0: none. */
static ino_t socket_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

static bool gate_has(const struct gate *g, ino_t socket)
{
    for (size_t i = 0; i < g->has_n; i++)
        if (g->has[i] == socket)
            return true;
    return false;
}

static void give_listeners(struct gate *g)
{
    struct door *d = g->door;

    for (size_t i = 0; i < d->listeners_n; i++) {
        ino_t socket = socket_of(d->listeners[i].fd);

        if (gate_has(g, socket) || g->has_n == LISTENERS_MAX)
            continue;
        g->has[g->has_n++] = socket;
        ipc_send(&g->conn, d->listeners[i].fd, IPC_GATE_LISTEN, d->listeners[i].kind);
    }
}

static void keep_listener(struct gate *g, const char *kind, int *fd)
{
    struct door *d = g->door;
    ino_t socket = socket_of(*fd);

    if (g->has_n < LISTENERS_MAX)
        g->has[g->has_n++] = socket;
    for (size_t i = 0; i < d->listeners_n; i++)
        if (socket_of(d->listeners[i].fd) == socket)
            return; /* another gate has brought it */
    if (d->listeners_n < LISTENERS_MAX)
        d->listeners[d->listeners_n++] =
            (struct listener){str_is(kind, "unix") ? "unix" : "tcp", take_fd(fd)};
}

/* ---- one accepts ---- */

static int spawn_gate(struct door *d, struct err *e)
{
    char uid[16];
    const char *argv[] = {"dorm-gate", d->hub->run_dir, uid, uid, NULL};
    struct gate *g;
    pid_t pid;

    (void)snprintf(uid, sizeof(uid), "%u", (unsigned)hub_uid(d->hub, HUB_UID_GATE));
    if (program_start("dorm-gate", argv, &pid, e) < 0)
        return -1;
    g = gate_new(d, pid, e);
    if (g == NULL)
        return -1;
    g->ours = true;
    return INJECT("upgrade.started", e);
}

static void hire(struct door *d)
{
    struct err e;

    if (is_locked(d->hub, "gate.lock")) {
        /* it holds the port: a second one would only find another port, and nobody would find it */
        log_warn(NULL, "a gate of an earlier dormd lives and has not come back yet");
        settle_later(d, RETURN_MS);
    } else if (open_listeners(d, &e) < 0 || spawn_gate(d, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        settle_later(d, 10 * RESTART_MS);
    }
}

/* Another one is hired when it says that it has. */
static void retire(struct gate *g)
{
    struct err e;

    if (INJECT("upgrade.asked", &e) < 0) {
        finish_replacing(g->door, &e);
        return;
    }
    g->door->retiring = g->number;
    ipc_send(&g->conn, -1, IPC_GATE_RETIRE);
}

/* The one that accepts has all listeners: who has retired may let go of theirs. */
static void hand_over(struct gate *g)
{
    struct door *d = g->door;
    struct err e;

    give_listeners(g);
    list_each (&d->gates, node) {
        struct gate *other = list_of(node, struct gate, node);

        if (!other->retired || other->drained || !other->greeted || other->promised > 0)
            continue;
        if (INJECT("upgrade.handed", &e) < 0)
            return;
        other->drained = true;
        ipc_send(&other->conn, -1, IPC_GATE_DRAIN);
    }
    if (d->replaced != NULL && d->retiring == 0)
        retire(g);
    else if (d->retiring != g->number)
        finish_replacing(d, NULL);
}

/* Listeners that we do not have yet. */
static bool may_bring(const struct door *d)
{
    const struct gate *g = gates_acceptor(d);

    if (g != NULL && g->greeted ? g->promised > 0 : is_locked(d->hub, "gate.lock"))
        return true;
    return is_locked(d->hub, "gate.keep");
}

/* Look at who is there and who has what, and do what is missing. */
static void settle(struct door *d)
{
    struct gate *g = gates_acceptor(d);
    struct err e;

    if (d->closing)
        return;
    d->patient = d->patient && d->listeners_n == 0 && may_bring(d);
    if (d->patient)
        return;
    if (g == NULL)
        hire(d);
    else if (g->greeted && g->promised == 0) {
        if (open_listeners(d, &e) < 0)
            log_err(NULL, LOG_ERROR_, &e);
        hand_over(g);
    }
}

static void settle_now(struct loop_timer *t)
{
    struct door *d = list_of(t, struct door, timer);

    d->patient = false;
    settle(d);
}

static void settle_later(struct door *d, uint64_t ms)
{
    loop_timer_set(d->hub->loop, &d->timer, loop_now(d->hub->loop) + ms, settle_now);
}

/* ---- what a gate says ---- */

void gates_on_hello(struct gate *g, const struct ipc_msg *m)
{
    struct door *d = g->door;
    struct err e;

    if (d->closing) {
        ipc_send(&g->conn, -1, IPC_GATE_DRAIN);
        return;
    }
    if (m->field[0].number != IPC_VERSION)
        log_warn(NULL, "the gate speaks version %llu, this dormd %u",
                 (unsigned long long)m->field[0].number, IPC_VERSION);
    g->greeted = true;
    g->promised = m->field[2].number;
    g->has_n = 0;
    if (door_send_setup(d->hub, &g->conn, &e) < 0)
        log_err(NULL, LOG_ERROR_, &e);
    if (!g->retired && g->promised == 0)
        tools_give_listeners(d->hub->tools, &g->conn);
    if (g->promised == 0 && d->patient) /* the listeners may be with others, who knock now */
        settle_later(d, OTHERS_MS);
    if (g->promised == 0)
        settle(d);
}

void gates_on_listener(struct gate *g, const struct ipc_msg *m, int *fd)
{
    struct door *d = g->door;

    if (str_starts(m->field[0].at, ADDR_POD_PREFIX))
        tools_take_listener(d->hub->tools, &g->conn, m->field[0].at, fd);
    else if (*fd >= 0)
        keep_listener(g, m->field[0].at, fd);
    if (g->promised > 0 && --g->promised == 0)
        settle(d);
}

void gates_on_retired(struct gate *g)
{
    struct door *d = g->door;
    struct err e;

    if (g->retired)
        return;
    g->retired = true;
    /* one that an earlier dormd told to retire says so before it says hello: what it has comes */
    if (g->greeted && INJECT("upgrade.retired", &e) == 0)
        settle(d);
}

void gates_on_stray(struct gate *g, int fd)
{
    if (g->retired || fd < 0)
        return;
    list_each (&g->door->gates, node) {
        struct gate *other = list_of(node, struct gate, node);

        if (other->retired && other->greeted)
            ipc_send(&other->conn, fd, IPC_GATE_STRAY);
    }
}

/* ---- they come ---- */

static struct gate *gate_of(const struct door *d, pid_t pid)
{
    list_each (&d->gates, node)
        if (list_of(node, struct gate, node)->child.pid == pid)
            return list_of(node, struct gate, node);
    return NULL;
}

static size_t count(const struct door *d)
{
    size_t n = 0;

    list_each (&d->gates, node)
        n++;
    return n;
}

static bool has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

    return poll(&p, 1, 0) < 0 || (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* It may have come from an earlier dormd. The number is its own for as long as it holds its end. */
static struct gate *welcome(struct door *d, int fd, pid_t pid)
{
    struct gate *g = gate_of(d, pid);
    struct err e;

    if (g != NULL)
        return g->conn.fd < 0 ? g : NULL;
    if (count(d) >= GATES_MAX)
        return NULL;
    g = gate_new(d, pid, &e);
    if (g == NULL || !has_hung_up(fd))
        return g;
    gate_free(g);
    return NULL;
}

static void knocked(struct loop_io *io, uint32_t events)
{
    struct door *d = list_of(io, struct door, knock);
    AUTO_CLOSE int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t size = sizeof(peer);
    struct gate *g;
    struct err e;

    (void)events;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        peer.uid != hub_uid(d->hub, HUB_UID_GATE))
        return;
    g = welcome(d, fd, peer.pid);
    if (g == NULL)
        return;
    if (ipc_conn_start(&g->conn, d->hub->loop, &fd, door_on_message, gate_lost, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        return;
    }
    g->retired = g->drained = false; /* it says so itself */
    log_info(NULL, "gate connected pid=%d", (int)peer.pid);
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

static void remember_port(struct hub *h)
{
    char text[16];
    uint64_t port;
    struct err e;

    if (store_setting_get(h->store, "port.postgres", text, sizeof(text), &e) == 1 &&
        str_u64(text, &port))
        h->port = (uint16_t)port;
}

int gates_open(struct door *d, struct err *e)
{
    if (is_locked(d->hub, "gate.lock") || is_locked(d->hub, "gate.keep")) {
        d->patient = true;
        remember_port(d->hub);
        settle_later(d, RETURN_MS);
        return open_knock(d, e);
    }
    return open_knock(d, e) < 0 || open_listeners(d, e) < 0 ? -1 : spawn_gate(d, e);
}

void gates_free(struct door *d)
{
    loop_timer_stop(d->hub->loop, &d->timer);
    loop_timer_stop(d->hub->loop, &d->replace_timer);
    loop_io_stop(d->hub->loop, &d->knock);
    list_each (&d->gates, node)
        gate_free(list_of(node, struct gate, node));
    close_fd(&d->knock_fd);
    for (size_t i = 0; i < d->listeners_n; i++)
        close_fd(&d->listeners[i].fd);
}

/* ---- they go ---- */

void door_kill(struct door *d)
{
    if (d == NULL)
        return;
    list_each (&d->gates, node)
        if (list_of(node, struct gate, node)->ours)
            gate_kill(list_of(node, struct gate, node));
}

static void closing_late(struct loop_timer *t)
{
    struct door *d = list_of(t, struct door, timer);

    list_each (&d->gates, node)
        gate_kill(list_of(node, struct gate, node));
    finish_closing(d);
}

void gates_close(struct door *d)
{
    d->closing = true;
    finish_replacing(d, NULL);
    /* a gate that outlived an earlier dormd is about to knock, and is told then */
    if (list_empty(&d->gates) && !is_locked(d->hub, "gate.alive")) {
        finish_closing(d);
        return;
    }
    list_each (&d->gates, node)
        ipc_send(&list_of(node, struct gate, node)->conn, -1, IPC_GATE_DRAIN);
    loop_timer_set(d->hub->loop, &d->timer, loop_now(d->hub->loop) + CLOSING_MS, closing_late);
}

static void replacing_late(struct loop_timer *t)
{
    struct door *d = list_of(t, struct door, replace_timer);
    struct err e;

    (void)err_set(&e, ERR_BUSY, "no other gate has taken over within %d s", REPLACE_MS / 1000);
    (void)err_hint(&e, "sessions are where they were; what the gate says is in the log of dormd");
    finish_replacing(d, &e);
}

int door_replace(struct door *d, void (*done)(void *owner, const struct err *e), void *owner,
                 struct err *e)
{
    if (d->closing || d->replaced != NULL)
        return err_set(e, ERR_BUSY, "the gate is being replaced at this moment");
    if (count(d) >= GATES_MAX) {
        (void)err_set(e, ERR_LIMIT, "%d gates still have sessions: no other one is started",
                      GATES_MAX);
        return err_hint(e, "wait until sessions of the earlier ones have ended");
    }
    d->replaced = done;
    d->replace_owner = owner;
    d->retiring = 0;
    settle(d); /* or as soon as one accepts */
    loop_timer_set(d->hub->loop, &d->replace_timer, loop_now(d->hub->loop) + REPLACE_MS,
                   replacing_late);
    return 0;
}
