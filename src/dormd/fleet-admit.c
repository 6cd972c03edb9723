/*
 * Who may start now: so many at a time, what there is memory for, and in the order of their wishes.
 *
 * A server that has to wait is asleep, with a place in the queue; nobody is refused because of a
 * crowd. Where memory is short those that nobody needs give theirs, longest idle first.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fleet-int.h"

enum {
    LOOK_MS = 1000, /* between two looks at what each server uses */
    TURN_MS = 500,  /* between two looks at the queue while nothing happens */
    SAID_FIRST_MS = 2000,
    SAID_NEXT_MS = 2000,     /* when the place is another */
    SAID_AGAIN_MS = 20000,   /* when it is not: the gate and the client's patience count from it */
    EMPTY_LEAST_MS = 1000,   /* whoever has just left may be about to come back */
    SILENT_LEAST_MS = 60000, /* of those who are in it: they are disconnected */
    ASKED_MS = 30000,        /* until one that could not give is asked again */
    GIVEN_MS = 5000,         /* for one that was asked to answer; then others are asked as well */
};

#define START_MEMORY (UINT64_C(24) << 20) /* what the programs that make a pod take beside it */

struct tally {
    size_t waking, processes;
    uint64_t counted; /* bytes */
    uint64_t leaving; /* of these, of servers that fall asleep, or are about to */
    uint64_t most;    /* should all of them use what they may */
};

static bool has_process(const struct fleet_server *s)
{
    return s->life.state != LIFE_ASLEEP && s->life.state != LIFE_FAILED;
}

/* What has to be killed may never end: others are asked as well. */
static bool is_leaving(const struct fleet_server *s)
{
    return s->life.state == LIFE_STOPPING;
}

/* Its memory is free soon: it falls asleep, or is being looked into for that. */
static bool is_coming(const struct fleet_server *s)
{
    return is_leaving(s) || (s->giver.waiting && loop_now(s->fleet->loop) - s->asked_ms < GIVEN_MS);
}

static bool is_queued(const struct fleet_server *s)
{
    return !list_empty(&s->queued);
}

static bool may_go(const struct fleet_server *s)
{
    return !fleet_is_held(s->fleet, s->id);
}

static uint64_t need_of(const struct fleet_server *s)
{
    return s->spec->request_memory + START_MEMORY;
}

/* What it was promised, or what it really uses when that is more. */
static uint64_t counted_of(const struct fleet_server *s)
{
    uint64_t promised = s->life.state == LIFE_WAKING ? need_of(s) : s->spec->request_memory;

    return s->held > promised ? s->held : promised;
}

static struct tally take_tally(const struct fleet *f)
{
    struct tally t = {0};

    map_each (&f->servers, slot) {
        const struct fleet_server *s = slot->value;

        if (!has_process(s))
            continue;
        t.processes++;
        /* one that recovers for long must not keep the others from their turn */
        t.waking += s->life.state == LIFE_WAKING && s->slow_ms == 0;
        t.counted += counted_of(s);
        t.leaving += is_coming(s) ? counted_of(s) : 0;
        t.most += s->spec->memory;
    }
    return t;
}

static void look_at_memory(struct fleet *f)
{
    uint64_t now = loop_now(f->loop);

    if (f->looked_ms != 0 && now - f->looked_ms < LOOK_MS)
        return;
    f->looked_ms = now;
    map_each (&f->servers, slot) {
        struct fleet_server *s = slot->value;
        struct engine_usage usage;
        struct err ignored;

        s->held = 0; /* of one that is being made there may be nothing to look at yet */
        if (has_process(s) && f->engine->ops->usage(f->engine, s->id, &usage, &ignored) == 0)
            s->held = usage.held == UINT64_MAX ? usage.memory : usage.held;
    }
}

/* ---- room ---- */

/* Nobody is in it, or those who are have been silent, for so long. */
static uint64_t quiet_of(const struct fleet_server *s)
{
    return loop_now(s->fleet->loop) - s->drowse.since_ms;
}

static bool can_give(const struct fleet_server *s)
{
    uint64_t asked = s->asked_ms == 0 ? UINT64_MAX : loop_now(s->fleet->loop) - s->asked_ms;

    if (!list_empty(&s->waiters) || !may_go(s) || s->giver.waiting || asked < ASKED_MS)
        return false;
    if (fleet_drowsy(s))
        return true;
    return s->life.state == LIFE_AWAKE &&
           quiet_of(s) >= (s->sessions == 0 ? EMPTY_LEAST_MS : SILENT_LEAST_MS);
}

/* First those that nobody is in, then those that nap, then those whose clients are silent. */
static int rank_of(const struct fleet_server *s)
{
    return s->sessions == 0 ? 0 : fleet_drowsy(s) ? 1 : 2;
}

static struct fleet_server *best_giver(const struct fleet *f)
{
    struct fleet_server *best = NULL;

