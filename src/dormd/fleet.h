/*
 * fleet.h: the servers that are not simply asleep: the life of each, who waits for it, who is in.
 *
 * life.h decides; this carries the decisions out on an engine, on a loop, and looks at the levels
 * again after every change. A server that sleeps and holds nothing of the machine is not in here:
 * ten thousand sleeping users cost nothing.
 */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "engine/engine.h"
#include "life/life.h"
#include "loop/loop.h"

struct fleet;
struct fleet_server;

/* Lives in whoever waits. Told exactly once, unless fleet_unwait comes first. */
struct fleet_waiter {
    struct list node;
    /* e is NULL on success. For a connection *fd is it, and told takes it. */
    void (*told)(struct fleet_waiter *w, int *fd, const struct err *e);
    bool wants_connection; /* otherwise: only to know that the server is awake */
    bool waiting;
};

struct fleet_hooks {
    /* The server was READY for the first time: its superuser exists from now on. */
    void (*named)(void *owner, const char *server);
    void (*moved)(void *owner, const char *server, enum life_state from, enum life_state to);
    /* What is known of it is from before it fell asleep: tell fleet_renew() what holds now, or why
     * it cannot start. */
    int (*renew)(void *owner, const char *server, struct err *e);
    /* It has to sleep, whoever is in it: they are to be told why. */
    void (*evicted)(void *owner, const char *server, const struct err *why);
    void *owner;
};

struct fleet_want {
    struct engine_server server;
    const char *name;  /* what people call it */
    uint64_t after_ms; /* asleep again this long after the last one left; 0: never */
};

/* engine is borrowed; its events must be passed to fleet_event. */
struct fleet *fleet_new(struct loop *loop, struct engine *engine, const struct fleet_hooks *hooks,
                        size_t mounted_most);
void fleet_free(struct fleet *f); /* servers run on */
void fleet_event(struct fleet *f, const char *server, enum engine_event event,
                 const struct err *why);

/* Somebody wants in, or wants it awake. */
void fleet_wake(struct fleet *f, const struct fleet_want *want, struct fleet_waiter *w);
void fleet_unwait(struct fleet_waiter *w);
/* A pod of this server was found running when this process began. */
void fleet_found(struct fleet *f, const struct fleet_want *want);
/* Within hooks.renew. */
void fleet_renew(struct fleet *f, const struct fleet_want *want);
/* Let nobody wake it until as many fleet_unhold: its volume is being changed. They wait. */
void fleet_hold(struct fleet *f, const char *server);
void fleet_unhold(struct fleet *f, const char *server);
/* Let it sleep now. w is told when it sleeps; at once if it does. */
void fleet_rest(struct fleet *f, const char *server, struct fleet_waiter *w);
/* Another connection to a server that is awake, to cancel on. Never wakes, never counts as use. */
int fleet_connect(struct fleet *f, const char *server, int *ret_fd, struct err *e);

/* Sessions keep a server awake. False: the server is not known here, and nothing was counted. */
bool fleet_session_began(struct fleet *f, const char *server);
void fleet_session_ended(struct fleet *f, const char *server);

struct fleet_view {
    enum life_state state;
    uint32_t sessions, waiting;
    uint64_t since_ms;   /* when it came into this state */
    const char *failure; /* why the last wake failed; NULL if it did not */
    bool ephemeral;      /* what is in it is gone when it sleeps */
    const char *room;    /* how full it is and with what, if its users should know; or NULL */
};

/* What is true of a server now; one that is not known sleeps. */
struct fleet_view fleet_look(const struct fleet *f, const char *server);
size_t fleet_count(const struct fleet *f, enum life_state state);
/* How many sleeping servers may keep their volume mounted, from the next one that falls asleep. */
void fleet_set_mounted(struct fleet *f, size_t most);
/* Everything to sleep; done is called when nothing has a process any more. */
void fleet_down(struct fleet *f, void (*done)(void *owner), void *owner);
/* Forget a server that is being removed, and give back what its volume holds: it must sleep. */
void fleet_forget(struct fleet *f, const char *server);
