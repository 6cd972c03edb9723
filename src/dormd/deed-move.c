/* Moving a volume to another class, and going on with it after a crash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "deed-int.h"
#include "dormd/news.h"
#include "dormd/people.h"

struct leftover {
    struct hub *hub;
    char volume[ID_SIZE], class[STORE_CLAIM_SIZE];
};

static void left_behind(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    (void)outcome;
    if (e != NULL)
        log_err(NULL, LOG_WARN_, e); /* tried again at the next start */
    free(owner);
}

/* The copy that a finished move has left in the old class. */
static void drop_old(struct hub *h, const char *volume, const char *class)
{
    struct leftover *x = mem_new(sizeof(*x));
    struct engine_task task = {
        .what = ENGINE_DESTROY, .server = "", .volume = x->volume, .class = x->class};
    struct err e;

    x->hub = h;
    memcpy(x->volume, volume, ID_SIZE);
    (void)snprintf(x->class, sizeof(x->class), "%s", class);
    if (h->engine->ops->work(h->engine, &task, left_behind, x, &e) < 0)
        left_behind(x, NULL, &e);
}

static int arrive(struct hub *h, const struct store_volume *v, struct store_undo *u, struct err *e)
{
    if (store_begin(h->store, e) < 0)
        return -1;
    if (store_undo_add(h->store, u, e) < 0 || store_volume_moved(h->store, v->id, e) < 0) {
        store_rollback(h->store);
        return -1;
    }
    return store_commit(h->store, e);
}

static void moved(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct deed *d = owner;
    struct err why;

    (void)outcome;
    if (e == NULL && arrive(d->hub, &d->v, &d->undo, &why) < 0)
        e = &why;
    if (e != NULL) {
        (void)store_volume_set_moving(d->hub->store, d->v.id, "", &(struct err){0});
        deed_finish(d, e);
        return;
    }
    drop_old(d->hub, d->v.id, d->v.class);
    call_say(d->call, "%s", d->undo.text);
    deed_say_undo(d);
    deed_finish(d, NULL);
}

static void copy(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct deed *d = owner;
    struct engine_task task = deed_task(d, ENGINE_MOVE);
    struct err why;

    (void)outcome;
    if (e == NULL && store_volume_set_moving(d->hub->store, d->v.id, d->to_class, &why) < 0)
        e = &why;
    if (e != NULL) {
        deed_finish(d, e);
        return;
    }
    task.to_class = d->to_class;
    task.capacity = d->v.capacity;
    deed_work(d, &task, moved);
}

/* What an earlier move may have left there would pass for the copy of this one. */
static void move(struct deed *d)
{
    struct engine_task task = deed_task(d, ENGINE_DESTROY);

    task.class = d->to_class;
    deed_work(d, &task, copy);
}

static void describe_move(struct deed *d, const char *class)
{
    char text[STORE_TEXT_SIZE];

    (void)snprintf(text, sizeof(text), "volume \"%.80s\" was moved from class %.60s to %.60s",
                   d->v.claim, d->v.class, class);
    deed_will_undo(d, STORE_DID_MOVE, text);
    (void)snprintf(d->undo.before, sizeof(d->undo.before), "%s", d->v.class);
}

void deed_move(struct deed *d, const char *class)
{
    struct err e;

    if (str_is(class, d->v.class) || conf_class(d->hub->conf, class) == NULL) {
        (void)err_set(&e, ERR_INPUT,
                      str_is(class, d->v.class) ? "volume \"%s\" is in class \"%s\""
                                                : "volume \"%s\": there is no class \"%s\"",
                      d->v.claim, class);
        (void)err_hint(&e, "dorm storage list");
        call_fail(d->call, &e);
        return;
    }
    (void)snprintf(d->to_class, sizeof(d->to_class), "%s", class);
    describe_move(d, class);
    deed_rest_then(d, "being moved to another disk", move);
}

/* ---- after a crash ---- */

