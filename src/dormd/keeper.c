#include "keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
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
    char user[ID_SIZE], server[ID_SIZE], volume[ID_SIZE], snapshot[ID_SIZE];
    char class[STORE_CLAIM_SIZE];
    uint64_t unless; /* TAKE_SNAPSHOT: the mark of the one before */
};

struct keeper {
    struct hub *hub;
    struct list items; /* the first is under way */
    bool busy, listing;
    struct loop_timer low;
};

static void next(struct keeper *k);

/* ---- the queue ---- */

static char *mark_key(const char *volume)
{
    return mem_printf("mark.%s", volume);
}

static bool is_queued(struct keeper *k, const struct item *x)
{
    list_each (&k->items, node) {
        const struct item *i = list_of(node, struct item, node);

        if (i->what == x->what && str_is(i->user, x->user) && str_is(i->volume, x->volume) &&
            str_is(i->snapshot, x->snapshot) && x->what != TAKE_SNAPSHOT)
            return true;
    }
    return false;
}

static void add(struct keeper *k, const struct item *x)
{
    struct item *i;

    if (is_queued(k, x))
        return;
    i = mem_new(sizeof(*i));
    *i = *x;
    i->hub = k->hub;
    list_init(&i->node);
    list_append(&k->items, &i->node);
    next(k);
}

struct history {
    struct store_snapshot newest, oldest; /* of those by time; id "" if none */
    size_t n;
};

static int recall(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                  struct err *e)
{
    struct history *x = arg;

    (void)v, (void)e;
    if (s->why != STORE_BY_TIME)
        return 0;
    if (x->n++ == 0)
        x->oldest = *s;
    x->newest = *s;
    return 0;
}

/* The one that has just been taken counts already. */
static void prune(const struct item *i)
{
    struct hub *h = i->hub;
    struct history x = {0};
    struct err e;

    if (store_snapshots(h->store, i->volume, recall, &x, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    else if (x.n > h->conf->server.snapshots.keep)
        keeper_drop(h, &x.oldest);
}

/* One after which nothing was written would be worth as much as the one before. */
static int snapshot_taken(struct item *i, const struct engine_outcome *outcome, struct err *e)
{
    struct store *s = i->hub->store;
    AUTO_FREE char *key = mark_key(i->volume), *mark = NULL;

    if (outcome->unchanged)
        return store_snapshot_remove(s, i->snapshot, e);
    prune(i);
    mark = mem_printf("%llu", (unsigned long long)outcome->mark);
    return store_snapshot_taken(s, i->snapshot, outcome->extents, outcome->took_us, e) < 0
               ? -1
               : store_setting_set(s, key, mark, e);
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
        if (i->user[0] != '\0')
            return 0; /* goes with the user */
        return store_volume_purge(s, i->volume, e) < 0 ||
                       (i->server[0] != '\0' && store_server_purge(s, i->server, e) < 0)
                   ? -1
                   : 0;
    case PURGE_USER:
        break;
    }
    return 0;
}

static void over(struct item *i, const struct engine_outcome *outcome, const struct err *e)
{
    struct keeper *k = i->hub->keeper;
    struct err why;

    if (e == NULL && settle(i, outcome, &why) < 0)
        e = &why;
    if (e != NULL) {
        log_err(NULL, LOG_WARN_, e); /* tried again at the next sweep */
        if (i->what == TAKE_SNAPSHOT)
            (void)store_snapshot_remove(i->hub->store, i->snapshot, &why);
    }
    list_remove(&i->node);
    free(i);
    k->busy = false;
    next(k);
}

static void worked(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    over(owner, outcome, e);
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

static int still_there(void *arg, const struct store_volume *v, struct err *e)
{
    const struct hub *h = arg;
    int there = v->path[0] != '\0' ? 0 : local_has(h->engine, v->class, v->id, e);

    if (there > 0)
        (void)err_set(e, ERR_BUSY, "volume \"%s\" could not be deleted yet", v->claim);
    return there == 0 ? 0 : -1;
}

/* Their rows go when nothing of theirs is left: until then somebody must know of it. */
static void purge_user(struct item *i)
{
    struct store *s = i->hub->store;
    struct err e;

    if (store_volumes_of_user(s, i->user, still_there, i->hub, &e) < 0 ||
        store_user_purge(s, i->user, NULL, NULL, &e) < 0)
        over(i, NULL, &e);
    else
        over(i, NULL, NULL);
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
                               .snapshot = i->snapshot,
                               .unless = i->unless};
    struct err e;

    if (i->what == PURGE_USER) {
        purge_user(i);
        return;
    }
    if (i->what == DESTROY_VOLUME && i->server[0] != '\0')
        forget_logs(i->hub, i->server);
    if (i->hub->engine->ops->work(i->hub->engine, &task, worked, i, &e) < 0)
        over(i, NULL, &e);
}

static void next(struct keeper *k)
{
    if (k->busy || k->listing || list_empty(&k->items) || k->hub->going_down)
        return;
    k->busy = true;
    begin(list_of(list_first(&k->items), struct item, node));
}

void keeper_drop(struct hub *h, const struct store_snapshot *s)
{
    struct item x = {.what = DROP_SNAPSHOT};

    memcpy(x.volume, s->volume, ID_SIZE);
    memcpy(x.snapshot, s->id, ID_SIZE);
    (void)snprintf(x.class, sizeof(x.class), "%s", s->class);
    add(h->keeper, &x);
}

/* ---- snapshots by time ---- */

static int take(struct hub *h, const struct store_volume *v, struct err *e)
{
    struct store_snapshot s = {
        .why = STORE_BY_TIME, .capacity = v->capacity, .taken_at = clock_unix()};
    struct item x = {.what = TAKE_SNAPSHOT};
    AUTO_FREE char *key = mark_key(v->id);
    char mark[24];

    if (store_setting_get(h->store, key, mark, sizeof(mark), e) < 0)
        return -1;
    if (!str_u64(mark, &x.unless))
        x.unless = 0;
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
    if (v.path[0] != '\0' || v.removed_at != 0 || !str_is(v.component, "postgres") ||
        store_snapshots(h->store, v.id, recall, &x, e) < 0)
        return v.path[0] != '\0' || v.removed_at != 0 || !str_is(v.component, "postgres") ? 0 : -1;
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
    bool orphaned = v->removed_at != 0 && v->removed_at < x->before;

    (void)e;
    if (orphaned || (s->keep_until != 0 && s->keep_until < x->now))
        keeper_drop(x->hub, s);
    return 0;
}

static int sweep_volume(void *arg, const struct store_volume *v, struct err *e)
{
    const struct sweep *x = arg;
    struct item item = {.what = DESTROY_VOLUME};

    (void)e;
    if (v->path[0] != '\0')
        return 0;
    if (x->user != NULL)
        memcpy(item.user, x->user, ID_SIZE);
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

    (void)v;
    /* a disk that is away says nothing about what is on it */
    if (local_has(x->hub->engine, s->class, s->id, e) != 0)
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
    free(k);
}
