#include "fleet-int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

enum { RETRY_MS = 50 }; /* between attempts at a postmaster that is awake but takes no connection */

static void step(struct fleet_server *s, enum life_event event);

struct fleet *fleet_new(struct loop *loop, struct engine *engine, const struct fleet_hooks *hooks,
                        size_t mounted_most)
{
    struct fleet *f = mem_new(sizeof(*f));

    *f = (struct fleet){
        .loop = loop, .engine = engine, .hooks = *hooks, .resting_most = mounted_most};
    list_init(&f->resting);
    list_init(&f->queue);
    return f;
}

/* Keep an own copy: the caller's texts are rows of the record, or of a hub file about to be
 * reloaded. */
static void copy_spec(struct fleet_server *s, const struct fleet_want *want)
{
    struct engine_server *spec = engine_server_copy(&want->server);
    char *name = mem_copy(want->name);

    free(s->spec);
    free(s->name);
    s->spec = spec;
    s->name = name;
    s->log_name.value = name;
    drowse_times(s, want->after_ms, want->nap_ms, want->connected_ms);
}

static bool has_process(const struct fleet_server *s)
{
    return s->life.state != LIFE_ASLEEP && s->life.state != LIFE_FAILED;
}

static struct fleet_server *know(struct fleet *f, const struct fleet_want *want)
{
    struct fleet_server *s = map_get(&f->servers, want->server.id);

    if (s == NULL) {
        s = mem_new(sizeof(*s));
        s->fleet = f;
        if (!str_copy(s->id, sizeof(s->id), want->server.id))
            abort();
        s->log_name = (struct log){.key = "name"};
        s->log = (struct log){.outer = &s->log_name, .key = "server", .value = s->id};
        list_init(&s->waiters);
        list_init(&s->stoppers);
        list_init(&s->resting);
        drowse_init(s);
        list_init(&s->queued);
        s->since_ms = loop_now(f->loop);
        map_add(&f->servers, s->id, s);
    }
    /* what runs keeps what it was started with; a new wake takes what the hub says now */
    if (s->spec == NULL || s->life.state == LIFE_ASLEEP || s->life.state == LIFE_FAILED)
        copy_spec(s, want);
    s->fresh = !has_process(s) && !fleet_is_held(f, s->id);
    return s;
}

void fleet_unrest(struct fleet_server *s)
{
    if (list_empty(&s->resting))
        return;
    list_remove(&s->resting);
    s->fleet->resting_n--;
}

static void forget(struct fleet_server *s)
{
    struct fleet *f = s->fleet;

    assert(list_empty(&s->waiters) && list_empty(&s->stoppers));
    fleet_unrest(s);
    list_remove(&s->queued);
    loop_timer_stop(f->loop, &s->deadline);
    drowse_done(s);
    loop_timer_stop(f->loop, &s->retry);
    (void)map_remove(&f->servers, s->id);
    free(s->spec);
    free(s->name);
    free(s->room);
    s->spec = NULL;
    loop_free_later(f->loop, s);
}

/* Nobody would wake it while there is no dormd. */
static void let_run(const struct fleet_server *s)
{
    struct engine *engine = s->fleet->engine;
    struct err e;

    if (s->life.state == LIFE_NAPPING && engine->ops->thaw(engine, s->id, &e) < 0)
        log_err(&s->log, LOG_ERROR_, &e);
}

void fleet_free(struct fleet *f)
{
    if (f == NULL)
        return;
    for (;;) {
        struct fleet_server *s = NULL;

        map_each (&f->servers, slot) {
            s = slot->value;
            break;
        }
        if (s == NULL)
            break;
        list_init(&s->waiters);
        list_init(&s->stoppers);
        let_run(s);
        forget(s);
    }
    loop_timer_stop(f->loop, &f->admit_timer);
    map_done(&f->servers);
    map_each (&f->holds, slot)
        free(slot->value);
    map_done(&f->holds);
    free(f);
}

static void tell(struct fleet_waiter *w, int fd, const struct err *e)
{
    AUTO_CLOSE int given = fd;

    list_remove(&w->node);
    w->waiting = false;
    w->told(w, &given, e);
}

static void tell_all(struct list *waiters, const struct err *e)
{
    while (!list_empty(waiters))
        tell(list_of(list_first(waiters), struct fleet_waiter, node), -1, e);
}

static void serve(struct fleet_server *s);
static void look_again(struct fleet_server *s);

static void retry_now(struct loop_timer *t)
{
    struct fleet_server *s = list_of(t, struct fleet_server, retry);

    if (s->life.state == LIFE_AWAKE)
        serve(s);
    look_again(s); /* whoever was waited for may have left meanwhile */
}

