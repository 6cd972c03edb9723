/* What is true of a fleet, for whoever asks. */
#include "fleet-int.h"

struct fleet_view fleet_look(const struct fleet *f, const char *server)
{
    const struct fleet_server *s = map_get(&f->servers, server);
    struct fleet_view view = {.state = LIFE_ASLEEP};

    if (s == NULL)
        return view;
    view = (struct fleet_view){
        .state = s->life.state, .sessions = s->sessions, .since_ms = s->since_ms};
    for (const struct list *n = s->waiters.next; n != &s->waiters; n = n->next)
        view.waiting++;
    if (s->failure.kind != ERR_NONE)
        view.failure = s->failure.msg;
    view.room = s->room;
    view.ephemeral = s->spec != NULL && s->spec->ephemeral;
    return view;
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

void fleet_set_mounted(struct fleet *f, size_t most)
{
    f->resting_most = most;
}
