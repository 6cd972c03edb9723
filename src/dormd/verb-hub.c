/* What concerns the hub as a whole: status, storage, configuration, down, purge, undo, doctor. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "cert/cert.h"
#include "conf/conf.h"
#include "dormd/backups.h"
#include "dormd/control.h"
#include "dormd/deed.h"
#include "dormd/demo.h"
#include "dormd/doctor.h"
#include "dormd/door.h"
#include "dormd/end.h"
#include "dormd/people.h"
#include "dormd/reload.h"
#include "dormd/restart.h"
#include "engine/local.h"
#include "store/store.h"

/* ---- status ---- */

static void say_where(struct call *c)
{
    struct hub *h = c->hub;
    const char *addresses[2] = {NULL, NULL};
    size_t n = conf_listen_addresses(h->conf, addresses);

    call_say(c, "hub       %s (%s)", h->conf->hub, h->conf_path);
    call_say(c, "state     %s", h->state_dir);
    call_say(c, "listens   %s%s%s, port %u", addresses[0], n > 1 ? " and " : "",
             n > 1 ? addresses[1] : "", h->port);
    if (h->port != h->conf->listen.postgres)
        call_say(c, "          (port %u was taken by another program)", h->conf->listen.postgres);
    if (h->conf->domain[0] == '\0' && h->conf->listen.address[0] == '\0')
        call_say(c, "          reachable from this machine only; set domain: or listen: in the hub "
                    "file for more");
}

/* What is said at the end of `dorm up`: with it somebody who has never seen Dormouse is in. */
static void say_welcome(struct call *c)
{
    const char *reader = call_arg(c, "for");
    struct store_account a;
    AUTO_FREE char *passfile = NULL, *line = NULL;
    uint64_t uid = 0;
    struct err e;

    if (reader != NULL && !str_u64(reader, &uid))
        uid = 0;
    passfile = demo_passfile(c->hub, (uid_t)uid, &e);
    if (passfile == NULL || people_find(c->hub, "demo", &a.user, &e) < 0 ||
        store_server_of(c->hub->store, a.user.id, &a.server, &e) < 0)
        return;
    line = people_psql_line(c->hub, &a, passfile);
    call_say(c, " ");
    call_say(c, "A server for you to try, asleep until you connect:");
    call_say(c, " ");
    call_say(c, "  %s", line);
    call_say(c, " ");
    call_say(c, "Add people with:  dorm user add alice");
}

static void say_place(void *owner, const struct local_place_view *p)
{
    char free_text[16], total[16];

    if (p->missing != NULL)
        call_say(owner, "storage   %s: %s", p->class, p->missing);
    else
        call_say(owner, "storage   %s: %s free of %s%s", p->class,
                 str_size(free_text, sizeof(free_text), p->free),
                 str_size(total, sizeof(total), p->total),
                 p->free < p->floor       ? "; FULL: nothing new begins there, and volumes are held"
                 : p->free < p->total / 5 ? "; running full: make room or enlarge it"
                                          : "");
}

static void say_backup(struct call *c)
{
    char text[512];

    (void)backups_look(c->hub, text);
    call_say(c, "backup    %s", text);
}

