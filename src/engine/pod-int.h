/* pod-int.h: a pod, for the files pod*.c alone. */
#pragma once

#include "box/groups.h"
#include "local-int.h"
#include "pg/pg.h"

enum phase {
    POD_PREPARING, /* its template is being built, or its volume is being detached */
    POD_STARTING,  /* from the fork to READY=1 */
    POD_NAMING,    /* ready, but its owner has no role in it yet */
    POD_UP,
    POD_ENDING /* its first process is gone: until nothing of it is left */
};

struct pod {
    struct local *local;
    enum phase phase;
    char id[ID_SIZE], volume[ID_SIZE];
    char login[PG_NAME_MAX + 1], superuser[PG_NAME_MAX + 1], template_name[NAME_ROOM];
    bool named;
    uid_t uid;
    struct box_limits limits;
    struct pg_server server;
    struct pg_param *params; /* owned, and so are their texts */
    const struct local_pool *pool;
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
};

struct pod *pod_new(struct local *l, const struct engine_server *spec, struct err *e);
void pod_free(struct pod *p);
/* It takes connections, and its owner has a name in it. */
void pod_up(struct pod *p);
/* In a child: a connection to it, or -1. */
int pod_dial(const struct pod *p, struct err *e);
/* In a child: the first words with a new server. */
int pod_name_owner(void *pod, struct err *e);
/* Clean up behind it; ENDED follows in a later turn. */
void pod_end(struct pod *p);
/* The same, with the reason, unless a better one is known. */
void pod_fail(struct pod *p, const struct err *e);
