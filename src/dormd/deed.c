#include "deed-int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/door.h"
#include "dormd/events.h"
#include "dormd/news.h"
#include "dormd/people.h"
#include "engine/local.h"

int64_t deed_undo_until(const struct hub *h)
{
    return clock_unix() + (int64_t)(h->conf->undo_ms / 1000);
}

struct deed *deed_new(struct call *c, const struct store_volume *v, struct err *e)
{
    struct deed *d = mem_new(sizeof(*d));

    free(c->state);
    c->state = d;
    d->call = c;
    d->hub = c->hub;
    d->v = *v;
    if (v->path[0] != '\0') {
        (void)err_set(e, ERR_INPUT, "volume \"%s\" is static: it is the directory %s", v->claim,
                      v->path);
        (void)err_hint(e, "what is in it is yours to copy, move or delete");
        return NULL;
    }
    if (v->moving_to[0] != '\0') {
        (void)err_set(e, ERR_BUSY, "volume \"%s\" is on its way to class \"%s\"", v->claim,
                      v->moving_to);
        return NULL;
    }
    if (v->server[0] != '\0' && people_account(c->hub, v->server, &d->a, e) < 0)
        return NULL;
    return d;
}

/* ---- what all have in common ---- */

void deed_finish(struct deed *d, const struct err *e)
{
    struct err kept = e == NULL ? (struct err){0} : *e;

    if (d->holding) {
        d->holding = false;
        fleet_unhold(d->hub->fleet, d->a.server.id);
    }
    call_finish(d->call, e == NULL ? NULL : &kept);
}

/* Another deed may have come first while its server fell asleep. */
static int look_again(struct deed *d, struct err *e)
{
    struct store_volume now;

    if (store_volume_by_id(d->hub->store, d->v.id, &now, e) < 0)
        return -1;
    if (now.removed_at == 0 && now.moving_to[0] == '\0' && str_is(now.class, d->v.class)) {
        d->v = now;
        return 0;
    }
    (void)err_set(e, ERR_BUSY, "volume \"%s\" was changed by somebody else just now", d->v.claim);
    return err_hint(e, "dorm volume show %s, then try again", d->v.claim);
}

static void rested(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct call *c = list_of(w, struct call, waiter);
    struct deed *d = c->state;
    struct err why;

    (void)fd;
    if (e == NULL && look_again(d, &why) < 0)
        e = &why;
    if (e != NULL)
        deed_finish(d, e);
    else
        d->act(d);
}

/* Whoever is in hears why before the server goes. From here on the call lasts to the end. */
void deed_rest_then(struct deed *d, const char *what, void (*act)(struct deed *d))
{
    struct call *c = d->call;
    struct err why;

    call_hold(c);
    d->act = act;
    if (d->a.server.id[0] == '\0') {
        if (look_again(d, &why) < 0)
            deed_finish(d, &why);
        else
            act(d);
        return;
    }
    (void)err_set(&why, ERR_BUSY, "terminating connection: your server is %s", what);
    (void)err_hint(&why, "Connect again in a moment.");
    d->holding = true;
    fleet_hold(d->hub->fleet, d->a.server.id);
    door_kick(d->hub->door, d->a.server.id, &why);
    c->waiter.told = rested;
    fleet_rest(d->hub->fleet, d->a.server.id, &c->waiter);
}

struct engine_task deed_task(const struct deed *d, enum engine_task_what what)
{
    return (struct engine_task){.what = what,
                                .server = d->a.server.id,
                                .volume = d->v.id,
                                .class = d->v.class,
                                .uid = d->a.user.uid,
                                .snapshot = d->kept.id};
}

void deed_work(struct deed *d, const struct engine_task *task, engine_task_fn done)
{
    struct engine *engine = d->hub->engine;
    struct err e;

    if (engine->ops->work(engine, task, done, d, &e) < 0)
        done(d, &(struct engine_outcome){0}, &e);
}

