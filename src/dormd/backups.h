/*
 * backups.h: what a hub does about backups while it runs: by the clock, one at a time, and ended in
 * time when the hub goes down. Everything that waits for a target is in a child.
 */
#pragma once

#include <limits.h>

#include "dormd/control.h"
#include "dormd/hub.h"
#include "engine/job.h"

/* A child of ours that is at work for a backup, or on one. */
struct backup_job {
    struct list node; /* list_init()ed by its owner */
    struct job *job;
};

struct backup_run;

struct backups {
    struct hub *hub;
    struct loop_timer clock;
    struct list jobs;
    struct backup_run *run; /* owned; the backup that is being made */
};

enum {
    BACKUP_LIMIT_MS = 24 * 3600 * 1000,
};

#define BACKUP_RECORD "record.db.backup" /* the record as of one moment, in the state directory */

/* Begins with removing what a backup that was killed has left. */
struct backups *backups_new(struct hub *h);
void backups_free(struct backups *b);
/* Whatever is under way ends without a result. Turns the loop. */
void backups_stop(struct hub *h);

/* Start a child that is known to backups_stop(); done must call backups_job_over() first. */
int backups_job(struct hub *h, struct backup_job *j, const struct job_spec *spec, struct err *e);
void backups_job_over(struct backup_job *j);

/* The directory meant by the key "target", or the hub file's. */
int backups_target(const struct call *c, char at[PATH_MAX], struct err *e);

enum backups_state { BACKUPS_NONE, BACKUPS_GOOD, BACKUPS_LATE, BACKUPS_FAILED };
/* How it stands, in words. NONE: none was made, and none is asked for. */
enum backups_state backups_look(struct hub *h, char text[512]);
