#include "door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/barred.h"
#include "dormd/door-int.h"
#include "dormd/door-setup.h"
#include "dormd/events.h"
#include "dormd/fleet.h"
#include "dormd/login.h"
#include "dormd/news.h"
#include "dormd/people.h"
#include "dormd/tools.h"
#include "ipc/conn.h"
#include "net/addr.h"

enum {
    SESSIONS_MOST = 500,  /* of one server, far above the 100 that PostgreSQL lets in */
    PATIENCE_MS = 100000, /* then who waits is told to come again; below WAKE_MS */
    SLOW_AT_ONCE = 64,
};

/* A session in the gate that has been let through to a server, or waits for it. */
struct session {
    struct gate *gate;
    char key[32]; /* of the gate and the number */
    uint64_t number;
    char server[ID_SIZE];
    struct fleet_waiter waiter;
    uint64_t since_ms;
    bool counted; /* the fleet knows that it is in */
};

/* ---- sessions ---- */

static void key_of(const struct gate *g, uint64_t number, char key[32])
{
    (void)snprintf(key, 32, "%u:%llx", g->number, (unsigned long long)number);
}

static struct session *session_of(struct gate *g, uint64_t number)
{
    char key[32];

    key_of(g, number, key);
    return map_get(&g->door->sessions, key);
}

static void session_told(struct fleet_waiter *w, int *fd, const struct err *e);

static void session_queued(struct fleet_waiter *w, const char *text)
{
    const struct session *s = list_of(w, struct session, waiter);

    ipc_send(&s->gate->conn, -1, IPC_GATE_NOTICE, s->number, text);
}

static struct session *session_new(struct gate *g, uint64_t number, const char *server)
{
    struct session *s = mem_new(sizeof(*s));

    *s = (struct session){
        .gate = g,
        .number = number,
        .waiter = {.told = session_told, .queued = session_queued, .wants_connection = true}};
    s->since_ms = loop_now(g->door->hub->loop);
    key_of(g, number, s->key);
    (void)snprintf(s->server, sizeof(s->server), "%s", server);
    map_add(&g->door->sessions, s->key, s);
    return s;
}

static void session_free(struct session *s)
{
    struct door *d = s->gate->door;
    struct fleet *fleet = d->hub->fleet;

    (void)map_remove(&d->sessions, s->key);
    fleet_unwait(&s->waiter);
    if (s->counted)
        fleet_session_ended(fleet, s->server);
    loop_free_later(d->hub->loop, s);
}

static void send_failure(struct gate *g, uint64_t number, const struct err *e)
{
    ipc_send(&g->conn, -1, IPC_GATE_FAIL, number, err_sqlstate(e->kind), e->msg, e->hint);
}

/* What somebody who comes in should know: these come before the first prompt. */
static void send_news(const struct session *s)
{
    struct door *d = s->gate->door;
    struct fleet_view view = fleet_look(d->hub->fleet, s->server);
    AUTO_FREE char *news = news_take(d->hub, s->server);

    if (view.ephemeral)
        ipc_send(&s->gate->conn, -1, IPC_GATE_NOTICE, s->number,
                 "this server is ephemeral: what is in it is gone when it falls asleep");
    if (view.room != NULL)
        ipc_send(&s->gate->conn, -1, IPC_GATE_NOTICE, s->number, view.room);
    if (news != NULL)
        ipc_send(&s->gate->conn, -1, IPC_GATE_NOTICE, s->number, news);
}

static void session_told(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct session *s = list_of(w, struct session, waiter);
    struct door *d = s->gate->door;

    if (e != NULL) {
        send_failure(s->gate, s->number, e);
        session_free(s);
        return;
    }
    s->counted = fleet_session_began(d->hub->fleet, s->server);
    send_news(s);
    ipc_send(&s->gate->conn, *fd, IPC_GATE_READY, s->number);
}

static struct session *any_of(const struct gate *g)
{
    map_each (&g->door->sessions, slot) {
        struct session *s = slot->value;

        if (s->gate == g)
            return s;
    }
    return NULL;
}

void door_forget_sessions(struct gate *g)
{
    for (struct session *s = any_of(g); s != NULL; s = any_of(g))
        session_free(s);
}

/* ---- what the gate says ---- */

