/* What `dorm snapshot ...`, `dorm volume snapshot` and `dorm volume restore` ask for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "dormd/beside.h"
#include "dormd/control.h"
#include "dormd/deed.h"
#include "dormd/find.h"
#include "dormd/keeper.h"
#include "dormd/people.h"

enum { SNAPSHOTS_MOST = 1000 };

/* ---- create ---- */

struct taking {
    struct hub *hub;
    struct call *call;
    struct store_volume v;
    struct store_snapshot s;
};

static void taken(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct taking *t = owner;
    struct err why;

    if (e == NULL &&
        store_snapshot_taken(t->hub->store, t->s.id, outcome->extents, outcome->took_us, &why) < 0)
        e = &why;
    if (e != NULL) {
        (void)store_snapshot_remove(t->hub->store, t->s.id, &(struct err){0});
        call_finish(t->call, e);
        return;
    }
    call_say(t->call, "snapshot %s of volume \"%s\" taken in %llu.%03llu ms (%llu extents)%s",
             t->s.label[0] != '\0' ? t->s.label : t->s.id, t->v.claim,
             (unsigned long long)outcome->took_us / 1000,
             (unsigned long long)outcome->took_us % 1000, (unsigned long long)outcome->extents,
             t->s.running ? " while its server ran" : "");
    call_finish(t->call, NULL);
}

/* A label must not be taken for an id, nor need quotes anywhere. */
static int check_label(const char *label, struct err *e)
{
    size_t n = strlen(label);

    if (n > 0 && n < STORE_LABEL_SIZE && n != ID_LEN &&
        strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n)
        return 0;
    (void)err_set(e, ERR_INPUT, "this cannot be a label");
    return err_hint(e, "a-z, 0-9, -, _ and ., at most %d, and not %d of them", STORE_LABEL_SIZE - 1,
                    ID_LEN);
}

static int count(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                 struct err *e)
{
    (void)s, (void)v, (void)e;
    ++*(size_t *)arg;
    return 0;
}

static int check_new(struct call *c, const struct store_volume *v, const char *label, struct err *e)
{
    struct store_snapshot other;
    size_t n = 0;

    if (v->path[0] != '\0')
        return err_set(e, ERR_INPUT, "volume \"%s\" is static: it is the directory %s", v->claim,
                       v->path);
    if (label != NULL && check_label(label, e) < 0)
        return -1;
    if (label != NULL && store_snapshot_by_label(c->hub->store, v->id, label, &other, e) == 0)
        return err_set(e, ERR_EXISTS, "volume \"%s\" already has a snapshot \"%s\"", v->claim,
                       label);
    if (store_snapshots(c->hub->store, v->id, count, &n, e) < 0)
        return -1;
    return n < SNAPSHOTS_MOST ? 0
                              : err_set(e, ERR_LIMIT, "volume \"%s\" has %d snapshots: delete some",
                                        v->claim, SNAPSHOTS_MOST);
}