void deed_revert(struct deed *d)
{
    struct store *s = d->hub->store;
    struct err e;

    /* what it was is there under its new name: then it was done, and can be undone */
    if (d->kept.id[0] != '\0' && d->undo.deed != STORE_DID_RESIZE &&
        local_has(d->hub->engine, d->kept.class, d->kept.id, &e) == 1)
        return;
    if ((d->undo.number != 0 && store_undo_remove(s, d->undo.number, &e) < 0) ||
        (d->kept.id[0] != '\0' && local_has(d->hub->engine, d->kept.class, d->kept.id, &e) != 1 &&
         store_snapshot_remove(s, d->kept.id, &e) < 0) ||
        (d->capacity != 0 && store_volume_set_capacity(s, d->v.id, d->v.capacity, &e) < 0) ||
        (d->act == deed_replace && str_is(d->v.component, "postgres") &&
         store_server_set_named(s, d->a.server.id, d->a.server.named, &e) < 0))
        log_err(NULL, LOG_WARN_, &e);
}

void deed_will_keep(struct deed *d, enum store_why why, bool running)
{
    d->kept = (struct store_snapshot){.why = why,
                                      .capacity = d->v.capacity,
                                      .running = running,
                                      .taken_at = clock_unix(),
                                      .keep_until = deed_undo_until(d->hub)};
    rand_id(d->kept.id);
    memcpy(d->kept.volume, d->v.id, ID_SIZE);
    (void)snprintf(d->kept.class, sizeof(d->kept.class), "%s", d->v.class);
}

void deed_will_undo(struct deed *d, enum store_deed deed, const char *text)
{
    d->undo = (struct store_undo){
        .deed = deed, .done_at = clock_unix(), .until = deed_undo_until(d->hub)};
    memcpy(d->undo.server, d->a.server.id, ID_SIZE);
    memcpy(d->undo.volume, d->v.id, ID_SIZE);
    memcpy(d->undo.snapshot, d->kept.id, ID_SIZE);
    (void)snprintf(d->undo.text, sizeof(d->undo.text), "%s", text);
}

void deed_say_undo(struct deed *d)
{
    char keep[16];

    call_remark(d->call, "undo, within %s%s: dorm undo %lld",
                str_duration(keep, sizeof(keep), d->hub->conf->undo_ms),
                d->undo.deed == STORE_DID_RESIZE ? ", with all that is written until then" : "",
                (long long)d->undo.number);
}

void deed_tell_users(const struct call *c, const struct store_undo *u)
{
    char until[WHEN_SIZE];

    event_add(c->hub, EVENT_DEED, u->server, NULL, "%s by %s: dorm undo %lld", u->text,
              c->uid == 0 ? "root" : c->self, (long long)u->number);
    if (c->uid == 0 && u->server[0] != '\0')
        news_leave(c->hub, u->server,
                   "%s, by the administrator; undo, until %s UTC: dorm undo %lld", u->text,
                   when_minute(until, u->until), (long long)u->number);
}

/* Before the effect: what is on the disk and not in the record would be lost to everybody. */
static int record(struct deed *d, struct err *e)
{
    struct store *s = d->hub->store;
    int r = store_begin(s, e);

    if (r < 0)
        return -1;
    if (d->kept.id[0] != '\0')
        r = store_snapshot_add(s, &d->kept, e);
    if (r >= 0 && d->undo.done_at != 0)
        r = store_undo_add(s, &d->undo, e);
    if (r >= 0 && d->capacity != 0)
        r = store_volume_set_capacity(s, d->v.id, d->capacity, e);
    /* what comes back may be from before it had its name: looked at again at the next wake */
    if (r >= 0 && d->act == deed_replace && str_is(d->v.component, "postgres"))
        r = store_server_set_named(s, d->a.server.id, false, e);
    if (r >= 0)
        return store_commit(s, e);
    store_rollback(s);
    return -1;
}

/* ---- reset and restore: another content in the place of the present one ---- */

static void replaced(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct deed *d = owner;

    (void)outcome;
    if (e != NULL) {
        deed_revert(d);
        deed_finish(d, e);
        return;
    }
    call_say(d->call, "%s", d->undo.text);
    deed_say_undo(d);
    deed_tell_users(d->call, &d->undo);
    deed_finish(d, NULL);
}

