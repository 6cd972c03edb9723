#include "patience.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups.h"
#include "box/look.h"

enum {
    LOOK_MS = 1000,
    TELL_MS = 10000,      /* slower than this is worth a word */
    STUCK_MS = 20000,     /* without having used the processor */
    LEAST_US = 2000,      /* in a look; a process that only waits uses less */
    MOST_MS = 30 * 60000, /* then the deadline of a wake holds after all */
    /*
     * The checkpoint of a stop writes at most shared_buffers, 128 MiB: 20 s is 6 MiB a second. Then
     * PostgreSQL itself kills what does not obey SIGQUIT within 5 s.
     */
    CONT_MS = 3000,
    QUIT_MS = 20000,
    KILL_MS = 26000,
    PIDS_MOST = 1024,
};

/* ---- a slow start ---- */

static bool in_tail(const struct pod *p, const char *word)
{
    return memmem(p->log.tail, p->log.tail_len, word, strlen(word)) != NULL;
}

static void tell_slow(struct pod *p, uint64_t since)
{
    struct engine *engine = &p->local->engine;
    bool recovers = in_tail(p, "redo in progress") || in_tail(p, "redo starts at") ||
                    in_tail(p, "automatic recovery in progress") ||
                    in_tail(p, "was not properly shut down");
    struct err what;
    char waited[16];

    (void)err_set(&what, ERR_BUSY, "your server %s, for %s so far; nothing is lost",
                  recovers ? "recovers what was written before it ended last" : "is still starting",
                  str_duration(waited, sizeof(waited), since));
    (void)err_hint(&what, "Wait, or try again in a minute: it goes on meanwhile.");
    engine->on_event(engine->owner, p->id, ENGINE_SLOW, &what);
}

static void give_up(struct pod *p)
{
    struct err e;

    p->why = (struct err){0};
    (void)err_set(&p->why, ERR_INTERNAL,
                  "the server did not start: it did nothing for %d s, waiting for something",
                  STUCK_MS / 1000);
    (void)err_hint(&p->why, "dorm server logs %s", p->spec->login);
    p->started = p->launch != NULL; /* by us: then it may be tried otherwise */
    if (p->launch != NULL)
        job_kill(p->launch);
    if (box_groups_kill(p->local->groups, p->id, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    pod_end(p);
}

static void look(struct loop_timer *t)
{
    struct pod *p = list_of(t, struct pod, patience);
    struct loop *loop = p->local->loop;
    uint64_t now = loop_now(loop), since = now - p->begun_ms;
    struct box_usage usage;
    struct err e;

    if (p->phase != POD_STARTING)
        return;
    if (box_groups_usage(p->local->groups, p->id, &usage, &e) < 0 || usage.cpu_us == BOX_UNKNOWN ||
        since > MOST_MS)
        return; /* then the deadline of a wake is all there is */
    if (usage.cpu_us >= p->used_us + LEAST_US)
        p->moved_ms = now;
    p->used_us = usage.cpu_us;
    if (now - p->moved_ms >= STUCK_MS) {
        give_up(p);
        return;
    }
    if (since >= TELL_MS && now - p->told_ms >= TELL_MS) {
        p->told_ms = now;
        tell_slow(p, since);
    }
    loop_timer_set(loop, &p->patience, now + LOOK_MS, look);
}

void patience_start(struct pod *p)
{
    uint64_t now = loop_now(p->local->loop);

    p->begun_ms = p->moved_ms = now;
    p->told_ms = p->used_us = 0;
    loop_timer_set(p->local->loop, &p->patience, now + LOOK_MS, look);
}

void patience_ready(struct pod *p)
{
    loop_timer_stop(p->local->loop, &p->patience);
    p->begun_ms = loop_now(p->local->loop);
}

/* ---- a stop ---- */

/* A number can have a new owner: whoever is still in the group after their pidfd was opened is
 * meant. */
static void wake_all(const struct pod *p)
{
    AUTO_FREE pid_t *pids = mem_new(PIDS_MOST * sizeof(*pids));
    AUTO_FREE pid_t *again = mem_new(PIDS_MOST * sizeof(*again));
    AUTO_FREE int *fds = mem_new(PIDS_MOST * sizeof(*fds));
    struct err e;
    int n = box_groups_pids(p->local->groups, p->id, pids, PIDS_MOST, &e), m;

    for (int i = 0; i < n; i++)
        fds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
    m = box_groups_pids(p->local->groups, p->id, again, PIDS_MOST, &e);
    for (int i = 0; i < n; i++) {
        for (int j = 0; fds[i] >= 0 && j < m; j++)
            if (again[j] == pids[i])
                (void)syscall(SYS_pidfd_send_signal, fds[i], SIGCONT, NULL, 0);
        close_fd(&fds[i]);
    }
}

static void note_forced(struct pod *p, const char *how)
{
    if (p->why.kind != ERR_NONE)
        return;
    (void)err_set(&p->why, ERR_BUSY,
                  "the server did not stop in %d s and was %s: it may have to recover at its next "
                  "wake",
                  QUIT_MS / 1000, how);
    (void)err_hint(&p->why, "nothing that was committed is lost; dorm server logs %s",
                   p->spec->login);
    log_err(NULL, LOG_WARN_, &p->why);
}

static void next_rung(struct loop_timer *t)
{
    struct pod *p = list_of(t, struct pod, patience);
    struct local *l = p->local;
    uint64_t now = loop_now(l->loop), since = now - p->begun_ms;
    struct err e;

    if (p->phase == POD_ENDING)
        return;
    wake_all(p);
    if (since < QUIT_MS) {
        loop_timer_set(l->loop, t, p->begun_ms + QUIT_MS, next_rung);
        return;
    }
    if (since < KILL_MS) {
        note_forced(p, "ended without its checkpoint");
        if (box_signal(l->groups, p->id, BOX_PAYLOAD, SIGQUIT, &e) < 0 && e.kind != ERR_NOT_FOUND)
            log_err(NULL, LOG_WARN_, &e);
        loop_timer_set(l->loop, t, p->begun_ms + KILL_MS, next_rung);
        return;
    }
    if (pod_kill(l, p->id, &e) < 0) {
        log_err(NULL, LOG_WARN_, &e);
        loop_timer_set(l->loop, t, now + LOOK_MS, next_rung);
    }
}

void patience_stop(struct pod *p)
{
    struct loop *loop = p->local->loop;

    if (p->stopping)
        return;
    p->stopping = true;
    p->begun_ms = loop_now(loop);
    loop_timer_set(loop, &p->patience, p->begun_ms + CONT_MS, next_rung);
}

void patience_forget(struct pod *p)
{
    loop_timer_stop(p->local->loop, &p->patience);
}
