/* What `dorm volume ...` asks for, and `dorm server reset`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "conf/units.h"
#include "dormd/control.h"
#include "dormd/deed.h"
#include "dormd/find.h"
#include "dormd/people.h"
#include "engine/local.h"

static const char *class_text(const struct store_volume *v)
{
    return v->path[0] != '\0' ? (v->class[0] == '\0' ? "(static)" : v->class) : v->class;
}

/* ---- list, show ---- */

struct listing {
    struct call *call;
    const char *component;
};

/* "component=extra-pvc" or "extra-pvc"; NULL: all. Fails the call when it is another label. */
static bool label_of(struct call *c, const char **ret)
{
    const char *label = call_arg(c, "label"), *value = label == NULL ? NULL : strchr(label, '=');
    struct err e;

    *ret = NULL;
    if (label == NULL || label[0] == '\0')
        return true;
    if (value != NULL && strncmp(label, "component=", strlen("component=")) != 0) {
        (void)err_set(&e, ERR_INPUT, "volumes have one label: component");
        (void)err_hint(&e, "component=postgres: the data of servers; component=extra-pvc: their "
                           "other disks");
        call_fail(c, &e);
        return false;
    }
    *ret = value != NULL ? value + 1 : label;
    if (str_is(*ret, "postgres") || str_is(*ret, "extra-pvc") || str_is(*ret, "beside"))
        return true;
    (void)err_set(&e, ERR_INPUT, "no volume can have that label");
    (void)err_hint(&e, "component=postgres, component=extra-pvc or component=beside");
    call_fail(c, &e);
    return false;
}

static int list_one(void *arg, const struct store_volume *v, const char *server, const char *owner,
                    struct err *e)
{
    const struct listing *l = arg;
    struct call *c = l->call;
    char capacity[16], modes[32];

    (void)e;
    if (c->uid != 0 && !str_is(owner, c->self))
        return 0;
    call_row(c, v->claim, class_text(v), str_size(capacity, sizeof(capacity), v->capacity),
             store_modes_text(v->modes, modes), store_phase_name(v->phase), server, owner,
             v->component);
    return 0;
}

static void volume_list(struct call *c)
{
    struct listing l = {.call = c};
    struct err e;

    if (!label_of(c, &l.component))
        return;
    call_columns(c, "name", "class", "capacity", "access", "phase", "server", "owner", "component");
    if (store_volumes(c->hub->store, l.component, list_one, &l, &e) < 0)
        call_fail(c, &e);
    else
        call_done(c);
}

static int show_user(void *arg, const struct store_disk *disk, const struct store_volume *volume,
                     struct err *e)
{
    struct call *c = arg;
    struct store_server server;
    char text[STORE_TEXT_SIZE + STORE_NAME_SIZE + 32];

    (void)volume;
    if (store_server_by_id(c->hub->store, disk->server, &server, e) < 0)
        return 0;
    (void)snprintf(text, sizeof(text), "%s at %s%s", server.name,
                   disk->place == 0 ? "its data" : disk->mount,
                   disk->read_only ? ", read-only" : "");
    call_row(c, "used by", text);
    return 0;
}

static int count_snapshot(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                          struct err *e)
{
    (void)s, (void)v, (void)e;
    ++*(unsigned *)arg;
    return 0;
}

static void show_room(struct call *c, const struct store_volume *v)
{
    struct engine_room room;
    char used[16], all[16], text[64];

    if (!str_is(v->component, "postgres"))
        return;
    c->hub->engine->ops->room(c->hub->engine, v->server, &room);
    if (room.total == 0)
        return;
    (void)snprintf(text, sizeof(text), "%s of %s, %llu%%",
                   str_size(used, sizeof(used), room.total - room.free),
                   str_size(all, sizeof(all), room.total),
                   (unsigned long long)((room.total - room.free) * 100 / room.total));
    call_row(c, "used", text);
    if (room.held)
        call_row(c, "held", "cannot grow: its class is nearly full");
}

static void volume_show(struct call *c)
{
    struct store_volume v;
    unsigned snapshots = 0;
    char text[64];
    struct err e;

    if (!find_volume(c, call_need(c, "volume"), &v))
        return;
    call_columns(c, "field", "value");
    call_row(c, "name", v.claim);
    call_row(c, "class", class_text(&v));
    if (v.path[0] != '\0')
        call_row(c, "path", v.path);
    if (v.moving_to[0] != '\0')
        call_row(c, "moving to", v.moving_to);
    call_row(c, "capacity", str_size(text, sizeof(text), v.capacity));
    show_room(c, &v);
    call_row(c, "access", store_modes_text(v.modes, text));
    call_row(c, "phase", store_phase_name(v.phase));
    call_row(c, "component", v.component);
    (void)store_disk_users(c->hub->store, v.id, show_user, c, &e);
    (void)store_snapshots(c->hub->store, v.id, count_snapshot, &snapshots, &e);
    (void)snprintf(text, sizeof(text), "%u", snapshots);
    call_row(c, "snapshots", text);
    call_row(c, "id", v.id);
    call_done(c);
}

