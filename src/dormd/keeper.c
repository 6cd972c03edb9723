#include "keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/people.h"
#include "engine/local.h"

enum { LOOK_MS = 2000 };

enum item_what { DROP_SNAPSHOT, TAKE_SNAPSHOT, DESTROY_VOLUME, PURGE_USER };

struct item {
    struct list node;
    struct hub *hub;
    enum item_what what;
    bool orphaned;         /* DROP_SNAPSHOT: because its volume, or the user, was removed */
    char key[ID_SIZE + 4]; /* in queued; "": not there */
    char user[ID_SIZE], server[ID_SIZE], volume[ID_SIZE], snapshot[ID_SIZE];
    char class[STORE_CLAIM_SIZE];
    uint64_t unless; /* TAKE_SNAPSHOT: the mark of the one before */
};

struct keeper {
    struct hub *hub;
    struct list items; /* the first is under way */
    struct map queued; /* those of them that are asked for once */
    bool busy, listing, going_on;
    struct loop_timer low;
};

static void next(struct keeper *k);

/* ---- the queue ---- */

static char *mark_key(const char *volume)
{
    return mem_printf("mark.%s", volume);
}

/* What asks for the same has the same key. */
static void item_key(struct item *i)
{
    const char *id = i->what == DROP_SNAPSHOT    ? i->snapshot
                     : i->what == DESTROY_VOLUME ? i->volume
                                                 : i->user;

    if (i->what != TAKE_SNAPSHOT)
        (void)snprintf(i->key, sizeof(i->key), "%d %s", (int)i->what, id);
}

/* One that goes for another reason than that it lost its volume goes whatever comes back. */
static bool is_queued(struct keeper *k, const struct item *x)
{
    struct item *i = x->key[0] == '\0' ? NULL : map_get(&k->queued, x->key);

    if (i != NULL && !x->orphaned)
        i->orphaned = false;
    return i != NULL;
}

static void add(struct keeper *k, const struct item *x)
{
    struct item *i = mem_new(sizeof(*i));

    *i = *x;
    i->hub = k->hub;
    item_key(i);
    if (is_queued(k, i)) {
        free(i);
        return;
    }
    list_init(&i->node);
    list_append(&k->items, &i->node);
    if (i->key[0] != '\0')
        map_add(&k->queued, i->key, i);
    next(k);
}

struct history {
    const char *but;              /* one that does not count, or NULL */
    struct store_snapshot newest; /* of those by time; id "" if none */
    size_t n;
    size_t drop; /* so many of the oldest, which come first, go */
    struct hub *hub;
};

static int recall(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                  struct err *e)
{
    struct history *x = arg;

    (void)v, (void)e;
    if (s->why != STORE_BY_TIME || (x->but != NULL && str_is(s->id, x->but)))
        return 0;
    x->n++;
    x->newest = *s;
    if (x->drop > 0) {
        x->drop--;
        keeper_drop(x->hub, s);
    }
    return 0;
}

