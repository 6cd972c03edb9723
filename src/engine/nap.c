/* Naps of a pod: freezing and thawing it, and the look at what goes on in it before. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups.h"
#include "box/look.h"
#include "box/procstatus.h"
#include "pod-int.h"

enum { LOOK_MS = 3000, RECLAIM_MS = 60000 };

struct looking {
    struct pod *pod;
    struct job *job;
    struct engine_doing *doing; /* owned: a page that the child shares with us */
    engine_look_fn done;
    void *owner;
};

/* ---- looking: in a child, for the server can be as slow as it likes ---- */

static int dial(void *pod, struct err *e)
{
    return pod_dial(pod, e);
}

/*
 * The pod has bubblewrap's processes, the postmaster, and its children. Whatever else is there was
 * started by somebody's statement, and may have been left behind by it.
 */
static bool is_program(const struct procstatus *s, const struct box_seen *seen)
{
    return s->n_ns_pid >= 2 && s->state != 'Z' && s->pid != seen->init && s->pid != seen->payload &&
           s->parent != seen->payload;
}

static int look_at_processes(const struct pod *p, struct engine_doing *ret, struct err *e)
{
    AUTO_FREE pid_t *pids = mem_new(BOX_PIDS_MAX * sizeof(*pids));
    struct box_seen seen;
    int n, r = box_look(p->local->groups, p->id, &seen, e);

    n = r < 0 ? -1 : box_groups_pids(p->local->groups, p->id, pids, BOX_PIDS_MAX, e);
    for (int i = 0; i < n && !ret->busy; i++) {
        struct procstatus s;
        struct err ignored;

        if (procstatus_read(pids[i], &s, &ignored) < 0 || !is_program(&s, &seen))
            continue;
        ret->busy = true;
        (void)snprintf(ret->what, sizeof(ret->what), "a program is running in it");
    }
    box_seen_done(&seen);
    return n < 0 ? -1 : 0;
}

static int look(void *arg, struct err *e)
{
    const struct looking *l = arg;
    struct pod *p = l->pod;
    struct pg_dial way = {.dial = dial, .of = p};
    struct engine_doing found = {0};
    enum pg_doing doing;

    if (INJECT("nap.look", e) < 0)
        return -1;
    if (pg_doing(&way, p->spec->superuser, clock_ms() + LOOK_MS, &doing, &found.timed, e) < 0)
        return -1;
    if (doing != PG_DOING_NOTHING) {
        found.busy = true;
        (void)snprintf(found.what, sizeof(found.what), "%s", pg_doing_words(doing));
    } else if (look_at_processes(p, &found, e) < 0) {
        return -1;
    }
    *l->doing = found;
    return 0;
}

static void looking_free(struct looking *l)
{
    (void)munmap(l->doing, sizeof(*l->doing));
    free(l);
}

static void looked(void *owner, int status, const struct err *e)
{
    struct looking *l = owner;
    struct engine_doing doing = *l->doing;

    (void)status;
    l->pod->looking = NULL;
    doing.what[sizeof(doing.what) - 1] = '\0';
    l->done(l->owner, e == NULL ? &doing : NULL, e);
    looking_free(l);
}

int pod_look(struct local *local, const char *id, engine_look_fn done, void *owner, struct err *e)
{
    struct pod *p = map_get(&local->pods, id);
    struct looking *l;

    if (p == NULL || p->phase != POD_UP || p->frozen || p->looking != NULL)
        return err_set(e, ERR_BUSY, "server \"%s\" cannot be looked into now", id);
    l = mem_new(sizeof(*l));
    *l = (struct looking){.pod = p, .done = done, .owner = owner};
    l->doing =
        mmap(NULL, sizeof(*l->doing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (l->doing == MAP_FAILED) {
        free(l);
        return err_set(e, ERR_LIMIT, "there is no memory to look into server \"%s\"", id);
    }
    l->job = job_start(&(struct job_spec){.loop = local->loop,
                                          .what = "look into a server",
                                          .run = look,
                                          .arg = l,
                                          .done = looked,
                                          .owner = l,
                                          .limit_ms = 2 * LOOK_MS},
                       e);
    if (l->job == NULL) {
        looking_free(l);
        return -1;
    }
    p->looking = l;
    return 0;
}

/* ---- freezing ---- */

static int reclaim(void *arg, struct err *e)
{
    const struct pod *p = arg;

    return box_groups_reclaim(p->local->groups, p->id, e);
}

static void reclaimed(void *owner, int status, const struct err *e)
{
    struct pod *p = owner;

    (void)status;
    p->reclaim = NULL;
    if (e != NULL)
        log_err(NULL, LOG_DEBUG_, e);
}

/* Where the kernel can: it may take seconds, and ends as soon as somebody wants the server. */
static void give_memory_back(struct pod *p)
{
    struct err e;

    if (!box_groups_reclaims(p->local->groups))
        return;
    p->reclaim = job_start(&(struct job_spec){.loop = p->local->loop,
                                              .what = "take back the memory of a napping server",
                                              .run = reclaim,
                                              .arg = p,
                                              .done = reclaimed,
                                              .owner = p,
                                              .limit_ms = RECLAIM_MS},
                           &e);
    if (p->reclaim == NULL)
        log_err(NULL, LOG_WARN_, &e);
}

static void stop_reclaim(struct pod *p)
{
    if (p->reclaim == NULL)
        return;
    job_forget(p->reclaim);
    job_kill(p->reclaim);
    p->reclaim = NULL;
}

int pod_freeze(struct local *local, const char *id, struct err *e)
{
    struct pod *p = map_get(&local->pods, id);

    if (p == NULL || p->phase != POD_UP || p->looking != NULL)
        return err_set(e, ERR_BUSY, "server \"%s\" cannot nap now", id);
    if (p->frozen)
        return 0;
    if (INJECT("nap.freezing", e) < 0 || box_groups_freeze(local->groups, id, e) < 0)
        return -1;
    p->frozen = true;
    give_memory_back(p);
    return INJECT("nap.frozen", e);
}

int pod_thaw(struct local *local, const char *id, struct err *e)
{
    struct pod *p = map_get(&local->pods, id);

    if (p != NULL)
        stop_reclaim(p);
    if (INJECT("nap.thawing", e) < 0 || box_groups_thaw(local->groups, id, e) < 0)
        return -1;
    if (p != NULL)
        p->frozen = false;
    return INJECT("nap.thawed", e);
}

void pod_nap_forget(struct pod *p)
{
    struct looking *l = p->looking;
    struct err e;

    stop_reclaim(p);
    if (l == NULL)
        return;
    p->looking = NULL;
    job_forget(l->job);
    job_kill(l->job);
    (void)err_set(&e, ERR_BUSY, "the server ended while it was looked into");
    l->done(l->owner, NULL, &e);
    looking_free(l);
}
