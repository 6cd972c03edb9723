#include "backups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/backup-create.h"
#include "dormd/keeper.h"
#include "store/store.h"

enum {
    FIRST_LOOK_MS = 500,
    MINUTE_MS = 60000,
    LATE_S = 2 * 24 * 3600,
};

/* ---- children ---- */

int backups_job(struct hub *h, struct backup_job *j, const struct job_spec *spec, struct err *e)
{
    j->job = job_start(spec, e);
    if (j->job == NULL)
        return -1;
    list_append(&h->backups->jobs, &j->node);
    return 0;
}

void backups_job_over(struct backup_job *j)
{
    list_remove(&j->node);
    j->job = NULL;
}

void backups_stop(struct hub *h)
{
    struct err e;

    if (h->backups == NULL)
        return;
    loop_timer_stop(h->loop, &h->backups->clock);
    list_each (&h->backups->jobs, node)
        job_kill(list_of(node, struct backup_job, node)->job);
    while (!list_empty(&h->backups->jobs))
        if (loop_run_once(h->loop, &e) < 0)
            return;
}

/* ---- where ---- */

int backups_target(const struct call *c, char at[PATH_MAX], struct err *e)
{
    const char *target = call_arg(c, "target");

    if (target == NULL)
        target = c->hub->conf->backup.target;
    if (target[0] == '\0') {
        (void)err_set(e, ERR_CONFIG, "nobody has said where backups are");
        return err_hint(e, "backup: {target: /a/directory} in the hub file, or --to, --from");
    }
    if (target[0] != '/' || !str_copy(at, PATH_MAX, target))
        return err_set(e, ERR_INPUT, "the target of backups is not an absolute path");
    return 0;
}

/* ---- by the clock ---- */

static int64_t number_of(struct hub *h, const char *key)
{
    char text[32];
    uint64_t n;
    struct err e;

    return store_setting_get(h->store, key, text, sizeof(text), &e) == 1 && str_u64(text, &n)
               ? (int64_t)n
               : 0;
}

/* The last time at or before now at which a backup was due. */
static int64_t last_due(int64_t now, int minute)
{
    time_t t = (time_t)now;
    struct tm day, due;
    time_t at = 0;

    (void)localtime_r(&t, &day);
    for (int back = 0; back < 3; back++) {
        due = day;
        due.tm_mday -= back;
        due.tm_hour = minute / 60;
        due.tm_min = minute % 60;
        due.tm_sec = 0;
        due.tm_isdst = -1; /* whatever holds on that day, at that hour */
        at = mktime(&due);
        if (at <= t)
            break;
    }
    return (int64_t)at;
}

static int note_try(struct hub *h, int64_t now, struct err *e)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%lld", (long long)now);
    return store_setting_set(h->store, "backup.last_try", text, e);
}

static bool is_due(struct hub *h, struct err *e)
{
    int64_t now = clock_unix(), tried = number_of(h, "backup.last_try");

    /* a machine without a clock of its own jumps by years when it hears the time */
    if (now < CLOCK_LEAST)
        return false;
    if (tried == 0 || tried > now) { /* a schedule that is new begins with its next time */
        if (note_try(h, now, e) < 0)
            log_err(NULL, LOG_WARN_, e);
        return false;
    }
    return tried < last_due(now, h->conf->backup.minute);
}

static void tick(struct loop_timer *t)
{
    struct backups *b = list_of(t, struct backups, clock);
    struct hub *h = b->hub;
    struct err e;

    loop_timer_set(h->loop, t, loop_now(h->loop) + MINUTE_MS, tick);
    if (h->conf->backup.minute < 0 || h->conf->backup.target[0] == '\0' || b->run != NULL ||
        h->going_down || !is_due(h, &e))
        return;
    if (note_try(h, clock_unix(), &e) < 0) /* or it would be tried each minute */
        log_err(NULL, LOG_WARN_, &e);
    else
        backup_create(h, NULL);
}

/* ---- how it stands ---- */

enum backups_state backups_look(struct hub *h, char text[512])
{
    char where[STORE_VALUE_SIZE] = "", error[STORE_VALUE_SIZE] = "", when[WHEN_SIZE];
    int64_t good = number_of(h, "backup.last_good");
    int64_t since = good != 0 ? good : number_of(h, "backup.last_try");
    bool scheduled = h->conf->backup.minute >= 0 && h->conf->backup.target[0] != '\0';
    bool late = scheduled && since != 0 && since + LATE_S < clock_unix();
    size_t at;
    struct err e;

    (void)store_setting_get(h->store, "backup.last_place", where, sizeof(where), &e);
    (void)store_setting_get(h->store, "backup.last_error", error, sizeof(error), &e);
    if (good == 0)
        (void)snprintf(text, 512, "none yet%s",
                       scheduled ? "" : " (dorm backup create --all, backup: in the hub file)");
    else
        (void)snprintf(text, 512, "last good %s UTC, to %.220s", when_minute(when, good), where);
    at = strlen(text);
    if (error[0] != '\0')
        (void)snprintf(text + at, 512 - at, "; the last one FAILED: %.160s", error);
    else if (late)
        (void)snprintf(text + at, 512 - at, "; LATE: that is more than two days ago");
    if (error[0] != '\0')
        return BACKUPS_FAILED;
    return late ? BACKUPS_LATE : good == 0 && !scheduled ? BACKUPS_NONE : BACKUPS_GOOD;
}

/* ---- birth and death ---- */

/* Snapshots by hand are kept until they are deleted; only those of a backup have an end. */
static int drop_left(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                     struct err *e)
{
    (void)v, (void)e;
    if (s->why == STORE_BY_HAND && s->keep_until != 0)
        keeper_drop(arg, s);
    return 0;
}

struct backups *backups_new(struct hub *h)
{
    struct backups *b = mem_new(sizeof(*b));
    struct err e;

    *b = (struct backups){.hub = h};
    list_init(&b->jobs);
    (void)unlinkat(h->state_fd, BACKUP_RECORD, 0);
    (void)unlinkat(h->state_fd, BACKUP_RECORD ".part", 0);
    if (store_snapshots(h->store, NULL, drop_left, h, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    loop_timer_set(h->loop, &b->clock, loop_now(h->loop) + FIRST_LOOK_MS, tick);
    return b;
}

void backups_free(struct backups *b)
{
    if (b == NULL)
        return;
    loop_timer_stop(b->hub->loop, &b->clock);
    backup_run_free(b->run);
    free(b);
}
