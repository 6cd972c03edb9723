#include "beside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/door.h"
#include "dormd/people.h"
#include "dormd/tools.h"

enum { NAMES_TRIED = 100 };

struct opening {
    struct call *call;
    struct store_account a; /* of the present server, then of the new one */
    struct store_snapshot s;
    char unused[ID_SIZE];
};

static void opened(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct opening *o = owner;
    struct hub *h = o->call->hub;
    AUTO_FREE char *line = NULL;

    (void)outcome;
    if (e != NULL) {
        (void)store_server_remove(h->store, o->a.server.id, clock_unix(), &(struct err){0});
        call_finish(o->call, e);
        return;
    }
    line = people_psql_line(h, &o->a, NULL);
    call_say(o->call, "server \"%s\" holds the snapshot; asleep until somebody connects as %s~%s",
             o->a.server.name, o->a.user.login, o->a.server.name);
    call_say(o->call, "%s", line);
    call_remark(o->call,
                "to copy a table back: pg_dump -t TABLE of that one, into psql of the present one");
    call_remark(o->call, "when it is no longer needed: dorm server remove %s", o->a.server.name);
    call_finish(o->call, NULL);
}

/* Named from the beginning: were it not, a start that finds no volume would make an empty one. */
static int add_named(struct store *s, struct store_server *server, struct store_volume *v,
                     struct err *e)
{
    if (store_begin(s, e) < 0)
        return -1;
    if (store_server_add(s, server, v, e) < 0 ||
        store_server_set_named(s, server->id, true, e) < 0) {
        store_rollback(s);
        return -1;
    }
    return store_commit(s, e);
}

static int add(struct opening *o, const struct store_volume *v, struct err *e)
{
    struct hub *h = o->call->hub;
    const char *label = o->s.label[0] != '\0' ? o->s.label : o->s.id;
    struct store_server server = {.image = o->a.server.image, .created = clock_unix()};

    memcpy(server.owner, o->a.user.id, ID_SIZE);
    memcpy(server.superuser, o->a.server.superuser, sizeof(server.superuser));
    for (int i = 1; i <= NAMES_TRIED; i++) {
        struct store_volume volume = {.capacity = o->s.capacity,
                                      .modes = STORE_RWO,
                                      .phase = STORE_BOUND,
                                      .component = "beside",
                                      .created = clock_unix()};
        char number[8] = "";

        if (i > 1)
            (void)snprintf(number, sizeof(number), "-%d", i);
        (void)snprintf(server.name, sizeof(server.name), "%.30s-%.20s%s", o->a.user.login, label,
                       number);
        (void)snprintf(volume.claim, sizeof(volume.claim), "beside-%s", server.name);
        (void)snprintf(volume.class, sizeof(volume.class), "%s", v->class);
        if (add_named(h->store, &server, &volume, e) == 0) {
            o->a.server = server;
            o->a.volume = volume;
            return 0;
        }
        if (e->kind != ERR_EXISTS)
            break;
    }
    return -1;
}

void beside_open(struct call *c, const struct store_volume *v, const struct store_snapshot *s)
{
    struct opening *o = mem_new(sizeof(*o));
    struct engine_task task = {.what = ENGINE_REPLACE, .from = o->s.id, .from_class = o->s.class};
    struct err e;

    if (!str_is(v->component, "postgres")) {
        free(o);
        (void)err_set(&e, ERR_INPUT, "volume \"%s\" holds no server's data", v->claim);
        call_fail(c, &e);
        return;
    }
    c->state = o;
    o->call = c;
    o->s = *s;
    if (people_account(c->hub, v->server, &o->a, &e) < 0 || add(o, v, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    rand_id(o->unused); /* nothing is there that would have to be kept */
    task.server = o->a.server.id;
    task.volume = o->a.volume.id;
    task.class = o->a.volume.class;
    task.uid = o->a.user.uid;
    task.snapshot = o->unused;
    call_hold(c);
    if (c->hub->engine->ops->work(c->hub->engine, &task, opened, o, &e) < 0)
        opened(o, NULL, &e);
}

/* ---- the end of it ---- */

static void removed(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct call *c = list_of(w, struct call, waiter);
    const struct store_account *a = c->state;

    (void)fd, (void)e;
    fleet_forget(c->hub->fleet, a->server.id);
    call_say(c, "server \"%s\" is removed", a->server.name);
    call_finish(c, NULL);
}

void beside_remove(struct call *c, const struct store_account *a)
{
    struct store_account *kept = mem_new(sizeof(*kept));
    struct err e, why;

    *kept = *a;
    c->state = kept;
    if (a->server.kind == STORE_PERSONAL) {
        (void)err_set(&e, ERR_INPUT, "server \"%s\" is the own one of its user", a->server.name);
        (void)err_hint(&e, "dorm server reset %s, or dorm user remove %s", a->server.name,
                       a->user.login);
        call_fail(c, &e);
        return;
    }
    if (store_server_remove(c->hub->store, a->server.id, clock_unix(), &e) < 0) {
        call_fail(c, &e);
        return;
    }
    (void)err_set(&why, ERR_DENIED, "terminating connection: the server is being removed");
    tools_end(c->hub->tools, a->server.id, &why);
    door_kick(c->hub->door, a->server.id, &why);
    call_hold(c);
    c->waiter.told = removed;
    fleet_rest(c->hub->fleet, a->server.id, &c->waiter);
}
