#include "drowse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "fleet-int.h"

enum {
    AGAIN_MOST_MS = 60000,     /* between two looks at one that is at work */
    FAILED_MOST_MS = 600000,   /* between two looks that fail */
    PATIENCE_MS = 8 * 3600000, /* with one that cannot be looked into, where nothing else is said */
    LEAVE_MS = 2000,           /* for sessions to be told, and gone */
    ANSWER_MS = 2000,          /* for the gate, while an operator waits */
    WANTED_QUIET_MS = 50,      /* whoever spoke later may not have been heard by their server yet */
};

/* A look under way: it outlives its server, if need be. */
struct drowse_look {
    struct fleet_server *server; /* NULL: nobody wants the answer any more */
};

static struct loop *loop_of(const struct fleet_server *s)
{
    return s->fleet->loop;
}

static uint64_t now_of(const struct fleet_server *s)
{
    return loop_now(loop_of(s));
}

/* UINT64_MAX: never. */
static uint64_t later(uint64_t since, uint64_t ms)
{
    return ms >= UINT64_MAX - since ? UINT64_MAX : since + ms;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t after_of(const struct fleet_server *s)
{
    return s->after_ms == 0 ? UINT64_MAX : s->after_ms;
}

/* ---- nappers: an operator's wish ---- */

static bool is_wanted(const struct fleet_server *s)
{
    return !list_empty(&s->drowse.nappers);
}

static void answer_nappers(struct fleet_server *s, const struct err *e)
{
    AUTO_CLOSE int none = -1;

    while (is_wanted(s)) {
        struct fleet_waiter *w = list_of(s->drowse.nappers.next, struct fleet_waiter, node);

        list_remove(&w->node);
        w->waiting = false;
        w->told(w, &none, e);
    }
}

static void refuse_nappers(struct fleet_server *s, const char *why)
{
    struct err e;

    if (!is_wanted(s))
        return;
    (void)err_set(&e, ERR_BUSY, "server \"%s\" cannot nap now: %s", s->name, why);
    answer_nappers(s, &e);
}

/* ---- what is next ---- */

static void tick(struct loop_timer *t);

static void wait_until(struct fleet_server *s, uint64_t at)
{
    if (at == UINT64_MAX)
        loop_timer_stop(loop_of(s), &s->drowse.timer);
    else
        loop_timer_set(loop_of(s), &s->drowse.timer, at, tick);
}

/* When there is next something to be done, if nobody comes or speaks. */
static uint64_t due(const struct fleet_server *s)
{
    const struct drowse *d = &s->drowse;

    switch (d->mode) {
    case DROWSE_NOTHING:
        break;
    case DROWSE_EMPTY:
        return later(d->since_ms, after_of(s));
    case DROWSE_CROWD:
        return later(d->since_ms, least(s->nap_ms, s->connected_ms));
    case DROWSE_NAP:
        return later(d->since_ms, s->sessions == 0 ? after_of(s) : s->connected_ms);
    }
    return UINT64_MAX;
}

static void stop_look(struct drowse *d)
{
    if (d->look != NULL)
        d->look->server = NULL;
    d->look = NULL;
    d->asked = 0;
}

static void begin_anew(struct fleet_server *s)
{
    struct drowse *d = &s->drowse;

    stop_look(d);
    d->failed = 0;
    d->dismissed = false;
    d->doing[0] = '\0';
    d->since_ms = now_of(s);
    wait_until(s, due(s));
}

/* It is at work, or cannot be looked into: not yet, then. */
static void look_later(struct fleet_server *s)
{
    const struct drowse *d = &s->drowse;
    uint64_t own = d->mode == DROWSE_EMPTY ? after_of(s) : least(s->nap_ms, s->connected_ms);
    uint64_t pause = least(own, AGAIN_MOST_MS);

    if (d->failed > 1)
        pause = least(pause << least(d->failed - 1, 10), FAILED_MOST_MS);
    wait_until(s, later(now_of(s), pause));
}

/* ---- going ---- */

/* Those in it are told first, and then it sleeps: whoever hears it shut down heard why before. */
static void dismiss(struct fleet_server *s)
{
    struct fleet *f = s->fleet;
    char text[24];
    struct err why;

    s->drowse.dismissed = true;
    (void)err_set(&why, ERR_BUSY,
                  "terminating connection: your server fell asleep because nobody spoke for %s; "
                  "connect again and it wakes",
                  str_duration(text, sizeof(text), now_of(s) - s->drowse.since_ms));
    if (f->hooks.dismissed != NULL)
        f->hooks.dismissed(f->hooks.owner, s->id, &why);
    wait_until(s, now_of(s) + LEAVE_MS);
}

static void nap(struct fleet_server *s)
{
    fleet_step(s, LIFE_NAP);
    if (s->life.state == LIFE_NAPPING)
        answer_nappers(s, NULL);
    else {
        s->drowse.failed++;
        look_later(s);
    }
    refuse_nappers(s, "it did not freeze");
}

/* ---- looking ---- */

static bool patience_is_over(const struct fleet_server *s)
{
    uint64_t patience = s->connected_ms == UINT64_MAX ? PATIENCE_MS : s->connected_ms;

    return now_of(s) >= later(s->drowse.since_ms, patience);
}

/* Nobody is in it. */
static void settle_empty(struct fleet_server *s, const struct engine_doing *doing)
{
    bool asleep_now = doing == NULL ? patience_is_over(s) : !doing->busy;

    if (is_wanted(s) && doing != NULL && !doing->busy)
        nap(s);
    else if (asleep_now && now_of(s) >= due(s))
        fleet_step(s, LIFE_REST);
    else
        look_later(s);
}

/* Somebody is in it, and nobody speaks. */
static void settle_crowd(struct fleet_server *s, const struct engine_doing *doing)
{
    uint64_t now = now_of(s), since = s->drowse.since_ms;
    bool quiet = doing != NULL && !doing->busy;

    if (now >= later(since, s->connected_ms) && (quiet || doing == NULL))
        dismiss(s);
    else if (quiet && !doing->timed && (is_wanted(s) || now >= later(since, s->nap_ms)))
        nap(s);
    else if (quiet && doing->timed) /* only sleep is left */
        wait_until(s, later(since, s->connected_ms));
    else
        look_later(s);
}

/* What keeps it from napping, or from sleeping where nobody is in it. */
static const char *why_not(const struct drowse *d, const struct engine_doing *doing)
{
    if (doing == NULL)
        return "it could not be asked what it does";
    if (doing->busy)
        return doing->what;
    return doing->timed && d->mode == DROWSE_CROWD ? "idle_session_timeout goes on during a nap"
                                                   : "";
}

static void looked(void *owner, const struct engine_doing *doing, const struct err *e)
{
    AUTO_FREE struct drowse_look *l = owner;
    struct fleet_server *s = l->server;
    struct drowse *d;
    struct err broken;

    if (s == NULL)
        return;
    if (INJECT("nap.settling", &broken) < 0) {
        doing = NULL;
        e = &broken;
    }
    d = &s->drowse;
    d->look = NULL;
    d->failed = e == NULL ? 0 : d->failed + 1;
    (void)snprintf(d->doing, sizeof(d->doing), "%s", why_not(d, doing));
    if (e != NULL)
        log_info(&s->log, "stays awake: %s", e->msg);
    if (d->doing[0] != '\0')
        refuse_nappers(s, d->doing);
    if (d->mode == DROWSE_EMPTY)
        settle_empty(s, doing);
    else
        settle_crowd(s, doing);
}

static void look(struct fleet_server *s)
{
    struct engine *engine = s->fleet->engine;
    struct drowse_look *l;
    struct err e;

    if (s->drowse.look != NULL)
        return;
    l = mem_new(sizeof(*l));
    l->server = s;
    s->drowse.look = l;
    if (engine->ops->look(engine, s->id, looked, l, &e) < 0)
        looked(l, NULL, &e);
}

/* ---- the gate's word ---- */

static void ask_gate(struct fleet_server *s)
{
    struct fleet *f = s->fleet;
    uint64_t most = is_wanted(s) ? ANSWER_MS : AGAIN_MOST_MS;
    struct err e;

    s->drowse.asked = ++f->questions;
    /* a gate that does not answer is asked again */
    wait_until(s, later(now_of(s), least(least(s->nap_ms, s->connected_ms), most)));
    if (INJECT("nap.asking", &e) == 0 && f->hooks.ask_quiet != NULL)
        f->hooks.ask_quiet(f->hooks.owner, s->id, s->drowse.asked);
}

/*
 * An answer to an earlier question is not good: of whoever came since then, the gate did not know
 * that it is to tell of their words.
 */
void fleet_quiet(struct fleet *f, const char *server, uint64_t number, uint64_t ms)
{
    struct fleet_server *s = map_get(&f->servers, server);
    uint64_t now = loop_now(f->loop), since = ms < now ? now - ms : 0;

    if (s == NULL || s->drowse.mode != DROWSE_CROWD || number == 0 || s->drowse.asked != number)
        return;
    s->drowse.asked = 0;
    if (since > s->drowse.since_ms)
        s->drowse.since_ms = since;
    if (ms == 0)
        (void)snprintf(s->drowse.doing, sizeof(s->drowse.doing), "a client waits for its answer");
    if (ms < WANTED_QUIET_MS)
        refuse_nappers(s, ms == 0 ? s->drowse.doing : "a client speaks");
    if (now < due(s) && !is_wanted(s))
        wait_until(s, due(s));
    else
        look(s);
}

void fleet_stirred(struct fleet *f, const char *server)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s != NULL)
        drowse_stirred(s);
}

