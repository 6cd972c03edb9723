/* fleet-int.h: what the files of the fleet share. */
#pragma once

#include "base/log.h"
#include "drowse.h"
#include "fleet.h"

struct fleet_server {
    struct fleet *fleet;
    struct engine_server *spec; /* owned */
    char *name;                 /* owned */
    char id[ID_SIZE];
    struct life life;
    struct log log, log_name;
    struct loop_timer deadline, retry;
    struct drowse drowse;
    struct list waiters, stoppers;
    struct list resting; /* in fleet.resting while it sleeps and its volume may be mounted */
    struct list queued;  /* in fleet.queue while it sleeps, is wanted and has to wait */
    uint64_t queued_ms, said_ms;
    size_t said_place; /* 0: nothing has been said of its place */
    size_t numbered;   /* its place when fleet_number() went through the queue; 0: nobody waits */
    uint64_t held;     /* bytes that only its end gives back, when last looked at */
    struct fleet_waiter giver; /* it is to nap, and then to sleep, for others wait for its memory */
    uint64_t asked_ms;         /* when it was last asked for that; 0: never */
    uint32_t sessions;
    uint64_t after_ms, since_ms, lasted_ms;
    uint64_t nap_ms, connected_ms; /* UINT64_MAX: never */
    struct err failure;            /* of the last wake; kind NONE if it did not fail */
    char *room;                    /* owned: how full it is, for its users; NULL: there is room */
    bool fresh;                    /* spec is what the record says just now */
    bool mend;                     /* at its next start it is looked after; fleet-mend.c */
    uint64_t mended_ms;            /* when that was last wished; 0: never */
    uint64_t slow_ms;              /* so long it may take to wake, for it works; 0: as any */
};

/* Lives as long as somebody holds the server. */
struct hold {
    char id[ID_SIZE];
    unsigned n;
};

/* Why the first in the queue does not start. */
enum fleet_short {
    FLEET_SHORT_NOTHING,
    FLEET_SHORT_TURN,
    FLEET_SHORT_MEMORY,
    FLEET_SHORT_MACHINE,
};

struct fleet {
    struct loop *loop;
    struct engine *engine; /* borrowed */
    struct fleet_hooks hooks;
    struct map servers;  /* by id */
    struct map holds;    /* struct hold by server id */
    struct list resting; /* longest asleep first */
    size_t resting_n, resting_most;
    struct list queue; /* of servers; who came first starts first */
    struct fleet_crowd crowd;
    enum fleet_short short_of;
    uint64_t looked_ms; /* at the memory of each */
    bool admitting, admit_again;
    struct loop_timer admit_timer;
    uint64_t questions;        /* how many the gate has been asked */
    bool going_down;           /* for good: nobody is let in any more */
    void (*down)(void *owner); /* called once, when nothing has a process any more */
    void *down_owner;
};

/* fleet.c, for the others: an event of its life, and the levels behind it. */
void fleet_step(struct fleet_server *s, enum life_event event);
void fleet_look_again(struct fleet_server *s);
/* Its volume stays as it is, and it is known, until it falls asleep or is looked at again. */
void fleet_unrest(struct fleet_server *s);

/* ---- fleet-mend.c ---- */

/* It is about to start. */
void fleet_mend_taken(struct fleet_server *s);
/* ENGINE_SLOW */
void fleet_slow(struct fleet_server *s, const struct err *why);
/* The deadline of its state has passed: true when it is given more time. */
bool fleet_still_works(struct fleet_server *s, loop_timer_fn late);

/* ---- fleet-admit.c: who may start now ---- */

bool fleet_is_held(const struct fleet *f, const char *server);

/* It sleeps and is wanted: it starts, at once or when its turn has come. */
void fleet_queue(struct fleet_server *s);
/* Something has ended, or may have: let in whom there is room for. */
void fleet_admit(struct fleet *f);
size_t fleet_place(const struct fleet_server *s);
void fleet_number(const struct fleet *f);
/* Frozen, with its clients connected: it can be put to sleep when others need the memory. */
bool fleet_drowsy(const struct fleet_server *s);
