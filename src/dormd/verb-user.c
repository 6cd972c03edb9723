/* What `dorm user ...` asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/control.h"
#include "dormd/demo.h"
#include "dormd/door.h"
#include "dormd/events.h"
#include "dormd/people.h"
#include "dormd/tools.h"

static char *date_text(char at[WHEN_SIZE], int64_t when)
{
    return when == 0 ? memcpy(at, "never", sizeof("never")) : when_minute(at, when);
}

/* The user that the call is about. Fails the call when there is none. */
static bool find(struct call *c, struct store_user *ret)
{
    const char *login = call_need(c, "login");
    struct err e;

    if (login == NULL)
        return false;
    if (people_find(c->hub, login, ret, &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    return true;
}

static void show_access(struct call *c, const struct store_account *a)
{
    AUTO_FREE char *line = people_psql_line(c->hub, a, NULL);
    char password[PASSWORD_SIZE] = "(their own)";

    if (a->user.counter != 0)
        people_password(c->hub, &a->user, password);
    call_columns(c, "login", "password", "connect");
    call_row(c, a->user.login, password, line);
    explicit_bzero(password, sizeof(password));
}

static int add(struct call *c, struct store_account *ret, struct err *e)
{
    const char *given = call_arg(c, "login"), *email = call_arg(c, "email");
    const char *role_word = call_arg(c, "role"), *password = call_arg(c, "password");
    enum store_role role = STORE_USER;
    char login[STORE_LOGIN_SIZE];

    if (email == NULL && given != NULL && strchr(given, '@') != NULL) {
        email = given;
        given = NULL;
    }
    if (given == NULL && email == NULL)
        return err_set(e, ERR_INPUT, "a login or an e-mail address is missing");
    if (role_word != NULL && !store_role_parse(role_word, &role)) {
        (void)err_set(e, ERR_INPUT, "there is no role of that name");
        return err_hint(e, "user, assistant, admin or service");
    }
    if (given == NULL) {
        int numbered = store_login_suggest(c->hub->store, email, login, e);

        if (numbered < 0)
            return -1;
        if (numbered == 1)
            call_remark(c, "the obvious login was taken: \"%s\" it is", login);
        given = login;
    }
    if (people_add(c->hub, given, email == NULL ? "" : email,
                   call_arg(c, "display") == NULL ? "" : call_arg(c, "display"), role, ret, e) < 0)
        return -1;
    return password == NULL || password[0] == '\0'
               ? 0
               : people_set_password(c->hub, &ret->user, password, e);
}

static void user_add(struct call *c)
{
    struct store_account account;
    struct err e;

    if (add(c, &account, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    /* one password takes a millisecond to harden: better now than at their first login */
    if (people_verifier(c->hub, &account.user, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    event_add(c->hub, EVENT_USER, NULL, account.user.login, "added");
    show_access(c, &account);
    if (demo_is_there(c->hub))
        call_remark(c, "the demo user is still there; when you no longer need it: "
                       "dorm user remove demo");
    call_done(c);
}

static int list_one(void *arg, const struct store_user *u, struct err *e)
{
    struct call *c = arg;
    char created[WHEN_SIZE];

    (void)e;
    call_row(c, u->login, u->email, store_role_name(u->role), u->disabled ? "disabled" : "active",
             date_text(created, u->created));
    return 0;
}

static void user_list(struct call *c)
{
    struct err e;

    call_columns(c, "login", "email", "role", "access", "created");
    if (store_users(c->hub->store, call_arg(c, "prefix"), list_one, c, &e) < 0)
        call_fail(c, &e);
    else
        call_done(c);
}

static void user_show(struct call *c)
{
    struct store_account a;
    char text[64];
    struct err e;

    if (!find(c, &a.user))
        return;
    if (store_server_of(c->hub->store, a.user.id, &a.server, &e) < 0 ||
        store_volume_of(c->hub->store, a.server.id, &a.volume, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    call_columns(c, "field", "value");
    call_row(c, "login", a.user.login);
    call_row(c, "email", a.user.email);
    call_row(c, "display", a.user.display);
    call_row(c, "role", store_role_name(a.user.role));
    call_row(c, "access", a.user.disabled ? "disabled" : "active");
    call_row(c, "password", a.user.counter == 0 ? "their own" : "generated");
    call_row(c, "id", a.user.id);
    (void)snprintf(text, sizeof(text), "%u", a.user.uid);
    call_row(c, "uid", text);
    call_row(c, "created", date_text(text, a.user.created));
    call_row(c, "server", a.server.name);
    call_row(c, "state", life_state_name(fleet_look(c->hub->fleet, a.server.id).state));
    call_done(c);
}

static void user_passwd(struct call *c)
{
    const char *password = call_arg(c, "password");
    struct store_account a;
    char *passfile;
    struct err e;
    int r;

    if (!find(c, &a.user))
        return;
    r = password == NULL || password[0] == '\0'
            ? people_renew_password(c->hub, &a.user, &e)
            : people_set_password(c->hub, &a.user, password, &e);
    if (r < 0 || store_server_of(c->hub->store, a.user.id, &a.server, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    event_add(c->hub, EVENT_USER, NULL, a.user.login, "has a new password");
    show_access(c, &a);
    call_remark(c, "sessions that are open go on; the old password is no longer accepted");
    if (str_is(a.user.login, "demo")) {
        passfile = demo_passfile(c->hub, 0, &e);
        free(passfile);
    }
    call_done(c);
}

static void set_disabled(struct call *c, bool disabled)
{
    struct store_account a;
    struct err e, why;

    if (!find(c, &a.user))
        return;
    if (store_user_set_disabled(c->hub->store, a.user.id, disabled, &e) < 0 ||
        store_server_of(c->hub->store, a.user.id, &a.server, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (disabled) {
        (void)err_set(&why, ERR_DENIED, "terminating connection: user \"%s\" was disabled",
                      a.user.login);
        tools_end(c->hub->tools, a.server.id, &why);
        door_kick(c->hub->door, a.server.id, &why);
    }
    event_add(c->hub, EVENT_USER, NULL, a.user.login, disabled ? "disabled" : "enabled again");
    call_say(c, "user \"%s\" is %s", a.user.login, disabled ? "disabled" : "enabled again");
    call_remark(c, "undo: dorm user %s %s", disabled ? "enable" : "disable", a.user.login);
    call_done(c);
}

static void user_disable(struct call *c)
{
    set_disabled(c, true);
}

static void user_enable(struct call *c)
{
    set_disabled(c, false);
}

/* ---- remove ---- */

static void user_removed(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct call *c = list_of(w, struct call, waiter);
    const struct store_account *a = c->state;
    char keep[16];

    (void)fd, (void)e;
    fleet_forget(c->hub->fleet, a->server.id);
    event_add(c->hub, EVENT_USER, NULL, a->user.login, "removed");
    call_say(c, "user \"%s\" is removed; the data is kept for %s", a->user.login,
             str_duration(keep, sizeof(keep), c->hub->conf->undo_ms));
    call_remark(c, "undo: dorm undo %s", a->user.login);
    call_done(c);
}

static void say_what_goes(struct call *c, const struct store_account *a)
{
    struct fleet_view view = fleet_look(c->hub->fleet, a->server.id);
    char host[65] = "this machine", capacity[16], awake[WHEN_SIZE];

    (void)gethostname(host, sizeof(host) - 1);
    call_say(c, "hub %s on %s: user \"%s\" and their server go:", c->hub->conf->hub, host,
             a->user.login);
    call_say(c, "  volume %s, %s, server last awake %s, %u sessions open now", a->volume.claim,
             str_size(capacity, sizeof(capacity), a->volume.capacity),
             view.state == LIFE_ASLEEP ? date_text(awake, a->server.last_awake) : "now",
             view.sessions);
}

static void user_remove(struct call *c)
{
    struct store_account *a = mem_new(sizeof(*a));
    struct err e, why;

    c->state = a;
    if (!find(c, &a->user))
        return;
    if (store_server_of(c->hub->store, a->user.id, &a->server, &e) < 0 ||
        store_volume_of(c->hub->store, a->server.id, &a->volume, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (call_arg(c, "dry") != NULL) {
        say_what_goes(c, a);
        call_done(c);
        return;
    }
    /* first of all: from here on nobody can wake it, and an end of this call changes nothing more
     */
    if (store_user_remove(c->hub->store, a->user.id, clock_unix(), &e) < 0) {
        call_fail(c, &e);
        return;
    }
    (void)err_set(&why, ERR_DENIED, "terminating connection: user \"%s\" was removed",
                  a->user.login);
    tools_end(c->hub->tools, a->server.id, &why);
    door_kick(c->hub->door, a->server.id, &why);
    c->waiter.told = user_removed;
    fleet_rest(c->hub->fleet, a->server.id, &c->waiter);
}

static void user_connect(struct call *c)
{
    struct store_account a;
    AUTO_FREE char *line = NULL;
    struct err e;

    if (!find(c, &a.user))
        return;
    if (store_server_of(c->hub->store, a.user.id, &a.server, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    line = people_psql_line(c->hub, &a, NULL);
    call_say(c, "%s", line);
    call_remark(c,
                "on this machine, as the OS user \"%s\" or root, without a password: "
                "psql -h %s -U %s %s",
                a.user.login, c->hub->run_dir, a.user.login, a.server.superuser);
    call_remark(c,
                "from elsewhere, copy %s/tls/ca.crt there first; a new password: "
                "dorm user passwd %s",
                c->hub->state_dir, a.user.login);
    call_done(c);
}

const struct verb verbs_user[] = {
    {"user add", VERB_ROOT, user_add},
    {"user list", VERB_ROOT, user_list},
    {"user show", VERB_SELF, user_show},
    {"user passwd", VERB_SELF, user_passwd},
    {"user disable", VERB_ROOT, user_disable},
    {"user enable", VERB_ROOT, user_enable},
    {"user remove", VERB_ROOT, user_remove},
    {"user connect", VERB_SELF, user_connect},
    {NULL, VERB_ROOT, NULL},
};