/* The one that has just been taken counts already. */
static void prune(const struct item *i)
{
    struct hub *h = i->hub;
    struct history x = {0}, dropping = {.hub = h};
    size_t most = h->conf->server.snapshots.keep;
    struct err e;

    if (store_snapshots(h->store, i->volume, recall, &x, &e) < 0) {
        log_err(NULL, LOG_WARN_, &e);
        return;
    }
    dropping.drop = x.n > most ? x.n - most : 0;
    if (dropping.drop > 0 && store_snapshots(h->store, i->volume, recall, &dropping, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

/* One after which nothing was written would be worth as much as the one before. */
static int snapshot_taken(struct item *i, const struct engine_outcome *outcome, struct err *e)
{
    struct store *s = i->hub->store;
    AUTO_FREE char *key = mark_key(i->volume), *mark = NULL;

    if (outcome->unchanged && store_snapshot_remove(s, i->snapshot, e) < 0)
        return -1;
    prune(i); /* fewer may be kept than before */
    if (outcome->unchanged)
        return 0;
    mark = mem_printf("%llu", (unsigned long long)outcome->mark);
    return store_snapshot_taken(s, i->snapshot, outcome->extents, outcome->took_us, e) < 0
               ? -1
               : store_setting_set(s, key, mark, e);
}

static int is_left(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                   struct err *e)
{
    (void)arg, (void)s;
    return err_set(e, ERR_BUSY, "volume \"%s\" still has a snapshot: it is forgotten later",
                   v->claim);
}

/* Rows go when nothing is left: until then somebody must know of the blocks. */
static int purge_volume(struct item *i, struct err *e)
{
    struct store *s = i->hub->store;

    if (store_snapshots(s, i->volume, is_left, NULL, e) < 0 ||
        store_volume_purge(s, i->volume, e) < 0)
        return -1;
    return i->server[0] != '\0' ? store_server_purge(s, i->server, e) : 0;
}

static int still_there(void *arg, const struct store_volume *v, struct err *e)
{
    const struct hub *h = arg;
    int there = v->path[0] != '\0' ? 0 : local_has(h->engine, v->class, v->id, e);

    if (there > 0)
        (void)err_set(e, ERR_BUSY, "volume \"%s\" could not be deleted yet", v->claim);
    return there == 0 ? store_snapshots(h->store, v->id, is_left, NULL, e) : -1;
}

static int purge_user(struct item *i, struct err *e)
{
    struct store *s = i->hub->store;

    return store_volumes_of_user(s, i->user, still_there, i->hub, e) < 0
               ? -1
               : store_user_purge(s, i->user, NULL, NULL, e);
}

static int settle(struct item *i, const struct engine_outcome *outcome, struct err *e)
{
    struct store *s = i->hub->store;

    switch (i->what) {
    case DROP_SNAPSHOT:
        return store_snapshot_remove(s, i->snapshot, e);
    case TAKE_SNAPSHOT:
        return snapshot_taken(i, outcome, e);
    case DESTROY_VOLUME:
        return i->user[0] != '\0' ? 0 : purge_volume(i, e); /* or goes with the user */
    case PURGE_USER:
        break;
    }
    return purge_user(i, e);
}

static void item_done(struct item *i)
{
    struct keeper *k = i->hub->keeper;

    list_remove(&i->node);
    if (i->key[0] != '\0')
        (void)map_remove(&k->queued, i->key);
    free(i);
    k->busy = false;
}

static void over(struct item *i, const struct engine_outcome *outcome, const struct err *e)
{
    struct err why;

    if (e == NULL && settle(i, outcome, &why) < 0)
        e = &why;
    if (e != NULL) {
        log_err(NULL, LOG_WARN_, e); /* tried again at the next sweep */
        if (i->what == TAKE_SNAPSHOT)
            (void)store_snapshot_remove(i->hub->store, i->snapshot, &why);
    }
    item_done(i);
}

static void worked(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct item *i = owner;
    struct keeper *k = i->hub->keeper;

    over(i, outcome, e);
    next(k);
}

/* What a server said can hold what its owner asked. */
static void forget_logs(const struct hub *h, const char *server)
{
    char path[512], older[520];

    local_log_path(h->engine, server, path, sizeof(path));
    (void)snprintf(older, sizeof(older), "%s.1", path);
    (void)unlink(path);
    (void)unlink(older);
}

/* Both: 1, 0, or -1. What has been purged meanwhile is 0. */
static int user_is_removed(const struct item *i, struct err *e)
{
    struct store_user u;

    if (store_user_by_id(i->hub->store, i->user, &u, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return u.removed_at != 0;
}

static int volume_is_removed(const struct item *i, struct err *e)
{
    struct store_volume v;

    if (i->user[0] != '\0')
        return user_is_removed(i, e);
    if (store_volume_by_id(i->hub->store, i->volume, &v, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return v.removed_at != 0;
}

/* Nothing has changed since a snapshot that is gone: there is nothing it would be the same as. */
static int recall_mark(struct item *i, struct err *e)
{
    AUTO_FREE char *key = mark_key(i->volume);
    struct history x = {.but = i->snapshot};
    char mark[24];

    if (store_setting_get(i->hub->store, key, mark, sizeof(mark), e) < 0 ||
        store_snapshots(i->hub->store, i->volume, recall, &x, e) < 0)
        return -1;
    if (x.n == 0 || !str_u64(mark, &i->unless))
        i->unless = 0;
    return 1;
}

/* It waited in the queue: what was to go may have been brought back. 1, 0, or -1. */
static int is_due(struct item *i, struct err *e)
{
    struct store_snapshot s;

    switch (i->what) {
    case DROP_SNAPSHOT:
        if (store_snapshot_by_id(i->hub->store, i->snapshot, &s, e) < 0)
            return e->kind == ERR_NOT_FOUND ? 0 : -1;
        return i->orphaned ? volume_is_removed(i, e) : 1;
    case TAKE_SNAPSHOT:
        return recall_mark(i, e);
    case DESTROY_VOLUME:
        return volume_is_removed(i, e);
    case PURGE_USER:
        break;
    }
    return user_is_removed(i, e);
}

static void begin(struct item *i)
{
    static const enum engine_task_what tasks[] = {[DROP_SNAPSHOT] = ENGINE_FORGET,
                                                  [TAKE_SNAPSHOT] = ENGINE_SNAPSHOT,
                                                  [DESTROY_VOLUME] = ENGINE_DESTROY};
    struct engine_task task = {.what = tasks[i->what % 3],
                               .server = "",
                               .volume = i->volume,
                               .class = i->class,
                               .snapshot = i->snapshot};
    struct err e;
    int due = is_due(i, &e);

    if (due > 0 && i->what == DESTROY_VOLUME && i->server[0] != '\0')
        forget_logs(i->hub, i->server);
    task.unless = i->unless;
    if (due < 0)
        over(i, NULL, &e);
    else if (due == 0)
        item_done(i);
    else if (i->what == PURGE_USER)
        over(i, NULL, NULL);
    else if (i->hub->engine->ops->work(i->hub->engine, &task, worked, i, &e) < 0)
        over(i, NULL, &e);
}

/* Many may be over as soon as they begin: a loop, and never one within another. */
static void next(struct keeper *k)
{
    if (k->going_on)
        return;
    k->going_on = true;
    while (!k->busy && !k->listing && !list_empty(&k->items) && !k->hub->going_down) {
        k->busy = true;
        begin(list_of(list_first(&k->items), struct item, node));
    }
    k->going_on = false;
}

/* user: who is to go with it, or NULL. */
static void drop(struct hub *h, const struct store_snapshot *s, bool orphaned, const char *user)
{
    struct item x = {.what = DROP_SNAPSHOT, .orphaned = orphaned};

    if (user != NULL)
        memcpy(x.user, user, ID_SIZE);
    memcpy(x.volume, s->volume, ID_SIZE);
    memcpy(x.snapshot, s->id, ID_SIZE);
    (void)snprintf(x.class, sizeof(x.class), "%s", s->class);
    add(h->keeper, &x);
}

void keeper_drop(struct hub *h, const struct store_snapshot *s)
{
    drop(h, s, false, NULL);
}

/* ---- snapshots by time ---- */

static int take(struct hub *h, const struct store_volume *v, struct err *e)
{
    struct store_snapshot s = {
        .why = STORE_BY_TIME, .capacity = v->capacity, .taken_at = clock_unix()};
    struct item x = {.what = TAKE_SNAPSHOT};

    rand_id(s.id);
    memcpy(s.volume, v->id, ID_SIZE);
    (void)snprintf(s.class, sizeof(s.class), "%s", v->class);
    if (store_snapshot_add(h->store, &s, e) < 0)
        return -1;
    memcpy(x.volume, v->id, ID_SIZE);
    memcpy(x.snapshot, s.id, ID_SIZE);
    (void)snprintf(x.class, sizeof(x.class), "%s", v->class);
    add(h->keeper, &x);
    return 0;
}

static int consider(struct hub *h, const char *server, struct err *e)
{
    const struct conf_server *conf = &h->conf->server;
    struct store_volume v;
    struct history x = {0};

    if (store_volume_of(h->store, server, &v, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    if (v.path[0] != '\0' || v.removed_at != 0 || !str_is(v.component, "postgres"))
        return 0;
    if (store_snapshots(h->store, v.id, recall, &x, e) < 0)
        return -1;
    if (x.n > 0 && x.newest.taken_at + (int64_t)(conf->snapshots.every_ms / 1000) > clock_unix())
        return 0;
    return take(h, &v, e);
}

/* It was awake, so something may have changed; one that was not used has the snapshot it had. */
void keeper_slept(struct hub *h, const char *server)
{
    struct err e;

    if (h->conf->server.snapshots.every_ms == UINT64_MAX || h->conf->server.ephemeral ||
        h->going_down)
        return;
    if (consider(h, server, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

/* ---- when a class runs low ---- */

struct low {
    struct hub *hub;
    const char *class;
    struct store_snapshot oldest;
    bool found;
};

static int find_oldest(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                       struct err *e)
{
    struct low *x = arg;

    (void)v, (void)e;
    if (s->why != STORE_BY_TIME || !str_is(s->class, x->class))
        return 0;
    x->oldest = *s;
    x->found = true;
    return 1; /* the oldest comes first */
}

static void look_at_class(void *owner, const struct local_place_view *p)
{
    struct low x = {.hub = owner, .class = p->class};
    struct err e;

    if (p->missing != NULL || p->free > p->floor + p->floor / 2)
        return;
    if (store_snapshots(x.hub->store, NULL, find_oldest, &x, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    if (!x.found)
        return;
    log_warn(NULL, "storage class \"%s\" is running full: its oldest snapshot by time goes",
             p->class);
    keeper_drop(x.hub, &x.oldest);
}

static void look(struct loop_timer *t)
{
    struct keeper *k = list_of(t, struct keeper, low);
    struct err e;

    if (!k->busy && local_places(k->hub->engine, look_at_class, k->hub, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    loop_timer_set(k->hub->loop, &k->low, loop_now(k->hub->loop) + LOOK_MS, look);
}

/* ---- what has had its time ---- */

struct sweep {
    struct hub *hub;
    int64_t now, before; /* what was removed earlier than that goes */
    const char *user;
};

static int sweep_snapshot(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                          struct err *e)
{
    const struct sweep *x = arg;
    bool had_its_time = s->keep_until != 0 && s->keep_until < x->now;

    (void)e;
    if (had_its_time || (v->removed_at != 0 && v->removed_at < x->before))
        drop(x->hub, s, !had_its_time, NULL);
    return 0;
}

static int sweep_with_user(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                           struct err *e)
{
    const struct sweep *x = arg;

    (void)v, (void)e;
    drop(x->hub, s, true, x->user);
    return 0;
}

static int sweep_volume(void *arg, const struct store_volume *v, struct err *e)
{
    const struct sweep *x = arg;
    struct item item = {.what = DESTROY_VOLUME};

    if (v->path[0] != '\0')
        return 0;
    if (x->user != NULL) {
        memcpy(item.user, x->user, ID_SIZE);
        if (store_snapshots(x->hub->store, v->id, sweep_with_user, arg, e) < 0)
            return -1;
    }
    memcpy(item.volume, v->id, ID_SIZE);
    memcpy(item.server, v->server, ID_SIZE);
    (void)snprintf(item.class, sizeof(item.class), "%s", v->class);
    add(x->hub->keeper, &item);
    return 0;
}

static int sweep_user(void *arg, const struct store_user *u, struct err *e)
{
    struct sweep x = *(const struct sweep *)arg;
    struct item item = {.what = PURGE_USER};

    x.user = u->id;
    if (store_volumes_of_user(x.hub->store, u->id, sweep_volume, &x, e) < 0)
        return -1;
    memcpy(item.user, u->id, ID_SIZE);
    add(x.hub->keeper, &item);
    return 0;
}

void keeper_sweep(struct hub *h)
{
    struct sweep x = {.hub = h, .now = clock_unix()};
    struct err e;

    x.before = x.now - (int64_t)(h->conf->undo_ms / 1000);
    h->keeper->listing = true; /* nothing may change the record under a list of it */
    if (store_snapshots(h->store, NULL, sweep_snapshot, &x, &e) < 0 ||
        store_volumes_removed(h->store, x.before, sweep_volume, &x, &e) < 0 ||
        store_removed(h->store, x.before, sweep_user, &x, &e) < 0 ||
        store_undo_expire(h->store, x.now, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    h->keeper->listing = false;
    next(h->keeper);
}

/* ---- at the start ---- */

struct missing {
    struct hub *hub;
    char (*at)[ID_SIZE]; /* owned */
    size_t n;
};

static int look_for(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                    struct err *e)
{
    struct missing *x = arg;
    int there = local_has(x->hub->engine, s->class, s->id, e);

    /* it may only lack its name: what it was kept from was being replaced by something else */
    if (there == 0 && local_settle(x->hub->engine, s->class, v->id, e) < 0) {
        log_err(NULL, LOG_WARN_, e);
        return 0;
    }
    if (there == 0)
        there = local_has(x->hub->engine, s->class, s->id, e);
    if (there != 0) /* a disk that is away says nothing about what is on it */
        return 0;
    x->at = mem_resize(x->at, (x->n + 1) * sizeof(*x->at));
    memcpy(x->at[x->n++], s->id, ID_SIZE);
    return 0;
}

int keeper_check(struct hub *h, struct err *e)
{
    struct missing x = {.hub = h};
    int r = store_snapshots(h->store, NULL, look_for, &x, e);

    for (size_t i = 0; r >= 0 && i < x.n; i++) {
        log_warn(NULL, "snapshot %s was never finished: forgotten", x.at[i]);
        r = store_snapshot_remove(h->store, x.at[i], e);
    }
    free(x.at);
    return r < 0 ? -1 : 0;
}

struct keeper *keeper_new(struct hub *h)
{
    struct keeper *k = mem_new(sizeof(*k));

    *k = (struct keeper){.hub = h};
    list_init(&k->items);
    loop_timer_set(h->loop, &k->low, loop_now(h->loop) + LOOK_MS, look);
    return k;
}

void keeper_free(struct keeper *k)
{
    if (k == NULL)
        return;
    loop_timer_stop(k->hub->loop, &k->low);
    list_each (&k->items, node)
        free(list_of(node, struct item, node));
    map_done(&k->queued);
    free(k);
}