/*
 * A connection that does not come about while the server is awake is not the waiter's failure: its
 * owner may be restarting it, or its backlog is full. It is tried again until that is settled.
 */
static void serve(struct fleet_server *s)
{
    struct fleet *f = s->fleet;

    while (!list_empty(&s->waiters)) {
        struct fleet_waiter *w = list_of(list_first(&s->waiters), struct fleet_waiter, node);
        struct err e;
        int fd = -1;

        if (w->wants_connection && f->engine->ops->connect(f->engine, s->id, &fd, &e) < 0) {
            if (e.kind == ERR_BUSY) {
                loop_timer_set(f->loop, &s->retry, loop_now(f->loop) + RETRY_MS, retry_now);
                return;
            }
            log_err(&s->log, LOG_WARN_, &e);
            tell(w, -1, &e);
            continue;
        }
        tell(w, fd, NULL);
    }
}

static void late(struct loop_timer *t)
{
    struct fleet_server *s = list_of(t, struct fleet_server, deadline);

    if (fleet_still_works(s, late))
        return;
    if (s->life.state == LIFE_WAKING) {
        (void)err_set(&s->failure, ERR_BUSY, "the server did not become ready in time");
        (void)err_hint(&s->failure, "dorm server logs %s", s->log_name.value);
    }
    step(s, LIFE_LATE);
}

static void released(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    (void)owner, (void)outcome;
    if (e != NULL)
        log_err(NULL, LOG_WARN_, e);
}

static void ask_work(const struct fleet_server *s, enum engine_task_what what)
{
    struct engine *engine = s->fleet->engine;
    struct engine_task task = {.what = what,
                               .server = s->id,
                               .volume = s->spec->disks[0].volume,
                               .class = s->spec->disks[0].class,
                               .uid = s->spec->uid};
    struct err e;

    if (s->spec->disks[0].path != NULL && what == ENGINE_TRIM)
        return; /* a static volume has nobody to give anything back to */
    if (engine->ops->work(engine, &task, released, NULL, &e) < 0)
        log_err(&s->log, LOG_WARN_, &e);
}

/* A volume stays mounted while its server sleeps, for a quicker wake, but not all of them for ever.
 */
static void rest_in_turn(struct fleet_server *s)
{
    struct fleet *f = s->fleet;

    if (list_empty(&s->resting)) {
        list_append(&f->resting, &s->resting);
        f->resting_n++;
    }
    while (f->resting_n > f->resting_most) {
        struct fleet_server *oldest = list_of(f->resting.next, struct fleet_server, resting);

        ask_work(oldest, ENGINE_RELEASE);
        forget(oldest);
    }
}

static void ask_engine(struct fleet_server *s, enum life_act act)
{
    struct engine *engine = s->fleet->engine;
    struct err e;
    int r = 0;

    if (act == LIFE_START)
        r = engine->ops->start(engine, s->spec, &e);
    else if (act == LIFE_ASK)
        r = engine->ops->ask(engine, s->spec, &e);
    else if (act == LIFE_FREEZE)
        r = engine->ops->freeze(engine, s->id, &e);
    else if (act == LIFE_THAW)
        r = engine->ops->thaw(engine, s->id, &e);
    else if (act == LIFE_STOP)
        r = engine->ops->stop(engine, s->id, &e);
    else if (act == LIFE_KILL)
        r = engine->ops->kill(engine, s->id, &e);
    if (r == 0)
        return;
    log_err(&s->log, act == LIFE_FREEZE ? LOG_INFO_ : LOG_ERROR_, &e); /* on a busy machine */
    if (act == LIFE_START || act == LIFE_ASK) {
        s->failure = e;
        step(s, LIFE_ENDED);
    }
    if (act == LIFE_FREEZE)
        step(s, LIFE_STIR);
    if (act == LIFE_THAW)
        step(s, LIFE_REST); /* which thaws, or kills when its time is up */
    /* a stop or kill that was refused is tried again, harder, when the deadline passes */
}

/* Between the wish and the start its volume may have been reset, resized or moved. */
static void start(struct fleet_server *s)
{
    struct fleet *f = s->fleet;
    struct err e;

    if (!s->fresh && f->hooks.renew != NULL && f->hooks.renew(f->hooks.owner, s->id, &e) < 0) {
        log_err(&s->log, LOG_WARN_, &e);
        s->failure = e;
        step(s, LIFE_ENDED);
        return;
    }
    s->fresh = false;
    fleet_mend_taken(s);
    ask_engine(s, LIFE_START);
}