/* ---- turns ---- */

static void tick(struct loop_timer *t)
{
    struct fleet_server *s = list_of(t, struct fleet_server, drowse.timer);
    struct drowse *d = &s->drowse;

    if (d->asked != 0)
        refuse_nappers(s, "the gate does not answer");
    if (d->dismissed || (d->mode == DROWSE_NAP && s->sessions == 0))
        fleet_step(s, LIFE_REST);
    else if (now_of(s) < due(s)) /* it was looked into for another reason */
        wait_until(s, due(s));
    else if (d->mode == DROWSE_NAP)
        dismiss(s);
    else if (d->mode == DROWSE_EMPTY)
        look(s);
    else if (d->mode == DROWSE_CROWD)
        ask_gate(s);
}

static enum drowse_mode mode_of(const struct fleet_server *s)
{
    if (s->life.state == LIFE_NAPPING)
        return DROWSE_NAP;
    if (s->life.state != LIFE_AWAKE || !list_empty(&s->waiters))
        return DROWSE_NOTHING;
    return s->sessions == 0 ? DROWSE_EMPTY : DROWSE_CROWD;
}

void drowse_changed(struct fleet_server *s)
{
    struct drowse *d = &s->drowse;
    enum drowse_mode mode = mode_of(s), was = d->mode;

    if (mode == was)
        return;
    d->mode = mode;
    if (mode == DROWSE_NAP) { /* nobody has spoken for longer than it has been napping */
        stop_look(d);
        wait_until(s, due(s));
        return;
    }
    begin_anew(s);
    refuse_nappers(s, "somebody comes or goes");
}

