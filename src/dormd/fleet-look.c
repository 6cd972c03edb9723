/* What is true of a fleet, for whoever asks. */
#include "fleet-int.h"

static struct fleet_view view_of(const struct fleet_server *s, size_t place)
{
    struct fleet_view view = {.state = s->life.state,
                              .sessions = s->sessions,
                              .since_ms = s->since_ms,
                              .lasted_ms = s->lasted_ms,
                              .place = place};

    for (const struct list *n = s->waiters.next; n != &s->waiters; n = n->next)
        view.waiting++;
    if (s->failure.kind != ERR_NONE)
        view.failure = s->failure.msg;
    view.room = s->room;
    if (s->drowse.doing[0] != '\0')
        view.doing = s->drowse.doing;
    view.ephemeral = s->spec != NULL && s->spec->ephemeral;
    return view;
}

struct fleet_view fleet_look(const struct fleet *f, const char *server)
{
    const struct fleet_server *s = map_get(&f->servers, server);

    return s == NULL ? (struct fleet_view){.state = LIFE_ASLEEP} : view_of(s, fleet_place(s));
}

bool fleet_runs(const struct fleet *f, const char *server)
{
    enum life_state state = fleet_look(f, server).state;

    return state == LIFE_AWAKE || state == LIFE_NAPPING;
}

size_t fleet_count(const struct fleet *f, enum life_state state)
{
    size_t n = 0;

    map_each (&f->servers, slot) {
        const struct fleet_server *s = slot->value;

        n += s->life.state == state;
    }
    return n;
}

void fleet_each(const struct fleet *f, fleet_each_fn fn, void *owner)
{
    fleet_number(f); /* to count to the place of each would be the square of a crowd */
    map_each (&f->servers, slot) {
        const struct fleet_server *s = slot->value;
        struct fleet_view view = view_of(s, list_empty(&s->queued) ? 0 : s->numbered);

        if (s->spec != NULL)
            fn(owner, &view, s->spec, s->name);
    }
}

uint64_t fleet_memory(const struct fleet *f)
{
    return f->crowd.memory;
}

void fleet_set_mounted(struct fleet *f, size_t most)
{
    f->resting_most = most;
}