static void act_on(struct fleet_server *s, enum life_act act)
{
    switch (act) {
    case LIFE_UNDECIDED:
    case LIFE_NOTHING:
        break;
    case LIFE_START:
        s->failure = (struct err){0};
        start(s);
        break;
    case LIFE_THAW:
        ask_engine(s, act);
        if (s->life.state == LIFE_AWAKE)
            serve(s);
        break;
    case LIFE_ASK:
    case LIFE_FREEZE:
    case LIFE_STOP:
    case LIFE_KILL:
        ask_engine(s, act);
        break;
    case LIFE_SERVE:
        serve(s);
        break;
    case LIFE_SETTLE:
        break;
    case LIFE_FAIL:
    case LIFE_REFUSE:
        if (s->failure.kind == ERR_NONE)
            (void)err_set(&s->failure, ERR_BUSY, "the server ended while it was starting");
        tell_all(&s->waiters, &s->failure);
        break;
    }
}

static void tell_down_if_all_sleep(struct fleet *f)
{
    void (*done)(void *) = f->down;

    if (done == NULL)
        return;
    map_each (&f->servers, slot) {
        if (has_process(slot->value))
            return;
    }
    f->down = NULL;
    done(f->down_owner);
}

/* What holds now that the state is what it is: the levels behind the edges. */
static void look_again(struct fleet_server *s)
{
    struct fleet *f = s->fleet;

    drowse_changed(s);
    if (has_process(s))
        return;
    if (!list_empty(&s->stoppers)) {
        char id[ID_SIZE];

        memcpy(id, s->id, sizeof(id));
        tell_all(&s->stoppers, NULL);
        if (map_get(&f->servers, id) != s || has_process(s))
            return; /* who was told has had it forgotten, or woken */
    }
    if (s->life.state == LIFE_ASLEEP && !list_empty(&s->waiters) && !f->going_down &&
        !fleet_is_held(f, s->id))
        fleet_queue(s);
    else if (s->life.state == LIFE_ASLEEP && s->sessions == 0 && list_empty(&s->waiters))
        rest_in_turn(s);
}

static void step(struct fleet_server *s, enum life_event event)
{
    struct fleet *f = s->fleet;
    enum life_state from = s->life.state;
    enum life_act act = life_step(&s->life, event, loop_now(f->loop));
    enum life_state to = s->life.state;
    char id[ID_SIZE];

    if (s->life.deadline_ms == 0)
        loop_timer_stop(f->loop, &s->deadline);
    else
        loop_timer_set(f->loop, &s->deadline, s->life.deadline_ms, late);
    if (from != to) {
        log_info(&s->log, "%s -> %s (%s, after %llu ms)", life_state_name(from),
                 life_state_name(to), life_event_name(event),
                 (unsigned long long)(loop_now(f->loop) - s->since_ms));
        s->lasted_ms = loop_now(f->loop) - s->since_ms;
        s->since_ms = loop_now(f->loop);
        /* it wakes, and ends at once, again and again */
        s->mend |= from == LIFE_AWAKE && to == LIFE_FAILED;
        fleet_unrest(s);
        if (to == LIFE_ASLEEP && s->spec != NULL)
            ask_work(s, ENGINE_TRIM); /* before a snapshot that would keep what was deleted */
        f->hooks.moved(f->hooks.owner, s->id, from, to);
    }
    memcpy(id, s->id, sizeof(id));
    act_on(s, act);
    /* acting may itself have moved it on, and whoever did that has looked again already; or who was
     * told may have had it forgotten */
    if (map_get(&f->servers, id) == s && s->life.state == to)
        look_again(s);
    fleet_admit(f);
    tell_down_if_all_sleep(f);
}

void fleet_step(struct fleet_server *s, enum life_event event)
{
    step(s, event);
}

void fleet_look_again(struct fleet_server *s)
{
    look_again(s);
}

static void room_changed(struct fleet_server *s, const struct err *why)
{
    free(s->room);
    s->room = why == NULL ? NULL : mem_copy(why->msg);
    if (why != NULL)
        log_err(&s->log, LOG_WARN_, why);
}

/* Its sessions are told why before they hear it shut down. */
static void evict(struct fleet_server *s, const struct err *why)
{
    struct fleet *f = s->fleet;

    log_err(&s->log, LOG_WARN_, why);
    if (s->life.state == LIFE_AWAKE || s->life.state == LIFE_NAPPING)
        f->hooks.evicted(f->hooks.owner, s->id, why);
    step(s, LIFE_REST);
}

