/*
 * backup-create.h: making a backup: a snapshot of each volume, while servers run, then one child
 * that writes all to the target, then the snapshots go.
 */
#pragma once

#include "backup/backup.h"
#include "dormd/backups.h"
#include "store/store.h"

/* For a call: of the servers named by its keys "server", or of all. NULL: of all, by the clock. */
void backup_create(struct hub *h, struct call *c);
/* After the loop: forget. */
void backup_run_free(struct backup_run *r);

/* ---- for the files backup-*.c ---- */

struct backup_item {
    struct store_snapshot shot; /* .volume is what it is of */
    char server[STORE_NAME_SIZE], owner[STORE_LOGIN_SIZE];
    char claim[STORE_CLAIM_SIZE], component[STORE_LABEL_SIZE];
    uint64_t major;
    bool taken;
};

/* What the child tells us, in a page we share. */
struct backup_result {
    uint64_t bytes, images;
    int pruned;
};

struct backup_run {
    struct backup_job job;
    struct hub *hub;
    struct call *call; /* NULL: by the clock */
    bool all;
    char target[PATH_MAX], name[BACKUP_NAME_SIZE];
    int64_t created;
    struct backup_item *items; /* owned */
    size_t n, at;              /* at: whose snapshot is being taken */
    size_t left_out;           /* volumes that could not be had, and why the last could not */
    struct err why;
    struct backup_result *result; /* owned: a page */
};

/* In the child: the whole backup, named at the very end. */
int backup_write(struct backup_run *r, struct err *e);
/* To who asked, or into the log. */
void backup_tell(struct backup_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
