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

/* A volume of a server. */
struct engine_disk {
    const char *volume; /* id */
    const char *class;  /* "" where path says it all */
    const char *path;   /* of a static volume: a directory of the host; else NULL */
    const char *mount;  /* inside the pod; NULL: the server's data, which is the first disk */
    uint64_t capacity;  /* bytes */
    bool read_only;
    bool shared; /* other servers may have it at the same time */
    bool kept;   /* it holds what an earlier wake left: missing, it is not made anew */
};

enum { ENGINE_DISKS_MAX = 17 };

/* Everything an engine must know to run a server; start() keeps a copy. */
struct engine_server {
    const char *id;
    const char *login;     /* the name of the user inside the pod */
    const char *superuser; /* the name of the first role and database */
    bool named;            /* the superuser has been made on an earlier wake */
    bool mend;             /* its owner could not log in: find out why first, and put it right */
    bool ephemeral;        /* every start is from the template; nothing is kept after an end */
    uint32_t major;        /* of PostgreSQL */
    uid_t uid;             /* on the host */
    uint64_t memory;       /* bytes */
    uint32_t cpu_milli, pids;
    uint64_t request_memory;    /* what it is counted with while it uses less */
    uint32_t request_cpu_milli; /* its share when all want the processors */
    const struct engine_disk *disks;
    size_t disks_n;
    const char *const *parameters; /* name, value, name, value, ... from the hub file */
    size_t parameters_n;           /* texts, so twice the number of settings */
};

/* A copy that depends on nothing of the original; released by free(). */
struct engine_server *engine_server_copy(const struct engine_server *from);

enum engine_event {
    ENGINE_READY, /* it takes connections; it is named now; why, which may be NULL, is what was
                     mended for that, for who comes in */
    ENGINE_ENDED, /* its last process is gone and nothing but its volumes is left; why may be NULL
                   */
    ENGINE_ROOM,  /* its data volume is nearly full, and why says how and with what; NULL: it is
                     not any more */
    ENGINE_EVICT, /* it must sleep now, or it hurts others: why says so to its users */
    ENGINE_TOLD,  /* it runs on; why is something that its users should be told at once */
    ENGINE_SLOW,  /* it is not ready yet and works on it: why is for who waits */
    ENGINE_EMPTY, /* its data directory is empty: it cannot start before it is made anew; ENDED
                     follows */
};

typedef void (*engine_event_fn)(void *owner, const char *server, enum engine_event event,
                                const struct err *why);
typedef void (*engine_found_fn)(void *owner, const char *server);
/* e is NULL on success. */
typedef void (*engine_done_fn)(void *owner, const char *what, const struct err *e);

struct engine_usage {
    uint64_t memory, memory_peak, cpu_us, oom_kills;
    uint64_t held; /* of memory: what only an end would give back; UINT64_MAX: not known */
    uint32_t processes;
};

/* What goes on in a server that nobody speaks to. */
struct engine_doing {
    bool busy;  /* a statement, a transaction, a replica, a backup, a program: it must not sleep */
    bool timed; /* something in it counts time: it must not nap, for it would wake up late */
    char what[96]; /* the first of it, in words; "" if nothing */
};
/* e is NULL on success. */
typedef void (*engine_look_fn)(void *owner, const struct engine_doing *doing, const struct err *e);

/* How full the volumes of a server were when they were last looked at. */
struct engine_room {
    uint64_t total, free; /* bytes of the data volume; total 0: not known */
    uint64_t files, files_free;
    bool held; /* it may not grow, for the sake of others */
};

/* What is done to a volume beside running a server on it. */
enum engine_task_what {
    ENGINE_RELEASE,  /* give back what a sleeping server's volumes hold of the machine */
    ENGINE_DESTROY,  /* the volume, for good */
    ENGINE_SNAPSHOT, /* as snapshot; its server may run */
    ENGINE_FORGET,   /* the snapshot, for good */
    ENGINE_REPLACE,  /* by the snapshot from, or by nothing (NULL); what it was becomes snapshot */
    ENGINE_GROW,     /* to capacity; its server may run where the machine can do that */
    ENGINE_MOVE,     /* to another class */
    ENGINE_TRIM,     /* give its class back what was freed in it; its server may run */
};

struct engine_task {
    enum engine_task_what what;
    const char *server; /* "" where the volume is nobody's */
    const char *volume, *class;
    uid_t uid;            /* of the server */
    const char *snapshot; /* id */
    const char *from, *from_class;
    const char *to_class;
    uint64_t capacity;
    uint64_t unless; /* SNAPSHOT: only when the mark of the data is another; 0: in any case */
};

struct engine_outcome {
    uint64_t extents, took_us; /* of a snapshot */
    uint64_t mark;             /* of the data that are in it: the same while nothing is written */
    bool unchanged;            /* the mark was that of `unless`: nothing was done */
    bool later;                /* GROW: takes effect at the next wake */
};
/* e is NULL on success. */
typedef void (*engine_task_fn)(void *owner, const struct engine_outcome *outcome,
                               const struct err *e);

struct engine_ops {
    /* Make the pod, and the volume if it does not exist yet. Then READY, or ENDED with the reason.
     */
    int (*start)(struct engine *, const struct engine_server *, struct err *e);
    /* The same server, found running: READY as soon as it takes connections. */
    int (*ask)(struct engine *, const struct engine_server *, struct err *e);
    int (*stop)(struct engine *, const char *server, struct err *e); /* cleanly */
    int (*kill)(struct engine *, const char *server, struct err *e); /* every process, at once */
    /* No process of it runs until the thaw; what is connected to it stays. Done on return. stop()
     * and kill() thaw by themselves. */
    int (*freeze)(struct engine *, const char *server, struct err *e);
    int (*thaw)(struct engine *, const char *server, struct err *e);
    /* Find out what goes on in a server that is READY and not frozen. */
    int (*look)(struct engine *, const char *server, engine_look_fn done, void *owner,
                struct err *e);
    /* A new connection to a server that is READY, proven to end at this server and no other. */
    int (*connect)(struct engine *, const char *server, int *ret_fd, struct err *e);
    /*
     * Work on a volume. All but SNAPSHOT, FORGET, GROW and TRIM want its server asleep, and a start
     * that comes meanwhile waits for the end of it. Repeating one that was killed anywhere finishes
     * it.
     */
    int (*work)(struct engine *, const struct engine_task *, engine_task_fn, void *owner,
                struct err *e);
    /* Prepare what the first start of such a server needs, so that nobody waits for it later. */
    int (*prepare)(struct engine *, const struct engine_server *, engine_done_fn, void *owner,
                   struct err *e);
    /* Name every server that has a process; clean up after those that have none any more. */
    int (*observe)(struct engine *, engine_found_fn, void *owner, struct err *e);
    /* server NULL: of all of them together. */
    int (*usage)(struct engine *, const char *server, struct engine_usage *ret, struct err *e);
    /* Other sizes and shares for one that runs; what else spec says waits for the next start. */
    int (*limit)(struct engine *, const struct engine_server *spec, struct err *e);
    void (*room)(struct engine *, const char *server, struct engine_room *ret);
    /* Forget; running servers run on. */
    void (*free)(struct engine *);
};

/* The first member of every implementation. */
struct engine {
    const struct engine_ops *ops;
    engine_event_fn on_event;
    void *owner;
};