    map_each (&f->servers, slot) {
        struct fleet_server *s = slot->value;

        if (can_give(s) && (best == NULL || rank_of(s) < rank_of(best) ||
                            (rank_of(s) == rank_of(best) && quiet_of(s) > quiet_of(best))))
            best = s;
    }
    return best;
}

static void put_to_sleep(struct fleet_server *s)
{
    struct fleet *f = s->fleet;
    struct err why;

    (void)err_set(&why, ERR_BUSY,
                  "terminating connection: your server fell asleep because others "
                  "need the memory; connect again and it wakes");
    log_info(&s->log, "put to sleep: others wait for memory");
    if (s->sessions > 0)
        f->hooks.evicted(f->hooks.owner, s->id, &why);
    fleet_step(s, LIFE_REST);
}

/* It has been looked into: nothing in it is at work, and only now is it known who has spoken. */
static void napped(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct fleet_server *s = list_of(w, struct fleet_server, giver);

    (void)fd;
    s->asked_ms = loop_now(s->fleet->loop);
    if (e != NULL)
        return;
    if (list_empty(&s->fleet->queue) || (s->sessions > 0 && quiet_of(s) < SILENT_LEAST_MS))
        fleet_step(s, LIFE_STIR);
    else
        put_to_sleep(s);
}

static void take_from(struct fleet_server *s)
{
    if (fleet_drowsy(s)) {
        put_to_sleep(s);
        return;
    }
    s->asked_ms = loop_now(s->fleet->loop);
    s->giver = (struct fleet_waiter){.told = napped};
    fleet_nap(s->fleet, s->id, &s->giver);
}

/* What those who are next need beyond what is free. */
static uint64_t missing(const struct fleet *f, const struct tally *t)
{
    size_t n = f->crowd.waking_most > t->waking ? f->crowd.waking_most - t->waking : 1;
    uint64_t need = 0, free_now = f->crowd.memory > t->counted ? f->crowd.memory - t->counted : 0;

    for (struct list *at = f->queue.next; at != &f->queue && n > 0; at = at->next, n--)
        need += need_of(list_of(at, struct fleet_server, queued));
    return need > free_now ? need - free_now : 0;
}

/* So that this much will be free, those counted that are falling asleep already. */
static void make_room(struct fleet *f, uint64_t needed, uint64_t coming)
{
    while (coming < needed) {
        struct fleet_server *s = best_giver(f);

        if (s == NULL)
            return;
        take_from(s);
        coming += is_coming(s) ? counted_of(s) : 0;
    }
}

/* ---- the queue ---- */

/* One that is alone may start in any case: else it never would. */
static bool fits(struct fleet *f, const struct fleet_server *s)
{
    struct tally t = take_tally(f);

    if (f->crowd.memory == 0 || t.processes == 0 || t.most + need_of(s) <= f->crowd.memory)
        return true;
    look_at_memory(f);
    t = take_tally(f);
    if (t.counted + need_of(s) <= f->crowd.memory)
        return true;
    make_room(f, missing(f, &t), t.leaving);
    return false;
}

/* Others than servers use the machine, too. */
static bool machine_has(struct fleet *f, const struct fleet_server *s)
{
    uint64_t need = need_of(s) + f->crowd.spare;
    uint64_t there = f->crowd.available == NULL ? need : f->crowd.available();

    if (there < need)
        make_room(f, need - there, take_tally(f).leaving);
    return there >= need;
}

static enum fleet_short short_of(struct fleet *f, const struct fleet_server *s)
{
    if (f->crowd.waking_most != 0 && take_tally(f).waking >= f->crowd.waking_most)
        return FLEET_SHORT_TURN;
    if (!fits(f, s))
        return FLEET_SHORT_MEMORY;
    return machine_has(f, s) ? FLEET_SHORT_NOTHING : FLEET_SHORT_MACHINE;
}

/* The first whose turn it can be. Those that nobody waits for any more leave. */
static struct fleet_server *first_in_queue(struct fleet *f)
{
    for (;;) {
        struct fleet_server *found = NULL, *gone = NULL;

        list_each (&f->queue, node) {
            struct fleet_server *s = list_of(node, struct fleet_server, queued);

            if (list_empty(&s->waiters))
                gone = s;
            else if (may_go(s))
                found = s;
            if (gone != NULL || found != NULL)
                break;
        }
        if (gone == NULL)
            return found;
        list_remove(&gone->queued);
        fleet_look_again(gone);
    }
}

static bool admit_next(struct fleet *f)
{
    struct fleet_server *s = f->going_down ? NULL : first_in_queue(f);

    if (s == NULL)
        return false;
    f->short_of = short_of(f, s);
    if (f->short_of != FLEET_SHORT_NOTHING)
        return false;
    list_remove(&s->queued);
    s->held = 0;
    fleet_step(s, LIFE_WANT);
    return true;
}

