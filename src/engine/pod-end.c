/* The end of a pod: why it ended, and everything it leaves behind on the host. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "box/groups.h"
#include "patience.h"
#include "pod-int.h"
#include "repair.h"

enum { CLEAN_AGAIN_MS = 2, CLEAN_FAILED_MS = 1000, CLEAN_MS = 5000, SOON_MS = 10000 };

/* 1 while something in it still lives. */
int pod_clean(const struct local *l, const char *id, struct err *e)
{
    struct pod_dirs dirs;
    char fifo[PATH_ROOM];
    int left;

    left = box_groups_kill(l->groups, id, e);
    if (left < 0)
        return -1;
    if (left > 0)
        return 1;
    pod_dirs_of(&dirs, l, id, id);
    pod_sockets_unmount(&dirs);
    (void)unlink(dirs.notify);
    (void)snprintf(fifo, sizeof(fifo), "%s/log/%s", l->run_dir, id);
    (void)unlink(fifo);
    /* last: by the group a dormd that is started now finds what is still to be cleaned */
    return box_groups_remove(l->groups, id, e);
}

int pod_clean_now(const struct local *l, const char *id, struct err *e)
{
    uint64_t deadline = clock_ms() + CLEAN_MS;
    int left;

    while ((left = pod_clean(l, id, e)) == 1 && clock_ms() < deadline) {
        struct timespec pause = {.tv_nsec = CLEAN_AGAIN_MS * 1000000L};

        (void)nanosleep(&pause, NULL);
    }
    return left == 1 ? err_set(e, ERR_BUSY, "processes of pod \"%s\" cannot be killed", id) : left;
}

/* By itself, so soon that it is worth a word. */
static bool ended_at_once(const struct pod *p)
{
    return !p->told_to_end && loop_now(p->local->loop) - p->begun_ms < SOON_MS;
}

static void explain_end(struct pod *p)
{
    char line[200];
    enum err_kind kind;

    if (p->why.kind != ERR_NONE || (p->phase == POD_UP && !ended_at_once(p)))
        return;
    kind = pg_start_failure(p->log.tail, p->log.tail_len, line, sizeof(line));
    if (line[0] == '\0')
        return;
    if (strstr(line, "ready to accept connections") != NULL)
        (void)err_set(&p->why, kind, "the server ended without a word as soon as it was ready");
    else
        (void)err_set(&p->why, kind, "the server %s: %s",
                      p->phase == POD_UP ? "ended as soon as it was ready" : "did not start", line);
    (void)err_hint(&p->why, "dorm server logs %s", p->spec->login);
}

/* Twice as long each time: a process that cannot be killed must not keep us busy. */
static uint64_t clean_pause(struct pod *p, bool failed)
{
    uint64_t next = p->clean_ms == 0 ? CLEAN_AGAIN_MS : 2 * p->clean_ms;

    p->clean_ms = failed || next > CLEAN_FAILED_MS ? CLEAN_FAILED_MS : next;
    return p->clean_ms;
}

static void clean_again(struct loop_timer *t)
{
    struct pod *p = list_of(t, struct pod, again);
    struct engine *engine = &p->local->engine;
    char id[ID_SIZE];
    struct err e, why = p->why;
    int left = pod_clean(p->local, p->id, &e);

    if (left != 0) {
        /* what has been killed is on its way out; or a kernel file resists, and will be tried for
         * as long as it takes: a group with a process in it must not be forgotten */
        loop_timer_set(p->local->loop, &p->again,
                       loop_now(p->local->loop) + clean_pause(p, left < 0), clean_again);
        if (left < 0)
            log_err(NULL, LOG_ERROR_, &e);
        return;
    }
    if (repair_goes_on(p))
        return;
    memcpy(id, p->id, sizeof(id));
    why = p->why;
    if (p->repair != NULL && p->repair->emptied)
        engine->on_event(engine->owner, id, ENGINE_EMPTY, &why);
    pod_free(p);
    engine->on_event(engine->owner, id, ENGINE_ENDED, why.kind == ERR_NONE ? NULL : &why);
}

void pod_clean_soon(struct pod *p)
{
    loop_timer_set(p->local->loop, &p->again, 0, clean_again);
}

void pod_end(struct pod *p)
{
    struct local *l = p->local;

    if (p->phase == POD_ENDING)
        return;
    pod_log_drain(&p->log);
    explain_end(p);
    p->phase = POD_ENDING;
    if (p->work != NULL) {
        job_forget(p->work);
        job_kill(p->work);
        p->work = NULL;
    }
    patience_forget(p);
    pod_survey_forget(p);
    pod_memory_forget(p);
    pod_nap_forget(p);
    loop_io_stop(l->loop, &p->notify_io);
    loop_timer_set(l->loop, &p->again, 0, clean_again);
}

void pod_fail(struct pod *p, const struct err *e)
{
    if (p->why.kind == ERR_NONE)
        p->why = *e;
    p->told_to_end = true; /* for a reason of ours: another start would find the same */
    pod_end(p);
}
