/* door-int.h: sessions and the gates they are in; for door*.c and gates.c alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/map.h"
#include "dormd/door.h"
#include "dormd/listen.h"
#include "ipc/conn.h"
#include "loop/loop.h"

/* A process of dorm-gate. One accepts; those that have retired keep the sessions they have. */
struct gate {
    struct list node;
    struct door *door;
    unsigned number;         /* used once: sessions of two gates may have the same number */
    struct ipc_conn conn;    /* .fd is -1 while it is not connected */
    struct loop_child child; /* also of one that an earlier dormd started */
    bool ours;               /* we started it */
    bool greeted, retired, drained;
    uint64_t promised; /* listeners it has still to bring */
    ino_t has[LISTENERS_MAX];
    size_t has_n;
};

struct door {
    struct hub *hub;
    struct listener listeners[LISTENERS_MAX];
    size_t listeners_n;
    struct loop_io knock;
    int knock_fd; /* owned: where a gate connects to us */
    struct list gates;
    unsigned gates_made;
    bool patient; /* a gate of an earlier dormd may still bring listeners */
    struct loop_timer timer;
    struct list asks; /* door-quiet.c */
    struct map sessions;
    struct loop_timer replace_timer;
    void (*replaced)(void *owner, const struct err *e); /* not NULL: a gate is being replaced */
    void *replace_owner;
    unsigned retiring; /* number of the one that was told to; 0: none yet */
    bool closing;
    void (*closed)(void *owner); /* called once, when it is closed */
    void *owner;
};

/* ---- gates.c ---- */

int gates_open(struct door *d, struct err *e);
void gates_free(struct door *d);
/* The one that accepts, or is about to; NULL: there is none. */
struct gate *gates_acceptor(const struct door *d);
void gates_on_hello(struct gate *g, const struct ipc_msg *m);
void gates_on_listener(struct gate *g, const struct ipc_msg *m, int *fd);
void gates_on_retired(struct gate *g);
void gates_on_stray(struct gate *g, int fd);
/* Tell all to end; d->closed is called when they have, or a little later by force. */
void gates_close(struct door *d);

/* ---- door.c ---- */

void door_on_message(struct ipc_conn *c, const struct ipc_msg *m, int *fd);
void door_forget_sessions(struct gate *g);

/* ---- door-quiet.c: several gates are asked, one answer comes ---- */

void door_quiet_said(struct gate *g, const char *server, uint64_t number, uint64_t ms);
/* It is not going to answer any more. */
void door_quiet_lost(struct gate *g);
void door_quiet_done(struct door *d);
