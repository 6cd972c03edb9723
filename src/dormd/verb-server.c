/* What `dorm server ...` asks for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/beside.h"
#include "dormd/control.h"
#include "dormd/people.h"
#include "dormd/settings.h"
#include "engine/local.h"
#include "engine/tool.h"

static bool find(struct call *c, struct store_account *ret)
{
    const char *name = call_need(c, "name");
    struct err e;

    if (name == NULL)
        return false;
    if (people_server(c->hub, name, ret, &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    return true;
}

static void memory_text(struct call *c, const char *server, char at[16])
{
    struct engine_usage usage;
    struct err e;

    at[0] = '\0';
    if (c->hub->engine->ops->usage(c->hub->engine, server, &usage, &e) == 0)
        (void)str_size(at, 16, usage.memory);
}

/* Asleep, and wanted: it has a place, and starts when its turn comes. */
static void state_text(const struct fleet_view *view, char *at, size_t size)
{
    if (view->place > 0)
        (void)snprintf(at, size, "queued (%zu)", view->place);
    else
        (void)snprintf(at, size, "%s", life_state_name(view->state));
}

static int list_one(void *arg, const struct store_server *s, const char *owner,
                    const struct store_volume *v, struct err *e)
{
    struct call *c = arg;
    struct fleet_view view = fleet_look(c->hub->fleet, s->id);
    char sessions[16], memory[16] = "", capacity[16], since[16] = "", image[16], state[40];

    (void)e;
    if (view.since_ms != 0)
        (void)str_duration(since, sizeof(since), loop_now(c->hub->loop) - view.since_ms);
    if (view.state == LIFE_AWAKE || view.state == LIFE_NAPPING)
        memory_text(c, s->id, memory);
    state_text(&view, state, sizeof(state));
    (void)snprintf(sessions, sizeof(sessions), "%u", view.sessions);
    (void)snprintf(image, sizeof(image), "%d", s->image);
    call_row(c, s->name, owner, state, since, sessions, memory,
             str_size(capacity, sizeof(capacity), v->capacity), image);
    return 0;
}

static void server_list(struct call *c)
{
    struct err e;

    call_columns(c, "name", "owner", "state", "for", "sessions", "memory", "disk", "postgres");
    if (store_servers(c->hub->store, call_arg(c, "prefix"), list_one, c, &e) < 0)
        call_fail(c, &e);
    else
        call_done(c);
}

static void show_usage(struct call *c, const struct store_account *a)
{
    const struct conf_server *conf = &c->hub->conf->server;
    struct engine_usage usage;
    char used[16], limit[16], text[64];
    struct err e;

    if (c->hub->engine->ops->usage(c->hub->engine, a->server.id, &usage, &e) < 0)
        return;
    (void)snprintf(text, sizeof(text), "%s of %s", str_size(used, sizeof(used), usage.memory),
                   str_size(limit, sizeof(limit), conf->limits.memory));
    call_row(c, "memory", text);
    (void)snprintf(text, sizeof(text), "%u of %u", usage.processes, conf->limits.pids);
    call_row(c, "processes", text);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)usage.oom_kills);
    call_row(c, "killed for memory", text);
}

static void show_tools(struct call *c, const char *server)
{
    struct engine_usage usage;
    size_t n = tool_usage(c->hub->engine, server, &usage);
    char used[16], text[64];

    (void)snprintf(text, sizeof(text), "%zu, %u processes, %s", n, usage.processes,
                   str_size(used, sizeof(used), usage.memory));
    if (n > 0)
        call_row(c, "shells and runs", text);
}

static void server_show(struct call *c)
{
    struct store_account a;
    struct fleet_view view;
    char text[64];

    if (!find(c, &a))
        return;
    view = fleet_look(c->hub->fleet, a.server.id);
    if (call_arg(c, "settings") != NULL)
        call_columns(c, "field", "value", "from", "note");
    else
        call_columns(c, "field", "value");
    call_row(c, "name", a.server.name);
    call_row(c, "owner", a.user.login);
    state_text(&view, text, sizeof(text));
    call_row(c, "state", text);
    if (view.doing != NULL)
        call_row(c, "stays awake", view.doing);
    if (view.failure != NULL)
        call_row(c, "last failure", view.failure);
    (void)snprintf(text, sizeof(text), "%u, and %u waiting", view.sessions, view.waiting);
    call_row(c, "sessions", text);
    (void)snprintf(text, sizeof(text), "postgres:%d", a.server.image);
    call_row(c, "image", text);
    call_row(c, "superuser", a.server.superuser);
    call_row(c, "volume", a.volume.claim);
    call_row(c, "class", a.volume.class);
    call_row(c, "capacity", str_size(text, sizeof(text), a.volume.capacity));
    call_row(c, "phase", store_phase_name(a.volume.phase));
    call_row(c, "server id", a.server.id);
    call_row(c, "volume id", a.volume.id);
    (void)snprintf(text, sizeof(text), "%u", a.user.uid);
    call_row(c, "host uid", text);
    if (view.state == LIFE_AWAKE || view.state == LIFE_NAPPING)
        show_usage(c, &a);
    show_tools(c, a.server.id);
    if (call_arg(c, "settings") != NULL)
        settings_show(c, &a);
    else
        call_done(c);
}

