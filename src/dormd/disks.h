/*
 * disks.h: which volumes a server has: what the hub file asks for, held against what the record
 * knows. Volumes are rows first and disks later, at the first wake that wants them.
 */
#pragma once

#include "base/err.h"
#include "dormd/hub.h"
#include "engine/engine.h"
#include "store/store.h"

struct conf;

struct disks {
    struct engine_disk at[ENGINE_DISKS_MAX];
    size_t n;
    struct disks_row { /* what the texts above point into */
        struct store_disk disk;
        struct store_volume volume;
    } * rows; /* owned */
};

/*
 * The disks of a server as they are to be at its next wake; what the hub file has added since is
 * added to the record, what is gone from it is detached and kept.
 */
int disks_of(struct hub *h, const struct store_account *a, struct disks *ret, struct err *e);
void disks_done(struct disks *d);

/* Static volumes of the hub file become rows; what no longer stands there is reported. */
int disks_sync_static(struct hub *h, struct err *e);
/* For a new server: the id of the static volume its data is to be on into ret; "" for a new one. */
int disks_choose_data(struct hub *h, const char *claim, char ret[ID_SIZE], struct err *e);

/* What a new hub file would change about volumes that exist, and cannot: one sentence each, of what
 * differs from the present file alone. */
typedef void (*disks_remark_fn)(void *arg, const char *text);
int disks_compare(struct hub *h, const struct conf *now, disks_remark_fn fn, void *arg,
                  struct err *e);
