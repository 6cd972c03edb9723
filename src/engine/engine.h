/*
 * engine.h: where servers really run. Nothing above it knows of loop devices, cgroups or
 * Kubernetes.
 *
 * Operations are asynchronous and idempotent and name a server by its id. An operation that is
 * accepted (0) ends in an event; one that is refused (-1) has changed nothing and gives no event.
 * Events never come from inside an operation, always from a later turn of the loop; a done callback
 * may come from either.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/rand.h"

struct engine;

/* Everything an engine must know to run a server; texts are copied by start(). */
struct engine_server {
    const char *id, *volume;   /* ids */
    const char *login;         /* the name of the user inside the pod */
    const char *superuser;     /* the name of the first role and database */
    const char *class;         /* storage class of the volume */
    bool named;                /* the superuser has been made on an earlier wake */
    uint32_t major;            /* of PostgreSQL */
    uid_t uid;                 /* on the host */
    uint64_t capacity, memory; /* bytes */
    uint32_t cpu_milli, pids;
    const char *const *parameters; /* name, value, name, value, ... from the hub file */
    size_t parameters_n;           /* texts, so twice the number of settings */
};

enum engine_event {
    ENGINE_READY, /* it takes connections; it is named now */
    ENGINE_ENDED, /* its last process is gone and nothing but its volume is left; why may be NULL */
};

typedef void (*engine_event_fn)(void *owner, const char *server, enum engine_event event,
                                const struct err *why);
typedef void (*engine_found_fn)(void *owner, const char *server);
/* e is NULL on success. */
typedef void (*engine_done_fn)(void *owner, const char *what, const struct err *e);

struct engine_usage {
    uint64_t memory, memory_peak, cpu_us, oom_kills;
    uint32_t processes;
};

struct engine_ops {
    /* Make the pod, and the volume if it does not exist yet. Then READY, or ENDED with the reason.
     */
    int (*start)(struct engine *, const struct engine_server *, struct err *e);
    /* The same server, found running: READY as soon as it takes connections. */
    int (*ask)(struct engine *, const struct engine_server *, struct err *e);
    int (*stop)(struct engine *, const char *server, struct err *e); /* cleanly */
    int (*kill)(struct engine *, const char *server, struct err *e); /* every process, at once */
    /* A new connection to a server that is READY, proven to end at this server and no other. */
    int (*connect)(struct engine *, const char *server, int *ret_fd, struct err *e);
    /* Give back what a sleeping server's volume still holds of the machine (mount, loop device). */
    int (*release)(struct engine *, const char *volume, engine_done_fn, void *owner, struct err *e);
    /* Remove a volume for good. */
    int (*destroy)(struct engine *, const char *volume, const char *class, engine_done_fn,
                   void *owner, struct err *e);
    /* Prepare what the first start of such a server needs, so that nobody waits for it later. */
    int (*prepare)(struct engine *, const struct engine_server *, engine_done_fn, void *owner,
                   struct err *e);
    /* Name every server that has a process; clean up after those that have none any more. */
    int (*observe)(struct engine *, engine_found_fn, void *owner, struct err *e);
    int (*usage)(struct engine *, const char *server, struct engine_usage *ret, struct err *e);
    /* Forget; running servers run on. */
    void (*free)(struct engine *);
};

/* The first member of every implementation. */
struct engine {
    const struct engine_ops *ops;
    engine_event_fn on_event;
    void *owner;
};