void drowse_came(struct fleet_server *s)
{
    begin_anew(s);
    refuse_nappers(s, "somebody is coming in");
}

void drowse_stirred(struct fleet_server *s)
{
    struct drowse *d = &s->drowse;

    if (d->dismissed && s->sessions == 0) {
        fleet_step(s, LIFE_REST);
        return;
    }
    if (d->dismissed && d->mode == DROWSE_CROWD)
        return; /* the others are about to leave */
    if (s->life.state == LIFE_NAPPING) {
        if (!d->dismissed)
            fleet_step(s, LIFE_STIR);
        return;
    }
    begin_anew(s);
    refuse_nappers(s, "a client speaks");
}

void drowse_init(struct fleet_server *s)
{
    list_init(&s->drowse.nappers);
}

void drowse_done(struct fleet_server *s)
{
    stop_look(&s->drowse);
    loop_timer_stop(loop_of(s), &s->drowse.timer);
    list_init(&s->drowse.nappers);
}

void fleet_nap(struct fleet *f, const char *server, struct fleet_waiter *w)
{
    struct fleet_server *s = map_get(&f->servers, server);
    AUTO_CLOSE int none = -1;
    struct err e;

    if (s != NULL && s->life.state == LIFE_NAPPING) {
        w->told(w, &none, NULL);
        return;
    }
    if (s == NULL || s->life.state != LIFE_AWAKE || s->drowse.dismissed) {
        (void)err_set(&e, ERR_BUSY, "only a server that is awake can nap; this one is %s",
                      life_state_name(s == NULL ? LIFE_ASLEEP : s->life.state));
        w->told(w, &none, &e);
        return;
    }
    w->waiting = true;
    list_append(&s->drowse.nappers, &w->node);
    if (s->drowse.mode == DROWSE_EMPTY)
        look(s);
    else if (s->drowse.mode == DROWSE_CROWD)
        ask_gate(s);
    else
        refuse_nappers(s, "somebody is coming in");
}

void drowse_times(struct fleet_server *s, uint64_t after_ms, uint64_t nap_ms, uint64_t connected_ms)
{
    s->after_ms = after_ms;
    s->nap_ms = nap_ms == 0 ? UINT64_MAX : nap_ms;
    s->connected_ms = connected_ms == 0 ? UINT64_MAX : connected_ms;
}

void fleet_set_idle(struct fleet *f, uint64_t after_ms, uint64_t nap_ms, uint64_t connected_ms)
{
    map_each (&f->servers, slot) {
        struct fleet_server *s = slot->value;

        drowse_times(s, after_ms, nap_ms, connected_ms);
        /* whoever has been asked goes by these when they answer */
        if (s->drowse.look == NULL && s->drowse.asked == 0 && !s->drowse.dismissed)
            wait_until(s, due(s));
    }
}