static void status(struct call *c)
{
    struct fleet *f = c->hub->fleet;
    struct store_counts counts = {0};
    size_t retired;
    struct err e;

    say_where(c);
    if (call_arg(c, "welcome") != NULL) {
        if (c->uid == 0)
            say_welcome(c);
        call_done(c);
        return;
    }
    if (store_count(c->hub->store, &counts, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    call_say(c, "users     %llu", (unsigned long long)counts.users);
    call_say(c,
             "servers   %llu: %zu awake, %zu napping, %zu waking, %zu falling asleep, %zu failed",
             (unsigned long long)counts.servers, fleet_count(f, LIFE_AWAKE),
             fleet_count(f, LIFE_NAPPING), fleet_count(f, LIFE_WAKING),
             fleet_count(f, LIFE_STOPPING) + fleet_count(f, LIFE_FORCING) +
                 fleet_count(f, LIFE_ABORTING),
             fleet_count(f, LIFE_FAILED));
    retired = door_sessions_retired(c->hub->door);
    if (retired > 0)
        call_say(c, "sessions  %zu, %zu of them in a gate that has been replaced",
                 door_sessions(c->hub->door), retired);
    else
        call_say(c, "sessions  %zu", door_sessions(c->hub->door));
    if (c->uid == 0) {
        (void)local_places(c->hub->engine, say_place, c, &e);
        say_backup(c);
    }
    call_done(c);
}

/* ---- storage, configuration ---- */

static void one_place(void *owner, const struct local_place_view *p)
{
    char total[16], free_text[16];

    if (p->missing != NULL)
        call_row(owner, p->class, "", "", "", "", "", p->missing);
    else
        call_row(owner, p->class, p->driver, p->how, p->path,
                 str_size(total, sizeof(total), p->total),
                 str_size(free_text, sizeof(free_text), p->free),
                 p->enforces ? "enforced" : "not enforced");
}

static void storage_list(struct call *c)
{
    struct err e;

    call_columns(c, "class", "driver", "clones by", "place", "size", "free", "capacity");
    if (local_places(c->hub->engine, one_place, c, &e) < 0)
        call_fail(c, &e);
    else
        call_done(c);
}

static void config_show(struct call *c)
{
    const struct conf *conf = c->hub->conf;

    call_columns(c, "key", "value", "from");
    for (size_t i = 0; i < conf->item_n; i++)
        call_row(c, conf->items[i].path, conf->items[i].value, conf->items[i].origin);
    call_done(c);
}

/* ---- down, purge ---- */

static void down(struct call *c)
{
    size_t awake =
        fleet_count(c->hub->fleet, LIFE_AWAKE) + fleet_count(c->hub->fleet, LIFE_NAPPING);

    call_remark(c, "putting %zu server%s to sleep", awake, awake == 1 ? "" : "s");
    call_say(c, "hub \"%s\" is going down; all data is kept in %s", c->hub->conf->hub,
             c->hub->state_dir);
    end_hub(c->hub, END_KEEP, c);
}

static void purge(struct call *c)
{
    const char *name = call_arg(c, "name");
    struct store_counts counts = {0};
    char host[65] = "this machine";
    struct err e;

    if (call_arg(c, "dry") != NULL) {
        (void)store_count(c->hub->store, &counts, &e);
        (void)gethostname(host, sizeof(host) - 1);
        call_say(c, "hub \"%s\" on %s goes, with %llu users, %llu servers and all their data:",
                 c->hub->conf->hub, host, (unsigned long long)counts.users,
                 (unsigned long long)counts.servers);
        call_say(c, "  %s and %s; this cannot be undone", c->hub->state_dir, c->hub->conf_path);
        call_done(c);
        return;
    }
    if (name == NULL || !str_is(name, c->hub->conf->hub)) {
        (void)err_set(&e, ERR_INPUT,
                      name == NULL ? "the name of the hub is missing: nothing was removed"
                                   : "that is not the name of this hub: nothing was removed");
        (void)err_hint(&e, "dorm purge %s --yes", c->hub->conf->hub);
        call_fail(c, &e);
        return;
    }
    call_say(c, "hub \"%s\" is being removed", c->hub->conf->hub);
    end_hub(c->hub, END_PURGE, c);
}

/* ---- undo ---- */

static int one_removed(void *arg, const struct store_user *u, struct err *e)
{
    struct call *c = arg;
    char when[WHEN_SIZE], until[WHEN_SIZE], line[64], text[64];
    int64_t kept = (int64_t)(c->hub->conf->undo_ms / 1000);

    (void)e;
    (void)snprintf(text, sizeof(text), "user \"%s\" was removed", u->login);
    (void)snprintf(line, sizeof(line), "dorm undo %s", u->login);
    call_row(c, text, when_minute(when, u->removed_at), when_minute(until, u->removed_at + kept),
             line);
    return 0;
}

static int one_deed(void *arg, const struct store_undo *u, const char *server, const char *claim,
                    struct err *e)
{
    struct call *c = arg;
    char when[WHEN_SIZE], until[WHEN_SIZE], line[64];

    (void)e, (void)server, (void)claim;
    (void)snprintf(line, sizeof(line), "dorm undo %lld", (long long)u->number);
    call_row(c, u->text, when_minute(when, u->done_at), when_minute(until, u->until), line);
    return 0;
}

static void undo(struct call *c)
{
    const char *what = call_arg(c, "what");
    struct store_user user;
    struct store_undo deed;
    uint64_t number;
    struct err e;

    if (what == NULL) {
        call_columns(c, "what", "when", "until", "undo");
        if (store_undos(c->hub->store, clock_unix(), one_deed, c, &e) < 0 ||
            store_removed(c->hub->store, INT64_MAX, one_removed, c, &e) < 0)
            call_fail(c, &e);
        else
            call_done(c);
        return;
    }
    if (str_u64(what, &number)) { /* no login begins with a digit */
        if (store_undo_get(c->hub->store, (int64_t)number, &deed, &e) < 0)
            call_fail(c, &e);
        else
            deed_undo(c, &deed);
        return;
    }
    if (store_user_removed(c->hub->store, what, &user, &e) < 0 ||
        store_user_restore(c->hub->store, user.id, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    call_say(c, "user \"%s\" is back, with server and data", user.login);
    call_done(c);
}

const struct verb verbs_hub[] = {
    {"status", VERB_SELF, status},
    {"storage list", VERB_ROOT, storage_list},
    {"config show", VERB_ROOT, config_show},
    {"down", VERB_ROOT, down},
    {"purge", VERB_ROOT, purge},
    {"undo", VERB_ROOT, undo},
    {"reload", VERB_ROOT, reload_run},
    {"programs", VERB_ROOT, restart_look},
    {"restart", VERB_ROOT, restart_run},
    {"doctor", VERB_ROOT, doctor_run},
    {NULL, VERB_ROOT, NULL},
};
