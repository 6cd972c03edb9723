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
    /* May be NULL. It has to wait for its turn: words for whoever waits, from time to time. */
    void (*queued)(struct fleet_waiter *w, const char *text);
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
    /* Nobody in it has spoken for long: they are to be told why it is about to sleep. */
    void (*dismissed)(void *owner, const char *server, const struct err *why);
    /* Ask the gate how quiet it is: fleet_quiet() with the same number follows. */
    void (*ask_quiet)(void *owner, const char *server, uint64_t number);
    /* It runs on; who is in it is to be told this at once. May be NULL. */
    void (*told)(void *owner, const char *server, const struct err *why);
    /* It takes long to wake, and works on it: who waits is to be told. May be NULL. */
    void (*slow)(void *owner, const char *server, const struct err *why);
    void *owner;
};

struct fleet_want {
    struct engine_server server;
    const char *name;      /* what people call it */
    uint64_t after_ms;     /* asleep so long after the last one left; 0: never, here and below */
    uint64_t nap_ms;       /* frozen when nobody in it has spoken for so long */
    uint64_t connected_ms; /* asleep, whoever is in it, when nobody has spoken for so long */
};

/* Whose turn it is when many want in. */
struct fleet_crowd {
    size_t waking_most;          /* servers that start at a time; 0: any number */
    uint64_t memory;             /* bytes for all servers together; 0: no bound */
    uint64_t spare;              /* bytes of the machine's that no start may touch */
    uint64_t (*available)(void); /* bytes that the machine could give now; NULL: enough */
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
/*
 * Its own owner cannot log in: it is put to sleep and looked after at the wake that follows at
 * once, for which w waits as in fleet_wake(). ERR_BUSY while others are in it; ERR_LIMIT: that has
 * been tried just now.
 */
int fleet_mend(struct fleet *f, const char *server, struct fleet_waiter *w, struct err *e);
/* The same at its next start, whenever that is. False: that was wished already. */
bool fleet_mend_later(struct fleet *f, const char *server);
/* It ends just now, for a reason that will be gone: who waits for it waits for the next wake. */
void fleet_rest_and_wait(struct fleet *f, const char *server);
/* Who waits for it waits in vain. */
void fleet_refuse(struct fleet *f, const char *server, const struct err *why);
/* Another connection to a server that is awake, to cancel on. Never wakes, never counts as use. */
int fleet_connect(struct fleet *f, const char *server, int *ret_fd, struct err *e);

/* Sessions keep a server awake. False: the server is not known here, and nothing was counted. */
bool fleet_session_began(struct fleet *f, const char *server);
void fleet_session_ended(struct fleet *f, const char *server);

/* What the gate says: nobody has spoken for so long; somebody speaks, or has left, since then. */
void fleet_quiet(struct fleet *f, const char *server, uint64_t number, uint64_t ms);
void fleet_stirred(struct fleet *f, const char *server);
/* Let it nap now, if nobody speaks and nothing is at work in it. w is told when it does, or why
 * not. */
void fleet_nap(struct fleet *f, const char *server, struct fleet_waiter *w);

struct fleet_view {
    enum life_state state;
    uint32_t sessions, waiting;
    uint64_t since_ms;   /* when it came into this state */
    uint64_t lasted_ms;  /* the state before this one */
    const char *doing;   /* why it stays awake although nobody speaks; NULL: nothing is known */
    const char *failure; /* why the last wake failed; NULL if it did not */
    bool ephemeral;      /* what is in it is gone when it sleeps */
    const char *room;    /* how full it is and with what, if its users should know; or NULL */
    size_t place;        /* in the queue of those that are to start, from 1; 0: not in it */
};

/* What is true of a server now; one that is not known sleeps. */
struct fleet_view fleet_look(const struct fleet *f, const char *server);
/* Does it take connections, or would when it is thawed? */
bool fleet_runs(const struct fleet *f, const char *server);
size_t fleet_count(const struct fleet *f, enum life_state state);
typedef void (*fleet_each_fn)(void *owner, const struct fleet_view *view,
                              const struct engine_server *spec, const char *name);
/* Every server that is known here, in no order. */
void fleet_each(const struct fleet *f, fleet_each_fn fn, void *owner);
/* Bytes that all servers together may have; 0: no bound. */
uint64_t fleet_memory(const struct fleet *f);
/* How many sleeping servers may keep their volume mounted, from the next one that falls asleep. */
void fleet_set_mounted(struct fleet *f, size_t most);
void fleet_set_crowd(struct fleet *f, const struct fleet_crowd *crowd);
/* Memory, processors and processes from now on, limits and requests: of those that run as well. */
void fleet_set_sizes(struct fleet *f, const struct engine_server *sizes);
/* When servers nap and sleep from now on, as in struct fleet_want: those that run as well. */
void fleet_set_idle(struct fleet *f, uint64_t after_ms, uint64_t nap_ms, uint64_t connected_ms);
/* Everything to sleep; done is called when nothing has a process any more. */
void fleet_down(struct fleet *f, void (*done)(void *owner), void *owner);
/* Forget a server that is being removed, and give back what its volume holds: it must sleep. */
void fleet_forget(struct fleet *f, const char *server);
