#include "tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/control.h"
#include "dormd/door.h"
#include "net/addr.h"

enum {
    MOST = 64,          /* two descriptors of the gate's each */
    OF_SERVER_MOST = 4, /* each may take half of what a server may */
    REJOIN_MS = 15000,  /* for a caller, and a gate, to come back to a new dormd */
};

struct tools {
    struct hub *hub;
    struct list all;
};

struct tool {
    struct list node;
    struct tools *tools;
    char id[TOOL_ID_SIZE], server[ID_SIZE];
    struct call *call;             /* NULL: it was found, and its caller has not come back yet */
    int listeners[TOOL_LISTENERS]; /* owned */
    size_t listeners_n;
    struct loop_timer limit;
    struct err why; /* it is being ended by us; kind NONE: it is not */
};

static struct tool *find(const struct tools *t, const char *id)
{
    list_each (&t->all, node)
        if (str_is(list_of(node, struct tool, node)->id, id))
            return list_of(node, struct tool, node);
    return NULL;
}

static size_t count(const struct tools *t, const char *server)
{
    size_t n = 0;

    list_each (&t->all, node)
        n += server == NULL || str_is(list_of(node, struct tool, node)->server, server);
    return n;
}

static struct tool *tool_new(struct tools *t, const char *id)
{
    struct tool *tool = mem_new(sizeof(*tool));

    *tool = (struct tool){.tools = t};
    (void)snprintf(tool->id, sizeof(tool->id), "%s", id);
    (void)snprintf(tool->server, sizeof(tool->server), "%.*s", ID_LEN, id);
    list_append(&t->all, &tool->node);
    return tool;
}

static void drop_listeners(struct tool *tool)
{
    while (tool->listeners_n > 0)
        close_fd(&tool->listeners[--tool->listeners_n]);
}

static void tool_free(struct tool *tool)
{
    struct loop *loop = tool->tools->hub->loop;

    loop_timer_stop(loop, &tool->limit);
    drop_listeners(tool);
    list_remove(&tool->node);
    loop_free_later(loop, tool);
}

static void kind_of(const struct tool *tool, char at[TOOL_ID_SIZE + 8])
{
    (void)snprintf(at, TOOL_ID_SIZE + 8, ADDR_POD_PREFIX "%s", tool->id);
}