static void say_place(struct fleet_server *s, size_t place)
{
    static const char *const why[] = {
        [FLEET_SHORT_NOTHING] = "others are being started",
        [FLEET_SHORT_TURN] = "others are being started",
        [FLEET_SHORT_MEMORY] =
            "the memory for servers is in use, and others are being put to sleep",
        [FLEET_SHORT_MACHINE] = "the memory of the machine is in use",
    };
    struct fleet *f = s->fleet;
    uint64_t now = loop_now(f->loop);
    char text[160];

    if (now - s->queued_ms < SAID_FIRST_MS ||
        (s->said_place != 0 &&
         now - s->said_ms < (s->said_place == place ? SAID_AGAIN_MS : SAID_NEXT_MS)))
        return;
    s->said_ms = now;
    s->said_place = place;
    (void)snprintf(text, sizeof(text), "your server is number %zu in the queue: %s", place,
                   why[f->short_of]);
    list_each (&s->waiters, node) {
        struct fleet_waiter *w = list_of(node, struct fleet_waiter, node);

        if (w->queued != NULL)
            w->queued(w, text);
    }
}

static void say_places(struct fleet *f)
{
    size_t place = 0;

    list_each (&f->queue, node) {
        struct fleet_server *s = list_of(node, struct fleet_server, queued);

        if (!list_empty(&s->waiters))
            say_place(s, ++place);
    }
}

static void turn(struct loop_timer *t)
{
    struct fleet *f = list_of(t, struct fleet, admit_timer);

    fleet_admit(f);
    say_places(f);
}

void fleet_admit(struct fleet *f)
{
    /* what starts, or fails to, asks for the next: a loop, where the queue would be the stack */
    f->admit_again = true;
    if (f->admitting)
        return;
    f->admitting = true;
    while (f->admit_again) {
        f->admit_again = false;
        while (admit_next(f))
            ;
    }
    f->admitting = false;
    if (list_empty(&f->queue) || f->going_down)
        loop_timer_stop(f->loop, &f->admit_timer);
    else if (f->admit_timer.place == 0)
        loop_timer_set(f->loop, &f->admit_timer, loop_now(f->loop) + TURN_MS, turn);
}

void fleet_queue(struct fleet_server *s)
{
    struct fleet *f = s->fleet;

    fleet_unrest(s); /* or its volume might be detached while it waits */
    if (!is_queued(s)) {
        list_append(&f->queue, &s->queued);
        s->queued_ms = loop_now(f->loop);
        s->said_place = 0;
    }
    fleet_admit(f);
    if (is_queued(s))
        s->fresh = false; /* the record may say something else when its turn comes */
}

size_t fleet_place(const struct fleet_server *s)
{
    size_t place = 0;

    if (!is_queued(s) || list_empty(&s->waiters))
        return 0;
    for (struct list *at = s->fleet->queue.next;; at = at->next) {
        const struct fleet_server *other = list_of(at, struct fleet_server, queued);

        place += !list_empty(&other->waiters);
        if (other == s)
            return place;
    }
}

void fleet_number(const struct fleet *f)
{
    size_t place = 0;

    for (struct list *at = f->queue.next; at != &f->queue; at = at->next) {
        struct fleet_server *s = list_of(at, struct fleet_server, queued);

        s->numbered = list_empty(&s->waiters) ? 0 : ++place;
    }
}

bool fleet_drowsy(const struct fleet_server *s)
{
    return s->life.state == LIFE_NAPPING;
}

void fleet_set_crowd(struct fleet *f, const struct fleet_crowd *crowd)
{
    f->crowd = *crowd;
    fleet_admit(f);
}

void fleet_set_sizes(struct fleet *f, const struct engine_server *sizes)
{
    map_each (&f->servers, slot) {
        struct fleet_server *s = slot->value;
        struct engine_server *spec = s->spec;
        struct err e;

        /* of one that sleeps for its place in the queue; its wake takes what the hub says then */
        spec->memory = sizes->memory;
        spec->cpu_milli = sizes->cpu_milli;
        spec->pids = sizes->pids;
        spec->request_memory = sizes->request_memory;
        spec->request_cpu_milli = sizes->request_cpu_milli;
        if (has_process(s) && f->engine->ops->limit(f->engine, spec, &e) < 0)
            log_err(&s->log, LOG_WARN_, &e);
    }
    fleet_admit(f);
}

/* ---- holds ---- */

bool fleet_is_held(const struct fleet *f, const char *server)
{
    return map_get(&f->holds, server) != NULL;
}

void fleet_hold(struct fleet *f, const char *server)
{
    struct hold *h = map_get(&f->holds, server);

    if (h == NULL) {
        h = mem_new(sizeof(*h));
        (void)snprintf(h->id, sizeof(h->id), "%s", server);
        map_add(&f->holds, h->id, h);
    }
    h->n++;
}

void fleet_unhold(struct fleet *f, const char *server)
{
    struct hold *h = map_get(&f->holds, server);
    struct fleet_server *s;

    if (h == NULL || --h->n > 0)
        return;
    (void)map_remove(&f->holds, h->id);
    free(h);
    s = map_get(&f->servers, server);
    if (s != NULL && !has_process(s))
        fleet_look_again(s);
}
