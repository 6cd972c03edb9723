/* pod-int.h: a pod, for the files pod*.c alone. */
#pragma once

#include "box/groups.h"
#include "local-int.h"
#include "pg/pg.h"

enum phase {
    POD_PREPARING, /* its template is being built, or its volume is being detached */
    POD_STARTING,  /* from the fork to READY=1 */
    POD_SURVEYING, /* ready, but so full that its owner is to be told with what, first */
    POD_NAMING,    /* ready, but its owner has no role in it yet */
    POD_UP,
    POD_ENDING /* its first process is gone: until nothing of it is left */
};

/* What the watch knows of a disk that is an image; watch.c. */
struct pod_disk {
    uint64_t taken, grew; /* bytes it has in its pool; how many of them came in the last looks */
    uint64_t trimmed_ms;
    bool held, busy; /* it may not grow; a job is at work on that, or trims it */
    bool again;      /* shared, and counted with another pod */
};

struct pod {
    struct local *local;
    enum phase phase;
    struct engine_server *spec; /* owned */
    const char *id;             /* of the server: spec's */
    char template_name[NAME_ROOM];
    bool named;
    uid_t uid;
    struct box_limits limits;
    struct pg_server server;
    struct pg_param *params;                            /* owned; its texts are spec's */
    const struct local_place *places[ENGINE_DISKS_MAX]; /* of each disk; NULL of static ones */
    struct pod_dirs dirs;
    struct pod_log log;
    int stderr_fd; /* owned, until the launch */
    struct loop_io notify_io;
    int notify_fd; /* owned */
    struct job *launch, *work;
    /* its process 1 and its postmaster, when it was found, not started, by us */
    struct loop_child init, payload;
    struct loop_timer again;
    uint64_t clean_ms; /* the last pause between two attempts to clean up */
    struct err why;    /* why it ended, or is to end; kind NONE if nobody knows better */
    struct engine_room room;
    struct survey *survey; /* owned; room.c */
    bool told_full;
    struct pod_disk disks[ENGINE_DISKS_MAX];
    bool evicted; /* it was told to sleep */
    /* repair.c */
    struct repair *repair; /* owned: a page that the child shares with us */
    unsigned tries;        /* starts of this wake that have failed */
    struct err first;      /* why the first of them did */
    bool started, was_up, told_to_end;
    /* patience.c */
    struct loop_timer patience;
    uint64_t begun_ms, moved_ms, told_ms, used_us;
    bool stopping;
    struct pod_memory *memory; /* owned; memory.c; NULL before it is up */
    bool frozen;
    struct looking *looking; /* owned; nap.c */
    struct job *reclaim;     /* its memory is being taken back, while it is frozen */
};

/* limit.c: what the kernel is told. */
struct box_limits pod_limits(const struct engine_server *spec);
struct pod *pod_new(struct local *l, const struct engine_server *spec, struct err *e);
void pod_free(struct pod *p);
/* Find the storage class of each disk. */
int pod_places(struct pod *p, struct err *e);
/* The next start of it; -1 when it could not even begin. */
int pod_start_now(struct pod *p, struct err *e);
/* It takes connections, and its owner has a name in it. */
void pod_up(struct pod *p);
/* In a child: a connection to it, or -1. */
int pod_dial(const struct pod *p, struct err *e);
/* In a child: the first words with a new server. */
int pod_name_owner(void *pod, struct err *e);
/* Clean up behind it; ENDED follows in a later turn. */
void pod_end(struct pod *p);
/* It has ended; what was done beside has ended, too. */
void pod_clean_soon(struct pod *p);
/* The same, with the reason, unless a better one is known. */
void pod_fail(struct pod *p, const struct err *e);

/* ---- nap.c ---- */

/* It ends: whoever looks is told, and nothing goes on beside it. */
void pod_nap_forget(struct pod *p);

/* ---- watch.c ---- */

/* Find out which of its disks were held when it was not known to us. */
void pod_hold_look(struct pod *p);

/* ---- room.c: how full the data of a pod is, and with what ---- */

/* Look, in the loop: what it asks of the kernel needs no disk. False: not known. */
bool pod_room_look(struct pod *p);
/* Is it so full that its users should know? */
bool pod_room_short(const struct pod *p);
/* Find out with what, and tell; then, unless NULL, after(p). */
void pod_survey(struct pod *p, void (*after)(struct pod *p));
/* The watch has looked again. */
void pod_room_changed(struct pod *p);
void pod_survey_forget(struct pod *p);

/* ---- memory.c: its greatest query is stopped before the kernel kills ---- */

/* From now on, until it is forgotten. */
void pod_memory_watch(struct pod *p);
void pod_memory_forget(struct pod *p);
/* Its limit may have changed. */
void pod_memory_limited(struct pod *p);