static void end_one(struct tool *tool, const struct err *why)
{
    struct err e;

    if (tool->why.kind != ERR_NONE)
        return;
    tool->why = *why;
    loop_timer_stop(tool->tools->hub->loop, &tool->limit);
    if (tool_end(tool->tools->hub->engine, tool->id, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

/* ---- what the engine says ---- */

static void on_listening(void *owner, const char *id, int *fds, size_t n)
{
    struct tools *t = owner;
    struct tool *tool = find(t, id);
    char kind[TOOL_ID_SIZE + 8];

    for (size_t i = 0; i < n; i++) {
        if (tool == NULL || tool->listeners_n == TOOL_LISTENERS) {
            close_fd(&fds[i]);
            continue;
        }
        kind_of(tool, kind);
        door_listen(t->hub->door, kind, fds[i]);
        tool->listeners[tool->listeners_n++] = take_fd(&fds[i]);
    }
}

static void answer(struct tool *tool, int status, const struct err *e)
{
    struct call *c = tool->call;

    if (c == NULL)
        return;
    tool->call = NULL;
    c->gone = NULL;
    if (tool->why.kind != ERR_NONE) {
        call_fail(c, &tool->why);
    } else if (e != NULL) {
        call_fail(c, e);
    } else {
        ipc_send(&c->conn, -1, IPC_EXIT, status < 0 ? UINT64_MAX : (uint64_t)status);
        call_done(c);
    }
}

static void on_ended(void *owner, const char *id, int status, const struct err *e)
{
    struct tools *t = owner;
    struct tool *tool = find(t, id);
    char kind[TOOL_ID_SIZE + 8];

    if (tool == NULL)
        return;
    log_info(NULL, "tool %s has ended with status %d", id, status);
    kind_of(tool, kind);
    door_unlisten(t->hub->door, kind);
    answer(tool, status, e);
    tool_free(tool);
}

static void not_back(struct loop_timer *timer)
{
    struct tool *tool = list_of(timer, struct tool, limit);
    struct err why;

    if (tool->call != NULL && tool->listeners_n > 0)
        return;
    (void)err_set(&why, ERR_BUSY, "%s",
                  tool->call == NULL ? "its caller has not come back after a restart of dormd"
                                     : "its way to the server was lost when dormd and gate died");
    log_warn(NULL, "tool %s is ended: %s", tool->id, why.msg);
    end_one(tool, &why);
}

static void on_found(void *owner, const char *id)
{
    struct tools *t = owner;
    struct tool *tool = tool_new(t, id);

    log_info(NULL, "tool %s runs on", id);
    loop_timer_set(t->hub->loop, &tool->limit, loop_now(t->hub->loop) + REJOIN_MS, not_back);
}

/* ---- calls ---- */

/* Who asked has left: nobody sees what it does any more. */
static void caller_gone(struct call *c)
{
    struct tools *t = c->hub->tools;
    struct err why;

    if (loop_quitting(c->hub->loop) && !c->hub->going_down)
        return; /* it is we who leave: it comes back to our successor */
    (void)err_set(&why, ERR_PEER, "the caller has left");
    list_each (&t->all, node) {
        struct tool *tool = list_of(node, struct tool, node);

        if (tool->call != c)
            continue;
        tool->call = NULL;
        end_one(tool, &why);
    }
}

static void took_too_long(struct loop_timer *timer)
{
    struct tool *tool = list_of(timer, struct tool, limit);
    struct err why;

    (void)err_set(&why, ERR_LIMIT, "the command was ended: it had not ended within its --timeout");
    end_one(tool, &why);
}

static void belong(struct tool *tool, struct call *c)
{
    tool->call = c;
    c->gone = caller_gone;
    ipc_send(&c->conn, -1, IPC_TOOL, tool->id);
}

static int admit(const struct tools *t, const struct tool_spec *spec, struct err *e)
{
    if (t->hub->going_down)
        return err_set(e, ERR_BUSY, "the hub is going down");
    if (count(t, spec->server) >= OF_SERVER_MOST) {
        (void)err_set(e, ERR_LIMIT, "%d programs run beside server \"%s\" already", OF_SERVER_MOST,
                      spec->name);
        return err_hint(e, "end one of them first");
    }
    if (count(t, NULL) >= MOST)
        return err_set(e, ERR_LIMIT, "%d programs run beside servers of this hub already", MOST);
    return 0;
}

int tools_start(struct call *c, const struct tool_spec *spec, uint64_t limit_ms, struct err *e)
{
    struct tools *t = c->hub->tools;
    int streams[TOOL_STREAMS];
    char id[TOOL_ID_SIZE];
    struct tool *tool;

    if (admit(t, spec, e) < 0 || tool_start(t->hub->engine, spec, id, streams, e) < 0)
        return -1;
    log_info(NULL, "tool %s starts, for uid %u", id, (unsigned)c->uid);
    tool = tool_new(t, id);
    belong(tool, c);
    for (int i = 0; i < TOOL_STREAMS; i++) {
        if (streams[i] >= 0)
            ipc_send(&c->conn, streams[i], IPC_STREAM,
                     (uint64_t)(spec->term != NULL ? TOOL_STREAMS : i));
        close_fd(&streams[i]);
    }
    if (limit_ms != 0)
        loop_timer_set(t->hub->loop, &tool->limit, loop_now(t->hub->loop) + limit_ms,
                       took_too_long);
    return 0;
}

int tools_rejoin(struct call *c, const char *server, const char *id, struct err *e)
{
    struct tool *tool = find(c->hub->tools, id);

    if (tool == NULL || tool->call != NULL || !str_is(tool->server, server))
        return err_set(e, ERR_NOT_FOUND, "it has ended");
    log_info(NULL, "tool %s: its caller is back", id);
    belong(tool, c);
    return 0;
}

void tools_end(struct tools *t, const char *server, const struct err *why)
{
    if (t == NULL)
        return;
    list_each (&t->all, node) {
        struct tool *tool = list_of(node, struct tool, node);

        if (server == NULL || str_is(tool->server, server))
            end_one(tool, why);
    }
}

/* ---- for door.c ---- */

bool tools_serve(const struct tools *t, const char *server)
{
    return count(t, server) > 0;
}

void tools_give_listeners(const struct tools *t, struct ipc_conn *gate)
{
    list_each (&t->all, node) {
        const struct tool *tool = list_of(node, struct tool, node);
        char kind[TOOL_ID_SIZE + 8];

        kind_of(tool, kind);
        for (size_t i = 0; i < tool->listeners_n; i++)
            ipc_send(gate, tool->listeners[i], IPC_GATE_LISTEN, kind);
    }
}

void tools_take_listener(struct tools *t, struct ipc_conn *gate, const char *kind, int *fd)
{
    struct tool *tool = find(t, kind + sizeof(ADDR_POD_PREFIX) - 1);

    if (tool == NULL)
        ipc_send(gate, -1, IPC_GATE_UNLISTEN, kind);
    else if (tool->listeners_n < TOOL_LISTENERS)
        tool->listeners[tool->listeners_n++] = take_fd(fd);
}

/* ---- birth and death ---- */

struct tools *tools_new(struct hub *h)
{
    struct tools *t = mem_new(sizeof(*t));

    *t = (struct tools){.hub = h};
    list_init(&t->all);
    tool_hook(h->engine,
              &(struct tool_hooks){
                  .listening = on_listening, .ended = on_ended, .found = on_found, .owner = t});
    return t;
}

void tools_free(struct tools *t)
{
    if (t == NULL)
        return;
    list_each (&t->all, node)
        tool_free(list_of(node, struct tool, node));
    free(t);
}
