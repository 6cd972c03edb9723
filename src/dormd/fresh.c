#include "fresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/fleet.h"
#include "dormd/news.h"
#include "dormd/people.h"
#include "engine/local.h"
#include "store/store.h"

/* What begins elsewhere on the machine can hold a copy of a mount for a moment. */
enum { AGAIN_MS = 250, TRIES = 40 };
/* Volumes of one server that are kept at a time. Each may be full of files beside the data, and so
 * its user could fill the class, and turn out what is kept for others. */
enum { KEPT_MOST = 3 };

struct fresh {
    struct hub *hub;
    struct loop_timer again;
    unsigned tries;
    struct store_account a;
    struct store_snapshot kept;
    struct store_undo undo;
};

static int count_kept(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                      struct err *e)
{
    unsigned *n = arg;

    (void)v, (void)e;
    *n += s->why == STORE_BEFORE_RESET;
    return 0;
}

static int admit(const struct fresh *f, struct err *e)
{
    const char *name = f->a.server.name;
    unsigned kept = 0;

    if (store_snapshots(f->hub->store, f->a.volume.id, count_kept, &kept, e) < 0)
        return -1;
    if (kept < KEPT_MOST)
        return 0;
    (void)err_set(e, ERR_LIMIT, "%u of its volumes from before it was made anew are still kept",
                  kept);
    return err_hint(e,
                    "go back to one of them: dorm snapshot list %s, dorm undo; or begin anew: dorm "
                    "server reset %s",
                    name, name);
}

static void describe(struct fresh *f)
{
    int64_t now = clock_unix(), until = now + (int64_t)(f->hub->conf->undo_ms / 1000);

    f->kept = (struct store_snapshot){.why = STORE_BEFORE_RESET,
                                      .capacity = f->a.volume.capacity,
                                      .taken_at = now,
                                      .keep_until = until};
    rand_id(f->kept.id);
    memcpy(f->kept.volume, f->a.volume.id, ID_SIZE);
    (void)snprintf(f->kept.class, sizeof(f->kept.class), "%s", f->a.volume.class);
    f->undo = (struct store_undo){.deed = STORE_DID_RESET, .done_at = now, .until = until};
    memcpy(f->undo.server, f->a.server.id, ID_SIZE);
    memcpy(f->undo.volume, f->a.volume.id, ID_SIZE);
    memcpy(f->undo.snapshot, f->kept.id, ID_SIZE);
    (void)snprintf(f->undo.text, sizeof(f->undo.text),
                   "server \"%s\" was made anew: its data directory was empty", f->a.server.name);
}

/* Before the effect, the news as well: what is done and not said would look like a loss. */
static int record(struct fresh *f, struct err *e)
{
    struct store *s = f->hub->store;
    char until[WHEN_SIZE];

    if (store_begin(s, e) < 0)
        return -1;
    if (store_snapshot_add(s, &f->kept, e) < 0 || store_undo_add(s, &f->undo, e) < 0 ||
        store_server_set_named(s, f->a.server.id, false, e) < 0) {
        store_rollback(s);
        return -1;
    }
    news_leave(f->hub, f->a.server.id,
               "your server's data directory was empty: this is a fresh server; the volume as it "
               "was is kept until %s UTC: dorm undo %lld",
               when_minute(until, f->undo.until), (long long)f->undo.number);
    return store_commit(s, e);
}

static void revert(struct fresh *f)
{
    struct store *s = f->hub->store;
    struct err e;

    /* what it was is there under its new name: then it was done, and can be undone */
    if (local_has(f->hub->engine, f->kept.class, f->kept.id, &e) == 1)
        return;
    if (store_undo_remove(s, f->undo.number, &e) < 0 ||
        store_snapshot_remove(s, f->kept.id, &e) < 0 ||
        store_server_set_named(s, f->a.server.id, f->a.server.named, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    free(news_take(f->hub, f->a.server.id));
}

static void over(struct fresh *f, const struct err *e)
{
    struct hub *h = f->hub;
    char id[ID_SIZE];

    memcpy(id, f->a.server.id, sizeof(id));
    if (e != NULL) {
        struct err why = *e;

        (void)err_prefix(&why, "its data directory is empty, and it could not be made anew");
        log_err(NULL, LOG_ERROR_, &why);
        fleet_refuse(h->fleet, id, &why);
    }
    fleet_unhold(h->fleet, id);
    loop_free_later(h->loop, f);
}

static int replace(struct fresh *f, struct err *e);

static void replace_again(struct loop_timer *t)
{
    struct fresh *f = list_of(t, struct fresh, again);
    struct err e;

    if (replace(f, &e) == 0)
        return;
    revert(f);
    over(f, &e);
}

static void replaced(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct fresh *f = owner;
    struct loop *loop = f->hub->loop;

    (void)outcome;
    if (e != NULL && e->kind == ERR_BUSY && ++f->tries < TRIES) {
        loop_timer_set(loop, &f->again, loop_now(loop) + AGAIN_MS, replace_again);
        return;
    }
    if (e != NULL)
        revert(f);
    else
        log_info(NULL, "%s; undo: dorm undo %lld", f->undo.text, (long long)f->undo.number);
    over(f, e);
}

static int replace(struct fresh *f, struct err *e)
{
    struct hub *h = f->hub;
    struct engine_task task = {.what = ENGINE_REPLACE,
                               .server = f->a.server.id,
                               .volume = f->a.volume.id,
                               .class = f->a.volume.class,
                               .uid = f->a.user.uid,
                               .snapshot = f->kept.id};

    return h->engine->ops->work(h->engine, &task, replaced, f, e);
}

void fresh_begin(struct hub *h, const char *server)
{
    struct fresh *f = mem_new(sizeof(*f));
    struct err e;

    f->hub = h;
    fleet_hold(h->fleet, server);
    if (people_account(h, server, &f->a, &e) < 0) {
        memcpy(f->a.server.id, server, ID_SIZE);
        over(f, &e);
        return;
    }
    if (admit(f, &e) < 0) {
        over(f, &e);
        return;
    }
    describe(f);
    /* on the way through ASLEEP, in a later turn, those who wait are kept by the hold */
    fleet_rest_and_wait(h->fleet, server);
    if (record(f, &e) < 0) {
        over(f, &e);
        return;
    }
    if (INJECT("fresh.recorded", &e) == 0 && replace(f, &e) == 0)
        return;
    revert(f);
    over(f, &e);
}
