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
enum { HOLD_MS = 10000, TRIM_MS = 60000 };

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

static bool runs(const struct pod *p)
{
    return p->phase != POD_PREPARING;
}

/* Can this disk grow a pool? A static one has no place, and nobody writes into a read-only one. */
static bool counts(const struct pod *p, size_t i)
{
    return p->places[i] != NULL && p->places[i]->place.driver == VOL_IMAGE &&
           !p->spec->disks[i].read_only;
}

static bool counts_in(const struct pod *p, size_t i, const struct local_place *place)
{
    return p->places[i] == place && counts(p, i);
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

        for (size_t i = 0; runs(p) && i < p->spec->disks_n; i++)
            if (counts_in(p, i, place) && !p->disks[i].again)
                ret->pending += pending(&p->spec->disks[i], p->disks[i].taken);
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
        there = !spec->ephemeral && vol_place_exists(&place->place, d->volume, e) == 1;
        if (there ||
            level.free > 2 * margin(level.total) + level.pending + (i + 1) * LOCAL_DIRTY_BYTES)
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
    size_t disk;
    bool on;
};

static int hold(void *arg, struct err *e)
{
    const struct holding *h = arg;

    return vol_hold(h->point, h->on, e);
}

static int give_back(void *arg, struct err *e)
{
    const struct holding *h = arg;
    uint64_t bytes;

    return vol_trim(h->point, &bytes, e);
}

/* NULL: its pod has gone meanwhile. */
static struct pod *job_over(struct holding *h, const struct err *e)
{
    struct pod *p = map_get(&h->local->pods, h->server);

    loop_free_later(h->local->loop, h);
    if (e != NULL)
        log_err(NULL, LOG_WARN_, e);
    if (p == NULL || h->disk >= p->spec->disks_n)
        return NULL;
    p->disks[h->disk].busy = false;
    return p;
}

static void held(void *owner, int status, const struct err *e)
{
    const struct holding *h = owner;
    struct pod *p = job_over(owner, e);

    (void)status;
    if (p == NULL)
        return;
    if (e == NULL)
        p->disks[h->disk].held = h->on;
    (void)pod_room_look(p);
    pod_room_changed(p);
}

static void given_back(void *owner, int status, const struct err *e)
{
    (void)status;
    (void)job_over(owner, e);
}

static void begin(struct pod *p, size_t i, bool on, const struct job_spec *how)
{
    struct holding *h = mem_new(sizeof(*h));
    struct job_spec spec = *how;
    struct err e;

    *h = (struct holding){.local = p->local, .disk = i, .on = on};
    (void)snprintf(h->server, sizeof(h->server), "%s", p->id);
    disk_point(p->local, p->spec, i, h->point);
    spec.loop = p->local->loop;
    spec.arg = spec.owner = h;
    p->disks[i].busy = true;
    if (job_start(&spec, &e) == NULL) {
        p->disks[i].busy = false;
        log_err(NULL, LOG_WARN_, &e);
        free(h);
    }
}

static void set_hold(struct pod *p, size_t i, bool on)
{
    if (p->disks[i].busy || p->disks[i].held == on)
        return;
    log_info(NULL, "volume %s is %s", p->spec->disks[i].volume,
             on ? "held: its pool is nearly full" : "let go");
    begin(p, i, on,
          &(struct job_spec){
              .what = "hold a volume", .run = hold, .done = held, .limit_ms = HOLD_MS});
}

/*
 * What its owner deletes while it is held is of use to nobody before the pool has it back. Of the
 * data, a chore: nothing may detach it meanwhile.
 */
