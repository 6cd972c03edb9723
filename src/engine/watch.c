/*
 * The watch: how full pools and volumes are, so that no neighbour is ever hurt by a full pool.
 *
 * Volumes may promise more than their pool has. What keeps that from hurting anybody: each running
 * volume can have only so much written and not yet in the pool (DIRTY_BYTES, a limit of the
 * kernel's for its loop device); the pool's free room is looked at so often that nobody can write
 * the margin between two looks; and when the margin is reached, the volumes that grow are held
 * (vol/hold.h): they cannot grow from that moment on, all else works. A server that goes on growing
 * the pool nevertheless is told to sleep, and then killed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pod-int.h"
#include "vol/hold.h"

#define MIB (UINT64_C(1) << 20)

enum { LOOK_LEAST_MS = 20, LOOK_MOST_MS = 1000, TRIM_AGAIN_MS = 5000 };

#define MARGIN_LEAST (32 * MIB)
#define MARGIN_MOST  (512 * MIB)
#define GREEDY_BYTES (2 * MIB)    /* grown lately by more than that is growing */
#define DISK_SPEED   (2048 * MIB) /* bytes a second that no pool's disk can exceed */

struct watch {
    struct local *local;
    struct loop_timer timer;
};

static uint64_t margin(uint64_t total)
{
    uint64_t part = total / 32;

    return part < MARGIN_LEAST ? MARGIN_LEAST : part > MARGIN_MOST ? MARGIN_MOST : part;
}

uint64_t watch_floor(uint64_t total)
{
    return 2 * margin(total);
}

/* What a volume can still bring into its pool although it is held now: at most what is dirty. */
static uint64_t pending(const struct engine_disk *d, uint64_t taken)
{
    uint64_t left = d->capacity > taken ? d->capacity - taken : 0;

    return left < LOCAL_DIRTY_BYTES ? left : LOCAL_DIRTY_BYTES;
}

struct level {
    uint64_t total, free, pending;
};

static bool runs_in(const struct pod *p, const struct local_place *place)
{
    return p->places[0] == place && p->phase != POD_PREPARING;
}

static bool level_of(const struct local *l, const struct local_place *place, struct level *ret)
{
    struct vol_space space;
    struct err e;

    /* of a pool this is known without its disk; of other drivers nothing is over-committed by us */
    if (place->place.ops == NULL || place->place.driver != VOL_IMAGE ||
        vol_place_room(&place->place, &space, &e) < 0)
        return false;
    *ret = (struct level){.total = space.total, .free = space.free};
    map_each ((struct map *)(uintptr_t)&l->pods, slot) {
        const struct pod *p = slot->value;

        if (runs_in(p, place))
            ret->pending += pending(&p->spec->disks[0], p->taken);
    }
    return true;
}

/* ---- admission ---- */

int watch_admit(const struct local *l, const struct engine_server *spec, struct err *e)
{
    char left[16], all[16];

    for (size_t i = 0; i < spec->disks_n; i++) {
        const struct engine_disk *d = &spec->disks[i];
        const struct local_place *place = d->path == NULL ? local_place_of(l, d->class, e) : NULL;
        struct level level;
        bool there;

        if (place == NULL || !level_of(l, place, &level))
            continue;
        /* one that is there may wake: if it must not grow, it is held */
        there = i == 0 ? spec->named && !spec->ephemeral : d->kept;
        if (there || level.free > 2 * margin(level.total) + level.pending + LOCAL_DIRTY_BYTES)
            continue;
        (void)err_set(e, ERR_NO_SPACE,
                      "there is no room for a new volume in storage class \"%s\": %s of %s is free",
                      place->class, str_size(left, sizeof(left), level.free),
                      str_size(all, sizeof(all), level.total));
        return err_hint(e, "the administrator of the hub can make room: dorm storage list");
    }
    return 0;
}

/* ---- holding ---- */

struct holding {
    struct local *local;
    char server[ID_SIZE], point[PATH_ROOM];
    bool on;
};

static int hold(void *arg, struct err *e)
{
    const struct holding *h = arg;

    return vol_hold(h->point, h->on, e);
}

static void held(void *owner, int status, const struct err *e)
{
    struct holding *h = owner;
    struct pod *p = map_get(&h->local->pods, h->server);

    (void)status;
    if (e != NULL)
        log_err(NULL, LOG_WARN_, e);
    if (p != NULL) {
        p->holding = false;
        p->held = e == NULL ? h->on : p->held;
        (void)pod_room_look(p);
        pod_room_changed(p);
    }
    loop_free_later(h->local->loop, h);
}