void deed_replace(struct deed *d)
{
    struct engine_task task = deed_task(d, ENGINE_REPLACE);
    struct err e;

    task.from = d->from[0] == '\0' ? NULL : d->from;
    task.from_class = d->from_class;
    if (record(d, &e) < 0 || INJECT("deed.recorded", &e) < 0) {
        deed_finish(d, &e);
        return;
    }
    deed_work(d, &task, replaced);
}

bool deed_never_used(struct deed *d)
{
    struct err e;

    if (!str_is(d->v.component, "postgres") || d->a.server.named ||
        local_has(d->hub->engine, d->v.class, d->v.id, &e) != 0)
        return false;
    (void)err_set(&e, ERR_INPUT, "server \"%s\" is new: nothing in it could be lost",
                  d->a.server.name);
    call_fail(d->call, &e);
    return true;
}

void deed_reset(struct deed *d)
{
    char text[STORE_TEXT_SIZE];

    if (deed_never_used(d))
        return;
    (void)snprintf(text, sizeof(text), "server \"%s\" was reset: it is as a new one",
                   d->a.server.name);
    deed_will_keep(d, STORE_BEFORE_RESET, false);
    deed_will_undo(d, STORE_DID_RESET, text);
    deed_rest_then(d, "being reset", deed_replace);
}

void deed_restore_from(struct deed *d, const struct store_snapshot *from)
{
    memcpy(d->from, from->id, ID_SIZE);
    (void)snprintf(d->from_class, sizeof(d->from_class), "%s", from->class);
    deed_rest_then(d, "being restored", deed_replace);
}

void deed_restore(struct deed *d, const struct store_snapshot *from)
{
    char text[STORE_TEXT_SIZE], when[WHEN_SIZE];

    (void)snprintf(text, sizeof(text), "volume \"%.100s\" was restored as of %s UTC", d->v.claim,
                   when_second(when, from->taken_at));
    deed_will_keep(d, STORE_BEFORE_RESTORE, false);
    deed_will_undo(d, STORE_DID_RESTORE, text);
    deed_restore_from(d, from);
}

/* ---- resize ---- */

static void grown(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct deed *d = owner;
    char capacity[16];

    if (e != NULL) {
        deed_revert(d);
        deed_finish(d, e);
        return;
    }
    call_say(d->call, "volume \"%s\" has %s%s", d->v.claim,
             str_size(capacity, sizeof(capacity), d->capacity),
             outcome->later ? " from the next wake of its server on" : " now");
    deed_say_undo(d);
    deed_finish(d, NULL);
}

static void grow(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct deed *d = owner;
    struct engine_task task = deed_task(d, ENGINE_GROW);

    (void)outcome;
    if (e != NULL) {
        deed_revert(d);
        deed_finish(d, e);
        return;
    }
    task.capacity = d->capacity;
    deed_work(d, &task, grown);
}

/* A snapshot first: what resize2fs does to a file system cannot be taken back otherwise. */
static void resize(struct deed *d)
{
    struct engine_task task = deed_task(d, ENGINE_SNAPSHOT);
    struct err e;

    if (record(d, &e) < 0)
        deed_finish(d, &e);
    else
        deed_work(d, &task, grow);
}

void deed_resize(struct deed *d, uint64_t capacity)
{
    char text[STORE_TEXT_SIZE], had[16], has[16];
    bool awake = fleet_look(d->hub->fleet, d->a.server.id).state != LIFE_ASLEEP;
    struct err e;
    bool exists = local_has(d->hub->engine, d->v.class, d->v.id, &e) != 0;

    d->capacity = capacity;
    (void)snprintf(text, sizeof(text), "volume \"%.100s\" was resized from %s to %s", d->v.claim,
                   str_size(had, sizeof(had), d->v.capacity), str_size(has, sizeof(has), capacity));
    if (!exists) { /* not made yet: it will be of that size */
        if (store_volume_set_capacity(d->hub->store, d->v.id, capacity, &e) < 0) {
            call_fail(d->call, &e);
            return;
        }
        call_say(d->call, "%s", text);
        call_done(d->call);
        return;
    }
    deed_will_keep(d, STORE_BEFORE_RESIZE, awake);
    deed_will_undo(d, STORE_DID_RESIZE, text);
    call_hold(d->call);
    resize(d);
}