static void on_login(struct gate *g, const struct ipc_msg *m)
{
    struct login_ask ask = {
        .user = m->field[1].at, .database = m->field[2].at, .os_uid = m->field[4].number};
    uint64_t session = m->field[0].number;
    struct login_answer who;
    struct err e;

    if (str_starts(m->field[3].at, ADDR_POD_PREFIX))
        ask.pod = m->field[3].at + sizeof(ADDR_POD_PREFIX) - 1;
    if (login_who(g->door->hub, &ask, &who, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        (void)err_set(&e, ERR_INTERNAL, "the hub could not look you up");
        send_failure(g, session, &e);
        return;
    }
    ipc_send(&g->conn, -1, IPC_GATE_WHO, session, (uint64_t)who.verdict, who.account.server.id,
             who.role, who.database, who.account.user.verifier, who.refusal.msg, who.refusal.hint);
}

/* Sessions cost memory of the gate's, which is everybody's. */
static bool is_crowded(const struct door *d, const char *server)
{
    struct fleet_view view = fleet_look(d->hub->fleet, server);

    return view.sessions + view.waiting >= SESSIONS_MOST;
}

static void on_wake(struct gate *g, const struct ipc_msg *m)
{
    uint64_t number = m->field[0].number;
    struct people_want want;
    struct store_account account;
    struct session *s;
    struct err e;

    if (session_of(g, number) != NULL)
        return; /* a second wish of the same session changes nothing */
    if (INJECT("door.wake", &e) < 0 ||
        people_account(g->door->hub, m->field[1].at, &account, &e) < 0) {
        send_failure(g, number, &e);
        return;
    }
    if (account.user.disabled || account.server.removed_at != 0) {
        (void)err_set(&e, ERR_DENIED, "server \"%s\" is not to be used now", account.server.name);
        send_failure(g, number, &e);
        return;
    }
    if (is_crowded(g->door, account.server.id)) {
        ipc_send(&g->conn, -1, IPC_GATE_FAIL, number, "53300", "sorry, too many clients already",
                 "Close some of your connections, or use a pool of them.");
        return;
    }
    if (people_want_init(&want, g->door->hub, &account, &e) < 0) {
        log_err(NULL, LOG_WARN_, &e);
        send_failure(g, number, &e);
        return;
    }
    s = session_new(g, number, account.server.id);
    fleet_wake(g->door->hub->fleet, &want.want, &s->waiter);
    people_want_done(&want);
}

/* The hub let them in, and the server of theirs did not. */
static void on_barred(struct gate *g, const struct ipc_msg *m)
{
    struct session *s = session_of(g, m->field[0].number);
    struct barred b = {.role = m->field[1].at,
                       .database = m->field[2].at,
                       .sqlstate = m->field[3].at,
                       .message = m->field[4].at,
                       .hint = m->field[5].at};
    struct err e, why;

    if (s == NULL || s->waiter.waiting)
        return;
    b.server = s->server;
    if (s->counted)
        fleet_session_ended(g->door->hub->fleet, s->server);
    s->counted = false;
    if (barred_mend(g->door->hub, &b, &s->waiter, &e) == 0) {
        ipc_send(&g->conn, -1, IPC_GATE_NOTICE, s->number,
                 "your server did not let you in: it is looked after, which takes a moment");
        return;
    }
    barred_explain(g->door->hub, &b, &e, &why);
    ipc_send(&g->conn, -1, IPC_GATE_FAIL, s->number, b.sqlstate, why.msg, why.hint);
    session_free(s);
}

static void on_lowly(struct gate *g, const struct ipc_msg *m)
{
    const struct session *s = session_of(g, m->field[0].number);

    if (s != NULL && barred_lowly(g->door->hub, s->server, m->field[1].at))
        ipc_send(&g->conn, -1, IPC_GATE_TELL, s->number,
                 "your role is no superuser of your own server any more",
                 "It is made one again at the server's next wake.");
}

/* A session that lived on while there was no dormd. */
static void on_held(struct gate *g, const struct ipc_msg *m)
{
    struct session *s;

    if (session_of(g, m->field[0].number) != NULL || m->field[1].len != ID_LEN)
        return;
    s = session_new(g, m->field[0].number, m->field[1].at);
    s->counted = fleet_session_began(g->door->hub->fleet, s->server);
}

static void on_cancel(struct gate *g, const struct ipc_msg *m)
{
    AUTO_CLOSE int fd = -1;
    struct err e;

    if (fleet_connect(g->door->hub->fleet, m->field[1].at, &fd, &e) < 0)
        send_failure(g, m->field[0].number, &e);
    else
        ipc_send(&g->conn, fd, IPC_GATE_READY, m->field[0].number);
}

void door_on_message(struct ipc_conn *c, const struct ipc_msg *m, int *fd)
{
    struct gate *g = list_of(c, struct gate, conn);
    struct fleet *fleet = g->door->hub->fleet;
    struct session *s;

    if (m->type == IPC_GATE_HELLO)
        gates_on_hello(g, m);
    else if (m->type == IPC_GATE_LISTENER)
        gates_on_listener(g, m, fd);
    else if (m->type == IPC_GATE_HELD)
        on_held(g, m);
    else if (m->type == IPC_GATE_LOGIN)
        on_login(g, m);
    else if (m->type == IPC_GATE_WAKE)
        on_wake(g, m);
    else if (m->type == IPC_GATE_CANCEL)
        on_cancel(g, m);
    else if (m->type == IPC_GATE_BARRED)
        on_barred(g, m);
    else if (m->type == IPC_GATE_LOWLY)
        on_lowly(g, m);
    else if (m->type == IPC_GATE_QUIET)
        door_quiet_said(g, m->field[0].at, m->field[1].number, m->field[2].number);
    else if (m->type == IPC_GATE_STIR)
        fleet_stirred(fleet, m->field[0].at);
    else if (m->type == IPC_GATE_RETIRED)
        gates_on_retired(g);
    else if (m->type == IPC_GATE_STRAY)
        gates_on_stray(g, *fd);
    else if (m->type == IPC_GATE_CLOSED && (s = session_of(g, m->field[0].number)) != NULL)
        session_free(s);
    else if (m->type != IPC_GATE_CLOSED)
        log_warn(NULL, "the gate sent a message that is not its to send: %s", ipc_name(m->type));
}

/* ---- birth and death ---- */

struct door *door_open(struct hub *h, struct err *e)
{
    struct door *d = mem_new(sizeof(*d));

    *d = (struct door){.hub = h, .knock_fd = -1};
    list_init(&d->gates);
    list_init(&d->asks);
    if (gates_open(d, e) == 0)
        return d;
    door_kill(d);
    door_free(d);
    return NULL;
}

void door_free(struct door *d)
{
    if (d == NULL)
        return;
    list_each (&d->gates, node)
        door_forget_sessions(list_of(node, struct gate, node));
    map_done(&d->sessions);
    door_quiet_done(d);
    gates_free(d);
    free(d);
}

void door_close(struct door *d, void (*done)(void *owner), void *owner)
{
    struct err why;

    d->closed = done;
    d->owner = owner;
    (void)err_set(&why, ERR_BUSY, "terminating connection: the hub is going down");
    door_kick(d, NULL, &why);
    gates_close(d);
}

/* ---- what the hub says ---- */

static void kick_with(struct door *d, const char *server, const char *sqlstate,
                      const struct err *why)
{
    map_each (&d->sessions, slot) {
        const struct session *s = slot->value;

        if (server == NULL || str_is(s->server, server))
            ipc_send(&s->gate->conn, -1, IPC_GATE_KICK, s->number, sqlstate, why->msg, why->hint);
    }
}

void door_dismiss(struct door *d, const char *server, const struct err *why)
{
    kick_with(d, server, "57P01", why);
}

void door_kick(struct door *d, const char *server, const struct err *why)
{
    kick_with(d, server, err_sqlstate(why->kind), why);
}

void door_tell(struct door *d, const char *server, const struct err *what)
{
    if (d == NULL)
        return; /* the hub is starting: nobody is in */
    map_each (&d->sessions, slot) {
        const struct session *s = slot->value;

        if (s->counted && str_is(s->server, server))
            ipc_send(&s->gate->conn, -1, IPC_GATE_TELL, s->number, what->msg, what->hint);
    }
}

void door_slow(struct door *d, const char *server, const struct err *why)
{
    struct session *tired[SLOW_AT_ONCE];
    size_t n = 0;

    if (d == NULL)
        return; /* the hub is starting: nobody waits */
    map_each (&d->sessions, slot) {
        struct session *s = slot->value;

        if (!s->waiter.waiting || !str_is(s->server, server))
            continue;
        if (loop_now(d->hub->loop) - s->since_ms < PATIENCE_MS)
            ipc_send(&s->gate->conn, -1, IPC_GATE_NOTICE, s->number, why->msg);
        else if (n < SLOW_AT_ONCE)
            tired[n++] = s;
    }
    for (size_t i = 0; i < n; i++) {
        send_failure(tired[i]->gate, tired[i]->number, why);
        session_free(tired[i]);
    }
}

int door_new_certificate(struct door *d, struct err *e)
{
    struct gate *g = gates_acceptor(d);

    return g == NULL || g->conn.fd < 0 ? 0 : door_send_setup(d->hub, &g->conn, e);
}

size_t door_sessions(const struct door *d)
{
    return d->sessions.used;
}

size_t door_sessions_retired(const struct door *d)
{
    size_t n = 0;

    map_each (&d->sessions, slot) {
        const struct session *s = slot->value;

        n += s->gate->retired;
    }
    return n;
}

pid_t door_gate(const struct door *d)
{
    const struct gate *g = gates_acceptor(d);

    return g == NULL ? 0 : g->child.pid;
}

void door_listen(struct door *d, const char *kind, int fd)
{
    struct gate *g = d == NULL ? NULL : gates_acceptor(d);

    if (g != NULL)
        ipc_send(&g->conn, fd, IPC_GATE_LISTEN, kind);
}

void door_unlisten(struct door *d, const char *kind)
{
    if (d == NULL)
        return;
    list_each (&d->gates, node)
        ipc_send(&list_of(node, struct gate, node)->conn, -1, IPC_GATE_UNLISTEN, kind);
}