void fleet_event(struct fleet *f, const char *server, enum engine_event event,
                 const struct err *why)
{
    struct fleet_server *s = map_get(&f->servers, server);
    char id[ID_SIZE];
    bool named_now;

    if (s == NULL)
        return; /* forgotten while its end was on the way */
    if (event == ENGINE_ROOM) {
        room_changed(s, why);
        return;
    }
    if (event == ENGINE_EVICT) {
        evict(s, why);
        return;
    }
    if (event == ENGINE_TOLD) {
        if (f->hooks.told != NULL && why != NULL)
            f->hooks.told(f->hooks.owner, server, why);
        return;
    }
    if (event == ENGINE_SLOW) {
        fleet_slow(s, why);
        return;
    }
    memcpy(id, s->id, sizeof(id));
    named_now = event == ENGINE_READY && !s->spec->named;
    s->spec->named |= named_now;
    if (why != NULL && s->failure.kind == ERR_NONE) {
        s->failure = *why;
        log_err(&s->log, LOG_WARN_, why);
    }
    step(s, event == ENGINE_READY ? LIFE_READY : LIFE_ENDED);
    if (named_now) /* after those who wait have been let in: it is written to a disk */
        f->hooks.named(f->hooks.owner, id);
}

void fleet_wake(struct fleet *f, const struct fleet_want *want, struct fleet_waiter *w)
{
    struct fleet_server *s = know(f, want);
    struct err e;

    drowse_came(s);
    fleet_unrest(s); /* or it would be forgotten while it is held, and whoever waits with it */
    w->waiting = true;
    list_append(&s->waiters, &w->node);
    if (f->going_down) {
        (void)err_set(&e, ERR_BUSY, "the hub is going down");
        tell(w, -1, &e);
        return;
    }
    if (s->life.state == LIFE_ASLEEP && !fleet_is_held(f, s->id))
        fleet_queue(s);
    else if (has_process(s) || !fleet_is_held(f, s->id))
        step(s, LIFE_WANT);
}

void fleet_renew(struct fleet *f, const struct fleet_want *want)
{
    struct fleet_server *s = map_get(&f->servers, want->server.id);

    if (s != NULL)
        copy_spec(s, want);
}

void fleet_unwait(struct fleet_waiter *w)
{
    if (!w->waiting)
        return;
    list_remove(&w->node);
    w->waiting = false;
}

void fleet_found(struct fleet *f, const struct fleet_want *want)
{
    step(know(f, want), LIFE_FOUND);
}

void fleet_rest(struct fleet *f, const char *server, struct fleet_waiter *w)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s == NULL || s->life.state == LIFE_ASLEEP) {
        AUTO_CLOSE int none = -1;

        w->told(w, &none, NULL);
        return;
    }
    w->waiting = true;
    list_append(&s->stoppers, &w->node);
    step(s, LIFE_REST);
}

int fleet_connect(struct fleet *f, const char *server, int *ret_fd, struct err *e)
{
    const struct fleet_server *s = map_get(&f->servers, server);

    if (s == NULL || s->life.state != LIFE_AWAKE)
        return err_set(e, ERR_BUSY, "the server is not awake");
    return f->engine->ops->connect(f->engine, server, ret_fd, e);
}

bool fleet_session_began(struct fleet *f, const char *server)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s == NULL)
        return false;
    s->sessions++;
    drowse_came(s);
    drowse_changed(s);
    return true;
}

void fleet_session_ended(struct fleet *f, const char *server)
{
    struct fleet_server *s = map_get(&f->servers, server);

    /* 0: the server was forgotten with its dead sessions, and has come back as a new one since */
    if (s == NULL || s->sessions == 0)
        return;
    s->sessions--;
    drowse_stirred(s);
    look_again(s);
}

void fleet_down(struct fleet *f, void (*done)(void *owner), void *owner)
{
    size_t n = 0;
    struct fleet_server **all = mem_new((f->servers.used + 1) * sizeof(*all));

    f->going_down = true;
    f->down = done;
    f->down_owner = owner;
    map_each (&f->servers, slot)
        all[n++] = slot->value;
    for (size_t i = 0; i < n; i++) {
        struct err e;

        (void)err_set(&e, ERR_BUSY, "the hub is going down");
        tell_all(&all[i]->waiters, &e);
        if (has_process(all[i]))
            step(all[i], LIFE_REST);
    }
    free(all);
    tell_down_if_all_sleep(f);
}

void fleet_forget(struct fleet *f, const char *server)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s != NULL && !has_process(s)) {
        struct err e;

        (void)err_set(&e, ERR_NOT_FOUND, "the server is being removed");
        tell_all(&s->waiters, &e);
        tell_all(&s->stoppers, NULL);
        ask_work(s, ENGINE_RELEASE);
        forget(s);
    }
}