static void trim(struct pod *p, size_t i)
{
    uint64_t now = loop_now(p->local->loop);
    const struct engine_disk *d = &p->spec->disks[i];
    struct engine_task task = {
        .what = ENGINE_TRIM, .server = "", .volume = d->volume, .class = d->class};
    struct err e;

    if (p->disks[i].busy || now - p->disks[i].trimmed_ms < TRIM_AGAIN_MS)
        return;
    p->disks[i].trimmed_ms = now;
    if (i > 0)
        begin(p, i, true,
              &(struct job_spec){.what = "trim a volume",
                                 .run = give_back,
                                 .done = given_back,
                                 .limit_ms = TRIM_MS});
    else if (chore_start(p->local, &task, NULL, NULL, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

/* In the loop: a name in a directory that ext4, mounted on an image, has in memory or reads once.
 */
void pod_hold_look(struct pod *p)
{
    char point[PATH_ROOM];
    struct err e;

    for (size_t i = 0; i < p->spec->disks_n; i++) {
        if (!counts(p, i))
            continue;
        disk_point(p->local, p->spec, i, point);
        p->disks[i].held = vol_held(point, &e) > 0;
    }
}

static void evict(struct pod *p)
{
    struct engine *engine = &p->local->engine;
    struct err e;

    if (p->evicted || p->phase != POD_UP)
        return;
    p->evicted = true; /* it sleeps from then on, and its end takes a while */
    (void)err_set(&e, ERR_NO_SPACE, "the hub's disk is full: your server is put to sleep");
    (void)err_hint(&e, "Nothing that was committed is lost. Tell the administrator of the hub.");
    engine->on_event(engine->owner, p->id, ENGINE_EVICT, &e);
}

/* ---- looking ---- */

static void look_at_disk(struct pod *p, size_t i)
{
    struct pod_disk *d = &p->disks[i];
    uint64_t taken, capacity;
    struct err ignored;

    if (vol_place_used(&p->places[i]->place, p->spec->disks[i].volume, &taken, &capacity,
                       &ignored) < 0)
        return;
    /* half of what it grew before counts on, so that one that pauses is not forgotten */
    d->grew = d->grew / 2 + (taken > d->taken && d->taken != 0 ? taken - d->taken : 0);
    d->taken = taken;
}

/* shared: the volumes that were counted with another pod in this look. */
static void look_at_pod(struct pod *p, struct map *shared)
{
    for (size_t i = 0; i < p->spec->disks_n; i++) {
        const struct engine_disk *d = &p->spec->disks[i];

        if (!counts(p, i))
            continue;
        p->disks[i].again = d->shared && map_get(shared, d->volume) != NULL;
        if (d->shared && !p->disks[i].again)
            map_add(shared, d->volume, p);
        look_at_disk(p, i);
    }
    if (p->phase == POD_UP && pod_room_look(p))
        pod_room_changed(p);
}

/* Who writes little is not held before the last of the margin: that is what it is kept for. */
static void act_on(struct pod *p, size_t i, const struct level *level)
{
    const struct pod_disk *d = &p->disks[i];
    uint64_t keep = margin(level->total);

    if (level->free < keep + level->pending && (d->grew > GREEDY_BYTES || level->free < keep / 8))
        set_hold(p, i, true);
    else if (level->free > 3 * keep + level->pending)
        set_hold(p, i, false);
    if (d->held)
        trim(p, i);
    if (level->free < keep / 2 && d->held && d->grew > MIB)
        evict(p);
}

static void act(struct local *l, const struct local_place *place, const struct level *level)
{
    map_each (&l->pods, slot) {
        struct pod *p = slot->value;

        if (!runs(p) || p->phase == POD_ENDING || p->phase == POD_STARTING)
            continue;
        for (size_t i = 0; i < p->spec->disks_n; i++)
            if (counts_in(p, i, place))
                act_on(p, i, level);
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
    struct map shared = {0};
    uint64_t next = LOOK_MOST_MS;
    bool any = false;

    map_each (&l->pods, slot) {
        struct pod *p = slot->value;

        any = true;
        if (runs(p) && p->phase != POD_ENDING)
            look_at_pod(p, &shared);
    }
    map_done(&shared);
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
    places_changed(l);
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