static void create(struct call *c, const struct store_volume *v)
{
    const char *label = call_arg(c, "label");
    struct taking *t = mem_new(sizeof(*t));
    struct engine_task task = {.what = ENGINE_SNAPSHOT,
                               .server = "",
                               .volume = t->v.id,
                               .class = t->v.class,
                               .snapshot = t->s.id};
    struct err e;

    c->state = t;
    *t = (struct taking){.hub = c->hub, .call = c, .v = *v};
    t->s = (struct store_snapshot){.why = STORE_BY_HAND,
                                   .capacity = v->capacity,
                                   .running =
                                       v->server[0] != '\0' && fleet_runs(c->hub->fleet, v->server),
                                   .taken_at = clock_unix()};
    rand_id(t->s.id);
    memcpy(t->s.volume, v->id, ID_SIZE);
    (void)snprintf(t->s.class, sizeof(t->s.class), "%s", v->class);
    (void)snprintf(t->s.label, sizeof(t->s.label), "%s", label == NULL ? "" : label);
    if (check_new(c, v, label, &e) < 0 || store_snapshot_add(c->hub->store, &t->s, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    call_hold(c);
    if (c->hub->engine->ops->work(c->hub->engine, &task, taken, t, &e) < 0)
        taken(t, &(struct engine_outcome){0}, &e);
}

static void volume_snapshot(struct call *c)
{
    struct store_volume v;

    if (find_volume(c, call_need(c, "volume"), &v))
        create(c, &v);
}

static void snapshot_create(struct call *c)
{
    struct store_volume v;

    if (find_data(c, &v))
        create(c, &v);
}

/* ---- list ---- */

static int list_one(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                    struct err *e)
{
    struct call *c = arg;
    char when[WHEN_SIZE], until[WHEN_SIZE] = "", capacity[16];
    struct store_account a;

    if (c->uid != 0 && (v->server[0] == '\0' || people_account(c->hub, v->server, &a, e) < 0 ||
                        !str_is(a.user.login, c->self)))
        return 0;
    call_row(c, s->label[0] != '\0' ? s->label : s->id, v->claim, when_second(when, s->taken_at),
             store_why_name(s->why), s->running ? "running" : "asleep",
             str_size(capacity, sizeof(capacity), s->capacity), s->class,
             s->keep_until == 0 ? "" : when_second(until, s->keep_until), s->id);
    return 0;
}

static void snapshot_list(struct call *c)
{
    struct store_volume v = {.id = ""};
    struct err e;

    if (call_arg(c, "name") != NULL && !find_data(c, &v))
        return;
    call_columns(c, "snapshot", "volume", "taken", "why", "server", "capacity", "class",
                 "kept until", "id");
    if (store_snapshots(c->hub->store, v.id[0] == '\0' ? NULL : v.id, list_one, c, &e) < 0)
        call_fail(c, &e);
    else
        call_done(c);
}

/* ---- restore, delete ---- */

static void restore(struct call *c, const struct store_volume *v)
{
    struct store_snapshot s;
    struct deed *d;
    char when[WHEN_SIZE];
    struct err e;

    if (!find_snapshot(c, v, &s))
        return;
    if (call_arg(c, "beside") != NULL) {
        beside_open(c, v, &s);
        return;
    }
    if (call_arg(c, "dry") != NULL) {
        call_say(c,
                 "volume \"%s\" goes back to what it was on %s UTC (%s); what it is now is kept "
                 "and can be brought back",
                 v->claim, when_second(when, s.taken_at), store_why_name(s.why));
        call_done(c);
        return;
    }
    d = deed_new(c, v, &e);
    if (d == NULL)
        call_fail(c, &e);
    else
        deed_restore(d, &s);
}

static void volume_restore(struct call *c)
{
    struct store_volume v;

    if (find_volume(c, call_need(c, "volume"), &v))
        restore(c, &v);
}

static void snapshot_restore(struct call *c)
{
    struct store_volume v;

    if (find_data(c, &v))
        restore(c, &v);
}

static int needs(void *arg, const struct store_undo *u, const char *server, const char *claim,
                 struct err *e)
{
    (void)server, (void)claim, (void)e;
    return str_is(u->snapshot, arg) ? 1 : 0;
}

static void snapshot_delete(struct call *c)
{
    struct store_volume v;
    struct store_snapshot s;
    struct err e;
    int needed;

    if (!find_data(c, &v) || !find_snapshot(c, &v, &s))
        return;
    needed = store_undos(c->hub->store, clock_unix(), needs, s.id, &e);
    if (needed < 0) {
        call_fail(c, &e);
        return;
    }
    if (call_arg(c, "dry") != NULL) {
        call_say(c, "snapshot %s of volume \"%s\" goes; this cannot be undone%s", s.id, v.claim,
                 needed > 0 ? ", and neither can what it was taken for" : "");
        call_done(c);
        return;
    }
    /* recorded first: should we be killed, the next sweep does it */
    if (store_snapshot_set_keep(c->hub->store, s.id, 1, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    keeper_drop(c->hub, &s);
    call_say(c, "snapshot %s is being deleted", s.label[0] != '\0' ? s.label : s.id);
    call_done(c);
}

const struct verb verbs_snapshot[] = {
    {"volume snapshot", VERB_SELF, volume_snapshot},
    {"volume restore", VERB_SELF, volume_restore},
    {"snapshot create", VERB_SELF, snapshot_create},
    {"snapshot list", VERB_SELF, snapshot_list},
    {"snapshot restore", VERB_SELF, snapshot_restore},
    {"snapshot delete", VERB_SELF, snapshot_delete},
    {NULL, VERB_ROOT, NULL},
};
