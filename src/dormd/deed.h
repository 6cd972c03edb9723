/*
 * deed.h: what is done to a volume that matters enough to be undone: reset, restore, resize, move,
 * delete. Each puts the server to sleep if it must, records what it is about to do, does it, and
 * tells the line that undoes it.
 */
#pragma once

#include "dormd/control.h"
#include "store/store.h"

/* The subject of a call. a.server.id is "" when the volume is nobody's. */
struct deed {
    struct call *call;
    struct hub *hub;
    struct store_account a;
    struct store_volume v;
    struct store_snapshot kept; /* what it was before */
    struct store_undo undo;
    char from[ID_SIZE], from_class[STORE_CLAIM_SIZE]; /* "": nothing, the template */
    char to_class[STORE_CLAIM_SIZE];
    uint64_t capacity; /* it is to have; 0: as it is */
    void (*act)(struct deed *d);
    bool holding; /* nobody wakes the server meanwhile */
};

/* A deed for this call, which it belongs to from now on. */
struct deed *deed_new(struct call *c, const struct store_volume *v, struct err *e);

/* Each answers the call. */
void deed_reset(struct deed *d);
void deed_restore(struct deed *d, const struct store_snapshot *from);
void deed_resize(struct deed *d, uint64_t capacity);
void deed_move(struct deed *d, const char *class);
void deed_delete(struct deed *d);
/* One of many, not the data of a server: says so, without ending the call. */
int deed_delete_row(struct call *c, const struct store_volume *v, struct err *e);
/* Undo the one of this number. */
void deed_undo(struct call *c, const struct store_undo *u);

/* Go on with what an earlier dormd was killed in. */
void deed_resume(struct hub *h);
/* Copies that finished moves have left behind, if they could not be removed at once. */
void deed_drop_leftovers(struct hub *h);