/* ---- resize, move ---- */

/* Fails the call and returns NULL when there can be no deed. */
static struct deed *deed_for(struct call *c, const struct store_volume *v)
{
    struct err e;
    struct deed *d = deed_new(c, v, &e);

    if (d == NULL)
        call_fail(c, &e);
    return d;
}

static bool shrinks(struct call *c, const struct store_volume *v, uint64_t capacity)
{
    char had[16], wanted[16], used[16] = "";
    struct engine_room room = {0};
    struct err e;

    if (capacity > v->capacity)
        return false;
    if (v->server[0] != '\0')
        c->hub->engine->ops->room(c->hub->engine, v->server, &room);
    if (room.total != 0)
        (void)str_size(used, sizeof(used), room.total - room.free);
    (void)err_set(&e, ERR_INPUT, "volume \"%s\" has %s%s%s: a volume never shrinks, not to %s",
                  v->claim, str_size(had, sizeof(had), v->capacity),
                  used[0] == '\0' ? "" : ", in use: ", used,
                  str_size(wanted, sizeof(wanted), capacity));
    (void)err_hint(&e, capacity == v->capacity ? "it is of that size already"
                                               : "make a smaller one and copy what is wanted");
    call_fail(c, &e);
    return true;
}

struct fitting {
    const char *class;
    uint64_t total;
};

static void find_class(void *owner, const struct local_place_view *p)
{
    struct fitting *f = owner;

    if (p->missing == NULL && str_is(p->class, f->class))
        f->total = p->total;
}

static bool too_large(struct call *c, const struct store_volume *v, uint64_t capacity)
{
    struct fitting f = {.class = v->class};
    char wanted[16], all[16];
    struct err e;

    if (local_places(c->hub->engine, find_class, &f, &e) < 0 || f.total == 0 || capacity <= f.total)
        return false;
    (void)err_set(&e, ERR_NO_SPACE, "%s is more than all of class \"%s\", which has %s",
                  str_size(wanted, sizeof(wanted), capacity), v->class,
                  str_size(all, sizeof(all), f.total));
    (void)err_hint(&e, "dorm storage list");
    call_fail(c, &e);
    return true;
}

static void volume_resize(struct call *c)
{
    const char *text = call_arg(c, "capacity");
    struct store_volume v;
    struct deed *d;
    uint64_t capacity = 0;
    char why[UNITS_WHY], shown[40];
    struct err e;

    if (!find_volume(c, call_need(c, "volume"), &v))
        return;
    if (text == NULL || units_size(text, &capacity, why) < 0) {
        (void)err_set(&e, ERR_INPUT, "\"%s\" %s",
                      text == NULL ? "" : str_show(shown, sizeof(shown), text, strlen(text)),
                      text == NULL ? "is not a size" : why);
        call_fail(c, &e);
        return;
    }
    capacity -= capacity % 4096; /* a block of its file system */
    if (shrinks(c, &v, capacity) || too_large(c, &v, capacity) || (d = deed_for(c, &v)) == NULL)
        return;
    deed_resize(d, capacity);
}

static void volume_move(struct call *c)
{
    const char *class = call_need(c, "class");
    struct store_volume v;
    struct deed *d;

    if (class == NULL || !find_volume(c, call_need(c, "volume"), &v) ||
        (d = deed_for(c, &v)) == NULL)
        return;
    deed_move(d, class);
}

/* ---- delete ---- */

static void say_host(struct call *c)
{
    char host[65] = "this machine";

    (void)gethostname(host, sizeof(host) - 1);
    call_say(c, "hub %s on %s:", c->hub->conf->hub, host);
}

static int say_affected(void *arg, const struct store_disk *disk, const struct store_volume *volume,
                        struct err *e)
{
    struct call *c = arg;
    struct store_account a;
    struct fleet_view view;

    (void)volume;
    if (people_account(c->hub, disk->server, &a, e) < 0)
        return 0;
    view = fleet_look(c->hub->fleet, disk->server);
    call_say(c, "    used by server \"%s\" of %s, %u sessions open now", a.server.name,
             a.user.login, view.sessions);
    return 0;
}

