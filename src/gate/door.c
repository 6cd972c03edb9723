#include "door.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "net/listen.h"
#include "net/source.h"
#include "session.h"

enum {
    TURN_ACCEPTS = 16, /* then those already here go on, so that a crowd is served in turn */
    PAUSE_MS = 100,
    SLOW_MS = 2000, /* a login is done in a fraction of this */
};

struct listener {
    struct list node;
    struct gate *gate;
    struct loop_io io;
    int fd; /* owned */
    char kind[48];
    struct addr pod; /* whoever comes in here; kind ADDR_POD, or it is not of a pod */
};

static void set_events(struct gate *g, uint32_t events)
{
    list_each (&g->listeners, node)
        loop_io_want(g->loop, &list_of(node, struct listener, node)->io, events);
}

static void pause_over(struct loop_timer *t)
{
    door_resume(list_of(t, struct gate, door_timer));
}

static void pause_door(struct gate *g)
{
    g->door_paused = true;
    set_events(g, 0);
    loop_timer_set(g->loop, &g->door_timer, loop_now(g->loop) + PAUSE_MS, pause_over);
}

void door_resume(struct gate *g)
{
    if (!g->door_paused || g->retired)
        return;
    g->door_paused = false;
    loop_timer_stop(g->loop, &g->door_timer);
    set_events(g, EPOLLIN);
}

/* End the oldest of these logins if it is slow. */
static bool make_room(struct gate *g, struct session *oldest)
{
    if (oldest == NULL || loop_now(g->loop) - session_born_ms(oldest) < SLOW_MS)
        return false;
    g->shed++;
    session_drop(oldest);
    return true;
}

static bool room_for_login(struct gate *g)
{
    if (g->tls == NULL || g->sessions_n >= g->sessions_max)
        return false;
    return g->logins_n < LOGINS_MAX || make_room(g, session_of_login(list_first(&g->logins)));
}

static bool room_for_source(struct gate *g, const struct addr *peer)
{
    struct source *source = source_find(&g->sources, peer);

    return source == NULL || source->n < LOGINS_OF_SOURCE_MAX ||
           make_room(g, session_of_source(list_first(&source->members)));
}

static void greet(struct gate *g, int *fd, const struct addr *peer)
{
    char text[ADDR_TEXT];
    struct err e;

    g->accepted++;
    if (!room_for_source(g, peer)) {
        g->shed++;
        log_limited(NULL, LOG_WARN_, "refused a connection from %s, which has %d logins open",
                    addr_text(text, peer), LOGINS_OF_SOURCE_MAX);
    } else if (session_new(g, fd, peer, &e) < 0) {
        log_limited(NULL, LOG_ERROR_, "could not begin a session: %s", e.msg);
    }
}

static void someone_knocks(struct loop_io *io, uint32_t events)
{
    struct listener *l = list_of(io, struct listener, io);
    struct gate *g = l->gate;

    (void)events;
    for (int i = 0; i < TURN_ACCEPTS; i++) {
        AUTO_CLOSE int fd = -1;
        struct addr peer;

        if (!room_for_login(g)) {
            pause_door(g);
            return;
        }
        switch (listen_accept(l->fd, &fd, &peer)) {
        case LISTEN_OK:
            greet(g, &fd, l->pod.kind == ADDR_POD ? &l->pod : &peer);
            break;
        case LISTEN_NONE:
            return;
        case LISTEN_FULL:
            log_limited(NULL, LOG_WARN_, "no descriptor for another connection, waiting");
            pause_door(g);
            return;
        case LISTEN_ERR:
            log_error(NULL, "a \"%s\" listener is broken, going on without it", l->kind);
            loop_io_stop(g->loop, &l->io);
            return;
        }
    }
}

/* "pod:<server>-<tool>": only that server's user can be at the other end. */
static bool read_pod(const char *kind, struct addr *ret)
{
    const char *id = kind + sizeof(ADDR_POD_PREFIX) - 1;

    if (!str_starts(kind, ADDR_POD_PREFIX))
        return true;
    if (strlen(id) <= ID_LEN || id[ID_LEN] != '-')
        return false;
    *ret = (struct addr){.kind = ADDR_POD, .uid = UINT64_MAX};
    memcpy(ret->at, id, ID_LEN);
    return true;
}

int door_open(struct gate *g, const char *kind, int *fd_take, struct err *e)
{
    struct listener *l;
    struct addr pod = {.kind = ADDR_UNIX};
    bool unix_socket;

    if (listen_check(*fd_take, &unix_socket, e) < 0)
        return -1;
    if (str_is(kind, "unix") != unix_socket || !read_pod(kind, &pod))
        return err_set(e, ERR_INPUT, "a listener is not of the kind \"%s\"", kind);
    l = mem_new(sizeof(*l));
    l->gate = g;
    l->pod = pod;
    if (!str_copy(l->kind, sizeof(l->kind), kind)) {
        free(l);
        return err_set(e, ERR_INPUT, "the kind of a listener is too long");
    }
    if (fd_nonblocking(*fd_take, e) < 0 ||
        loop_io_start(g->loop, &l->io, *fd_take, g->door_paused ? 0 : EPOLLIN, someone_knocks, e) <
            0) {
        free(l);
        return -1;
    }
    l->fd = take_fd(fd_take);
    list_append(&g->listeners, &l->node);
    return 0;
}

static void close_listeners(struct gate *g, const char *kind)
{
    list_each (&g->listeners, node) {
        struct listener *l = list_of(node, struct listener, node);

        if (kind != NULL && !str_is(l->kind, kind))
            continue;
        list_remove(&l->node);
        loop_io_stop(g->loop, &l->io);
        close_fd(&l->fd);
        loop_free_later(g->loop, l);
    }
}

void door_shut(struct gate *g, const char *kind)
{
    close_listeners(g, kind);
}

void door_rest(struct gate *g)
{
    g->door_paused = true;
    loop_timer_stop(g->loop, &g->door_timer);
    set_events(g, 0);
}

void door_close(struct gate *g)
{
    close_listeners(g, NULL);
}

size_t door_count(struct gate *g)
{
    size_t n = 0;

    list_each (&g->listeners, node)
        n++;
    return n;
}

void door_report(struct gate *g)
{
    list_each (&g->listeners, node) {
        struct listener *l = list_of(node, struct listener, node);

        ipc_send(&g->dormd, l->fd, IPC_GATE_LISTENER, l->kind);
    }
}