struct resumed {
    struct hub *hub;
    struct store_volume v;
    struct store_undo undo;
};

static void resumed_done(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct resumed *x = owner;
    struct err why;

    (void)outcome;
    if (e == NULL && arrive(x->hub, &x->v, &x->undo, &why) < 0)
        e = &why;
    if (e == NULL) {
        drop_old(x->hub, x->v.id, x->v.class);
    } else {
        log_err(NULL, LOG_ERROR_, e);
        /* it stays where it is, and its server may wake again */
        if (store_volume_set_moving(x->hub->store, x->v.id, "", &why) < 0)
            log_err(NULL, LOG_ERROR_, &why);
    }
    if (x->v.server[0] != '\0')
        fleet_unhold(x->hub->fleet, x->v.server);
    free(x);
}

/* Collected first: a move that is refused at once changes the record. */
struct moving {
    struct store_volume *at; /* owned */
    size_t n;
};

static int note_moving(void *arg, const struct store_volume *v, const char *server,
                       const char *owner, struct err *e)
{
    struct moving *m = arg;

    (void)server, (void)owner, (void)e;
    if (v->moving_to[0] == '\0')
        return 0;
    m->at = mem_resize(m->at, (m->n + 1) * sizeof(*m->at));
    m->at[m->n++] = *v;
    return 0;
}

static void resume_move(struct hub *h, const struct store_volume *v)
{
    struct resumed *x;
    struct store_account a = {0};
    struct err e;

    if (v->server[0] != '\0' && people_account(h, v->server, &a, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        return;
    }
    x = mem_new(sizeof(*x));
    *x = (struct resumed){.hub = h, .v = *v};
    x->undo = (struct store_undo){
        .deed = STORE_DID_MOVE, .done_at = clock_unix(), .until = deed_undo_until(h)};
    memcpy(x->undo.server, v->server, ID_SIZE);
    memcpy(x->undo.volume, v->id, ID_SIZE);
    (void)snprintf(x->undo.before, sizeof(x->undo.before), "%s", v->class);
    (void)snprintf(x->undo.text, sizeof(x->undo.text),
                   "volume \"%.80s\" was moved from class %.60s to %.60s", v->claim, v->class,
                   v->moving_to);
    if (v->server[0] != '\0')
        fleet_hold(h->fleet, x->v.server);
    log_info(NULL, "going on with the move of volume \"%s\"", v->claim);
    if (h->engine->ops->work(h->engine,
                             &(struct engine_task){.what = ENGINE_MOVE,
                                                   .server = x->v.server,
                                                   .volume = x->v.id,
                                                   .class = x->v.class,
                                                   .uid = a.user.uid,
                                                   .to_class = x->v.moving_to,
                                                   .capacity = v->capacity},
                             resumed_done, x, &e) < 0)
        resumed_done(x, NULL, &e);
}

static int redo_drop(void *arg, const struct store_undo *u, const char *server, const char *claim,
                     struct err *e)
{
    struct hub *h = arg;
    struct store_volume v;

    (void)server, (void)claim;
    if (u->deed == STORE_DID_MOVE && store_volume_by_id(h->store, u->volume, &v, e) == 0 &&
        !str_is(v.class, u->before) && v.moving_to[0] == '\0')
        drop_old(h, v.id, u->before);
    return 0;
}

void deed_resume(struct hub *h)
{
    struct moving list = {0};
    struct err e;

    if (store_volumes(h->store, NULL, note_moving, &list, &e) < 0)
        log_err(NULL, LOG_ERROR_, &e);
    for (size_t i = 0; i < list.n; i++)
        resume_move(h, &list.at[i]);
    free(list.at);
    deed_drop_leftovers(h);
}

void deed_drop_leftovers(struct hub *h)
{
    struct err e;

    if (store_undos(h->store, clock_unix(), redo_drop, h, &e) < 0)
        log_err(NULL, LOG_ERROR_, &e);
}
