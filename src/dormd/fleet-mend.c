/* Servers that are slow to wake, empty, or closed to their own owner. */
#include "fleet-int.h"

#include <unistd.h>

#include "base/auto.h"

enum {
    SLOW_MS = 90000,  /* as a wake has: it begins anew with each sign of work */
    AGAIN_MS = 60000, /* what did not help is not repeated sooner */
};

static void refuse(struct list *waiters, const struct err *why)
{
    while (!list_empty(waiters)) {
        struct fleet_waiter *w = list_of(list_first(waiters), struct fleet_waiter, node);
        AUTO_CLOSE int none = -1;

        list_remove(&w->node);
        w->waiting = false;
        w->told(w, &none, why);
    }
}

int fleet_mend(struct fleet *f, const char *server, struct fleet_waiter *w, struct err *e)
{
    struct fleet_server *s = map_get(&f->servers, server);
    uint64_t now = loop_now(f->loop);
    bool begins = false;

    if (s == NULL || f->going_down)
        return err_set(e, ERR_BUSY, "the server is not awake");
    if (s->life.state == LIFE_AWAKE || s->life.state == LIFE_NAPPING) {
        if (s->mended_ms != 0 && now - s->mended_ms < AGAIN_MS)
            return err_set(e, ERR_LIMIT, "what could be tried has been tried just now");
        if (s->sessions > 0 || !list_empty(&s->waiters))
            return err_set(e, ERR_BUSY, "others are in it");
        s->mended_ms = now;
        s->mend = begins = true;
    }
    fleet_unrest(s);
    w->waiting = true;
    list_append(&s->waiters, &w->node);
    if (begins)
        fleet_step(s, LIFE_REST);
    else if (s->life.state == LIFE_ASLEEP && !fleet_is_held(f, server))
        fleet_queue(s);
    return 0;
}

bool fleet_mend_later(struct fleet *f, const char *server)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s == NULL || s->mend)
        return false;
    s->mend = true;
    return true;
}

void fleet_mend_taken(struct fleet_server *s)
{
    s->spec->mend = s->mend;
    s->mend = false;
    s->slow_ms = 0;
}

void fleet_rest_and_wait(struct fleet *f, const char *server)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s != NULL)
        fleet_step(s, LIFE_REST);
}

void fleet_refuse(struct fleet *f, const char *server, const struct err *why)
{
    struct fleet_server *s = map_get(&f->servers, server);

    if (s == NULL)
        return;
    s->failure = *why;
    refuse(&s->waiters, why);
}

void fleet_slow(struct fleet_server *s, const struct err *why)
{
    struct fleet *f = s->fleet;

    if (s->life.state != LIFE_WAKING)
        return;
    s->slow_ms = loop_now(f->loop) + SLOW_MS;
    log_info(&s->log, "%s", why->msg);
    if (f->hooks.slow != NULL)
        f->hooks.slow(f->hooks.owner, s->id, why);
}

bool fleet_still_works(struct fleet_server *s, loop_timer_fn late)
{
    struct fleet *f = s->fleet;

    if (s->life.state != LIFE_WAKING || s->slow_ms <= loop_now(f->loop))
        return false;
    loop_timer_set(f->loop, &s->deadline, s->slow_ms, late);
    return true;
}