/* ---- start and stop ---- */

struct moving {
    char name[STORE_NAME_SIZE], id[ID_SIZE];
    uint64_t began_us;
};

static struct moving *moving_new(struct call *c, const struct store_account *a)
{
    struct moving *m = mem_new(sizeof(*m));

    c->state = m;
    m->began_us = clock_us();
    (void)snprintf(m->name, sizeof(m->name), "%s", a->server.name);
    memcpy(m->id, a->server.id, sizeof(m->id));
    return m;
}

static void moved(struct call *c, const struct err *e, const char *state)
{
    const struct moving *m = c->state;

    if (e != NULL) {
        call_fail(c, e);
        return;
    }
    call_say(c, "server \"%s\" is %s (%llu ms)", m->name, state,
             (unsigned long long)(clock_us() - m->began_us) / 1000);
    call_done(c);
}

static void started(struct fleet_waiter *w, int *fd, const struct err *e)
{
    (void)fd;
    moved(list_of(w, struct call, waiter), e, "awake");
}

static void start_queued(struct fleet_waiter *w, const char *text)
{
    call_remark(list_of(w, struct call, waiter), "%s", text);
}

static void stopped(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct call *c = list_of(w, struct call, waiter);
    const struct moving *m = c->state;
    struct fleet_view view = fleet_look(c->hub->fleet, m->id);

    (void)fd;
    if (e == NULL && view.failure != NULL)
        call_remark(c, "%s", view.failure); /* it had to be forced */
    moved(c, e, "asleep");
}

static void server_start(struct call *c)
{
    struct store_account a;
    struct people_want want;
    struct err e;

    if (!find(c, &a))
        return;
    if (a.user.disabled) {
        (void)err_set(&e, ERR_DENIED, "user \"%s\" is disabled", a.user.login);
        (void)err_hint(&e, "dorm user enable %s", a.user.login);
        call_fail(c, &e);
        return;
    }
    if (people_want_init(&want, c->hub, &a, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    (void)moving_new(c, &a);
    c->waiter.told = started;
    c->waiter.queued = start_queued;
    fleet_wake(c->hub->fleet, &want.want, &c->waiter);
    people_want_done(&want);
}

static void server_stop(struct call *c)
{
    struct store_account a;
    struct fleet_view view;

    if (!find(c, &a))
        return;
    view = fleet_look(c->hub->fleet, a.server.id);
    if (view.sessions > 0)
        call_remark(c, "%u session%s ended; the next connection wakes it again", view.sessions,
                    view.sessions == 1 ? " is" : "s are");
    (void)moving_new(c, &a);
    c->waiter.told = stopped;
    fleet_rest(c->hub->fleet, a.server.id, &c->waiter);
}

static void napped(struct fleet_waiter *w, int *fd, const struct err *e)
{
    (void)fd;
    moved(list_of(w, struct call, waiter), e, "napping");
}

static void server_nap(struct call *c)
{
    struct store_account a;

    if (!find(c, &a))
        return;
    (void)moving_new(c, &a);
    c->waiter.told = napped;
    fleet_nap(c->hub->fleet, a.server.id, &c->waiter);
}

/* ---- remove ---- */

static void server_remove(struct call *c)
{
    struct store_account a;

    if (!find(c, &a))
        return;
    if (call_arg(c, "dry") == NULL) {
        beside_remove(c, &a);
        return;
    }
    call_say(c, "server \"%s\" of %s goes, with its volume \"%s\"", a.server.name, a.user.login,
             a.volume.claim);
    call_done(c);
}

const struct verb verbs_server[] = {
    {"server list", VERB_ROOT, server_list},
    {"server show", VERB_SELF, server_show},
    {"server start", VERB_SELF, server_start},
    {"server stop", VERB_SELF, server_stop},
    {"server nap", VERB_SELF, server_nap},
    {"server remove", VERB_ROOT, server_remove},
    {NULL, VERB_ROOT, NULL},
};
