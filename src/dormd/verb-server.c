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
#include "engine/local.h"

enum { LOG_LINES = 50, LOG_FILE_MAX = 2 << 20 };

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

static int list_one(void *arg, const struct store_server *s, const char *owner,
                    const struct store_volume *v, struct err *e)
{
    struct call *c = arg;
    struct fleet_view view = fleet_look(c->hub->fleet, s->id);
    char sessions[16], memory[16] = "", capacity[16], since[16] = "", image[16];

    (void)e;
    if (view.since_ms != 0)
        (void)str_duration(since, sizeof(since), loop_now(c->hub->loop) - view.since_ms);
    if (view.state == LIFE_AWAKE)
        memory_text(c, s->id, memory);
    (void)snprintf(sessions, sizeof(sessions), "%u", view.sessions);
    (void)snprintf(image, sizeof(image), "%d", s->image);
    call_row(c, s->name, owner, life_state_name(view.state), since, sessions, memory,
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

static void server_show(struct call *c)
{
    struct store_account a;
    struct fleet_view view;
    char text[64];

    if (!find(c, &a))
        return;
    view = fleet_look(c->hub->fleet, a.server.id);
    call_columns(c, "field", "value");
    call_row(c, "name", a.server.name);
    call_row(c, "owner", a.user.login);
    call_row(c, "state", life_state_name(view.state));
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
    if (view.state == LIFE_AWAKE)
        show_usage(c, &a);
    call_done(c);
}

/* ---- start and stop ---- */

struct moving {
    char name[STORE_NAME_SIZE];
    uint64_t began_us;
};

static struct moving *moving_new(struct call *c, const struct store_account *a)
{
    struct moving *m = mem_new(sizeof(*m));

    c->state = m;
    m->began_us = clock_us();
    (void)snprintf(m->name, sizeof(m->name), "%s", a->server.name);
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

static void stopped(struct fleet_waiter *w, int *fd, const struct err *e)
{
    (void)fd;
    moved(list_of(w, struct call, waiter), e, "asleep");
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

/* ---- logs ---- */

/* Where the last so many lines of a text begin. */
static char *last_lines(char *text, size_t lines)
{
    char *at = text + strlen(text);

    if (at > text && at[-1] == '\n')
        at--;
    for (; at > text; at--)
        if (at[-1] == '\n' && lines-- == 1)
            break;
    return at;
}

/* What a server said is its owner's to choose: each line is made fit to print. */
static void say_lines(struct call *c, char *text)
{
    char *rest = text;

    while (rest != NULL && *rest != '\0') {
        const char *line = strsep(&rest, "\n");
        char shown[2000];

        call_say(c, "%s", str_show(shown, sizeof(shown), line, strlen(line)));
    }
}

static int send_logs(void *arg, struct err *e)
{
    struct call *c = arg;
    char path[512], old[520];
    AUTO_FREE char *newer = NULL, *older = NULL;
    AUTO_FREE char *both = NULL;
    uint64_t lines = LOG_LINES;
    const char *wanted = call_arg(c, "lines");

    if (wanted != NULL && (!str_u64(wanted, &lines) || lines == 0 || lines > 100000))
        return err_set(e, ERR_INPUT, "lines: a number from 1 to 100000");
    local_log_path(c->hub->engine, c->state, path, sizeof(path));
    (void)snprintf(old, sizeof(old), "%s.1", path);
    if (fd_read_file(AT_FDCWD, path, LOG_FILE_MAX, &newer, e) < 0 && e->os_errno != ENOENT)
        return -1;
    if (fd_read_file(AT_FDCWD, old, LOG_FILE_MAX, &older, e) < 0 && e->os_errno != ENOENT)
        return -1;
    both = mem_printf("%s%s", older == NULL ? "" : older, newer == NULL ? "" : newer);
    say_lines(c, last_lines(both, lines));
    return 0;
}

static void server_logs(struct call *c)
{
    struct store_account a;

    if (!find(c, &a))
        return;
    c->state = mem_copy(a.server.id);
    call_job(c, "read the server's log", send_logs);
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
    {"server logs", VERB_SELF, server_logs},
    {"server remove", VERB_ROOT, server_remove},
    {NULL, VERB_ROOT, NULL},
};