static void set_hold(struct pod *p, bool on)
{
    struct holding *h;
    struct err e;

    if (p->holding || p->held == on)
        return;
    h = mem_new(sizeof(*h));
    *h = (struct holding){.local = p->local, .on = on};
    (void)snprintf(h->server, sizeof(h->server), "%s", p->id);
    (void)snprintf(h->point, sizeof(h->point), "%s", p->dirs.volume);
    p->holding = true;
    log_info(NULL, "volume %s is %s", p->spec->disks[0].volume,
             on ? "held: its pool is nearly full" : "let go");
    if (job_start(&(struct job_spec){.loop = p->local->loop,
                                     .what = "hold a volume",
                                     .run = hold,
                                     .arg = h,
                                     .done = held,
                                     .owner = h,
                                     .limit_ms = 10000},
                  &e) == NULL) {
        p->holding = false;
        log_err(NULL, LOG_WARN_, &e);
        free(h);
    }
}

/* What its owner deletes while it is held is of use to nobody before the pool has it back. */
static void trim(struct pod *p)
{
    uint64_t now = loop_now(p->local->loop);
    struct engine_task task = {.what = ENGINE_TRIM,
                               .server = "",
                               .volume = p->spec->disks[0].volume,
                               .class = p->spec->disks[0].class};
    struct err e;

    if (now - p->trimmed_ms < TRIM_AGAIN_MS)
        return;
    p->trimmed_ms = now;
    if (chore_start(p->local, &task, NULL, NULL, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

static void evict(struct pod *p)
{
    struct engine *engine = &p->local->engine;
    struct err e;

    (void)err_set(&e, ERR_NO_SPACE, "the hub's disk is full: your server is put to sleep");
    (void)err_hint(&e, "Nothing that was committed is lost. Tell the administrator of the hub.");
    engine->on_event(engine->owner, p->id, ENGINE_EVICT, &e);
}

/* ---- looking ---- */

static void look_at_pod(struct pod *p)
{
    const struct engine_disk *d = &p->spec->disks[0];
    uint64_t taken, capacity;
    struct err ignored;

    if (vol_place_used(&p->places[0]->place, d->volume, &taken, &capacity, &ignored) == 0) {
        /* half of what it grew before counts on, so that one that pauses is not forgotten */
        p->grew = p->grew / 2 + (taken > p->taken && p->taken != 0 ? taken - p->taken : 0);
        p->taken = taken;
    }
    if (p->phase == POD_UP && pod_room_look(p))
        pod_room_changed(p);
}

/* Who writes little is not held before the last of the margin: that is what it is kept for. */
static void act(struct local *l, const struct local_place *place, const struct level *level)
{
    bool low = level->free < margin(level->total) + level->pending;
    bool ample = level->free > 3 * margin(level->total) + level->pending;
    bool rescue = level->free < margin(level->total) / 2;
    bool last = level->free < margin(level->total) / 8;

    map_each (&l->pods, slot) {
        struct pod *p = slot->value;

        if (!runs_in(p, place) || p->phase == POD_ENDING || p->phase == POD_STARTING)
            continue;
        if (low && (p->grew > GREEDY_BYTES || last))
            set_hold(p, true);
        else if (ample)
            set_hold(p, false);
        if (p->held)
            trim(p);
        if (rescue && p->held && p->grew > MIB)
            evict(p);
    }
}

static uint64_t next_look(const struct level *level)
{
    uint64_t keep = margin(level->total) + level->pending;
    uint64_t spare = level->free > keep ? level->free - keep : 0;
    uint64_t ms = spare * 1000 / DISK_SPEED / 2;

    return ms < LOOK_LEAST_MS ? LOOK_LEAST_MS : ms > LOOK_MOST_MS ? LOOK_MOST_MS : ms;
}

static void look(struct loop_timer *t)
{
    struct watch *w = list_of(t, struct watch, timer);
    struct local *l = w->local;
    uint64_t next = LOOK_MOST_MS;
    bool any = false;

    map_each (&l->pods, slot) {
        struct pod *p = slot->value;

        any = true;
        if (p->places[0] != NULL && p->places[0]->place.driver == VOL_IMAGE &&
            p->phase != POD_PREPARING && p->phase != POD_ENDING)
            look_at_pod(p);
    }
    for (size_t i = 0; i < l->places_n; i++) {
        struct level level;
        uint64_t ms;

        if (!level_of(l, &l->places[i], &level))
            continue;
        act(l, &l->places[i], &level);
        ms = next_look(&level);
        next = ms < next ? ms : next;
    }
    if (any) /* nothing runs: nothing grows */
        loop_timer_set(l->loop, &w->timer, loop_now(l->loop) + next, look);
}

void watch_soon(struct local *l)
{
    if (l->watch != NULL && l->watch->timer.place == 0)
        loop_timer_set(l->loop, &l->watch->timer, loop_now(l->loop) + LOOK_LEAST_MS, look);
}

void watch_new(struct local *l)
{
    l->watch = mem_new(sizeof(*l->watch));
    *l->watch = (struct watch){.local = l};
}

void watch_free(struct local *l)
{
    if (l->watch == NULL)
        return;
    loop_timer_stop(l->loop, &l->watch->timer);
    free(l->watch);
    l->watch = NULL;
}
