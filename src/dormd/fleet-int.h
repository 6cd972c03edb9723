/* fleet-int.h: what the files of the fleet share. */
#pragma once

#include "base/log.h"
#include "fleet.h"

struct fleet_server {
    struct fleet *fleet;
    struct engine_server *spec; /* owned */
    char *name;                 /* owned */
    char id[ID_SIZE];
    struct life life;
    struct log log, log_name;
    struct loop_timer deadline, idle, retry;
    struct list waiters, stoppers;
    struct list resting; /* in fleet.resting while it sleeps and its volume may be mounted */
    uint32_t sessions;
    uint64_t after_ms, since_ms;
    struct err failure; /* of the last wake; kind NONE if it did not fail */
    char *room;         /* owned: how full it is, for its users; NULL: there is room */
    bool fresh;         /* spec is what the record says just now */
};

/* Lives as long as somebody holds the server. */
struct hold {
    char id[ID_SIZE];
    unsigned n;
};

struct fleet {
    struct loop *loop;
    struct engine *engine; /* borrowed */
    struct fleet_hooks hooks;
    struct map servers;  /* by id */
    struct map holds;    /* struct hold by server id */
    struct list resting; /* longest asleep first */
    size_t resting_n, resting_most;
    bool going_down;           /* for good: nobody is let in any more */
    void (*down)(void *owner); /* called once, when nothing has a process any more */
    void *down_owner;
};