static int newest(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                  struct err *e)
{
    (void)v, (void)e;
    *(int64_t *)arg = s->taken_at;
    return 0;
}

static int say_volume(void *arg, const struct store_volume *v, const char *server,
                      const char *owner, struct err *e)
{
    const struct listing *l = arg;
    struct call *c = l->call;
    char capacity[16], when[WHEN_SIZE];
    int64_t saved = 0;

    (void)server, (void)owner;
    if (v->path[0] != '\0')
        return 0;
    if (store_snapshots(c->hub->store, v->id, newest, &saved, e) < 0)
        return -1;
    call_say(c, "  volume %s, %s, class %s, last snapshot %s", v->claim,
             str_size(capacity, sizeof(capacity), v->capacity), v->class,
             saved == 0 ? "never" : when_minute(when, saved));
    return store_disk_users(c->hub->store, v->id, say_affected, c, e);
}

/* Rows by label: each is removed as by its name, its users go on until they sleep. */
struct mass {
    struct store_volume *at; /* owned */
    size_t n;
};

static int note(void *arg, const struct store_volume *v, const char *server, const char *owner,
                struct err *e)
{
    struct mass *m = arg;

    (void)server, (void)owner, (void)e;
    if (v->path[0] != '\0')
        return 0;
    m->at = mem_resize(m->at, (m->n + 1) * sizeof(*m->at));
    m->at[m->n++] = *v;
    return 0;
}

static void delete_by_label(struct call *c, const char *component)
{
    struct mass m = {0};
    struct err e;

    if (str_is(component, "postgres")) {
        (void)err_set(&e, ERR_INPUT, "component=postgres is the data of every server");
        (void)err_hint(&e, "one by one: dorm server reset NAME; all: dorm purge");
        call_fail(c, &e);
        return;
    }
    if (str_is(component, "beside")) {
        (void)err_set(&e, ERR_INPUT, "these go with the servers that were made beside others");
        (void)err_hint(&e, "dorm server remove NAME");
        call_fail(c, &e);
        return;
    }
    if (store_volumes(c->hub->store, component, note, &m, &e) < 0) {
        free(m.at);
        call_fail(c, &e);
        return;
    }
    for (size_t i = 0; i < m.n; i++)
        if (deed_delete_row(c, &m.at[i], &e) < 0) {
            free(m.at);
            call_fail(c, &e);
            return;
        }
    call_say(c, "%zu volume%s deleted; each goes when its server sleeps", m.n, m.n == 1 ? "" : "s");
    free(m.at);
    call_done(c);
}

static void volume_delete(struct call *c)
{
    struct listing l = {.call = c};
    struct store_volume v;
    struct deed *d;
    struct err e;
    bool by_name = call_arg(c, "volume") != NULL;

    if (by_name ? !find_volume(c, call_arg(c, "volume"), &v) : !label_of(c, &l.component))
        return;
    if (!by_name && l.component == NULL) {
        (void)call_need(c, "volume");
        return;
    }
    if (call_arg(c, "dry") != NULL) {
        say_host(c);
        if ((by_name ? say_volume(&l, &v, "", "", &e)
                     : store_volumes(c->hub->store, l.component, say_volume, &l, &e)) < 0)
            call_fail(c, &e);
        else
            call_done(c);
        return;
    }
    if (!by_name)
        delete_by_label(c, l.component);
    else if ((d = deed_for(c, &v)) != NULL)
        deed_delete(d);
}

/* ---- reset ---- */

static void server_reset(struct call *c)
{
    struct listing l = {.call = c};
    struct store_volume v;
    struct deed *d;
    struct err e;

    if (!find_data(c, &v))
        return;
    if (call_arg(c, "dry") != NULL) {
        say_host(c);
        call_say(c, "everything in the server goes; it will be as a new one:");
        if (say_volume(&l, &v, "", "", &e) < 0)
            call_fail(c, &e);
        else
            call_done(c);
        return;
    }
    d = deed_for(c, &v);
    if (d != NULL)
        deed_reset(d);
}

const struct verb verbs_volume[] = {
    {"volume list", VERB_SELF, volume_list},
    {"volume show", VERB_SELF, volume_show},
    {"volume resize", VERB_ROOT, volume_resize},
    {"volume move", VERB_ROOT, volume_move},
    {"volume delete", VERB_ROOT, volume_delete},
    {"server reset", VERB_SELF, server_reset},
    {NULL, VERB_ROOT, NULL},
};
