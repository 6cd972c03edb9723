#include "reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/crowd.h"
#include "dormd/disks.h"
#include "dormd/door.h"
#include "dormd/fleet.h"
#include "dormd/parameters.h"
#include "engine/job.h"
#include "engine/local.h"

enum { CHECK_MS = 60000, NAMES_SAID = 10 };

/* One reload, while a child asks PostgreSQL about the settings. */
struct reload {
    struct call *call;
    struct conf *new; /* owned until it is taken up */
    uint32_t major;
    struct said {
        struct conf_problems problems;
        struct err unchecked; /* kind NONE: it could ask */
    } * said;                 /* owned: a mapping that the child shares with us */
};

static void reload_free(struct reload *r)
{
    if (r->said != NULL)
        (void)munmap(r->said, sizeof(*r->said));
    conf_free(r->new);
    free(r);
}

/* ---- what changes, and when ---- */

struct changes {
    struct call *call;
    bool restart, parameters;
};

#define PARAMETERS "server.parameters."

/*
 * PostgreSQL could take some settings up at once, were they in a file. Ours are on the command
 * line, where its owner cannot change them, and so there is one answer for all.
 */
static const char *when(const struct conf_item *item)
{
    static const char *const starts[][2] = {
        {PARAMETERS, "next wake"},
        {"server.lifecycle", "next wake"},
        {"server.image", "new servers"},
        {"server.claim.", "new servers"},
        {"server.limits.memory", "now; who holds more: next wake"},
        {"server.superuser", "new servers"},
        {"server.extraClaims.", "next wake"},
    };

    if (item->at_start_only)
        return "dorm down, dorm up";
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
        if (str_starts(item->path, starts[i][0]))
            return starts[i][1];
    return "now";
}

static void one_change(void *arg, const struct conf_item *was, const struct conf_item *now)
{
    struct changes *x = arg;
    const struct conf_item *item = now != NULL ? now : was;

    x->restart = x->restart || item->at_start_only;
    x->parameters = x->parameters || str_starts(item->path, PARAMETERS);
    call_row(x->call, item->path, was == NULL ? "" : was->value, now == NULL ? "" : now->value,
             when(item));
}

struct awake {
    char names[NAMES_SAID * 66];
    size_t len, n;
};

static void one_awake(void *owner, const struct fleet_view *view, const struct engine_server *spec,
                      const char *name)
{
    struct awake *a = owner;

    (void)spec;
    if (view->state != LIFE_AWAKE && view->state != LIFE_WAKING && view->state != LIFE_NAPPING)
        return;
    if (a->n++ < NAMES_SAID)
        a->len += (size_t)snprintf(a->names + a->len, sizeof(a->names) - a->len, "%s%.63s",
                                   a->len == 0 ? "" : ", ", name);
}

/* Who goes on with the old settings until somebody ends it. */
static void say_awake(struct call *c)
{
    struct awake a = {.n = 0};

    fleet_each(c->hub->fleet, one_awake, &a);
    if (a.n == 0)
        return;
    call_remark(c,
                "%zu server%s awake and keep%s the old PostgreSQL settings until the next wake: "
                "%s%s; sooner with: dorm server stop NAME",
                a.n, a.n == 1 ? " is" : "s are", a.n == 1 ? "s" : "", a.names,
                a.n > NAMES_SAID ? ", ..." : "");
}

static void say_kept(void *arg, const char *text)
{
    call_remark(arg, "%s", text);
}

static void say_problems(struct call *c, const struct conf_problems *problems)
{
    for (unsigned i = 1; i < problems->n; i++)
        call_remark(c, "%s", problems->at[i].text);
}

/* ---- taking it up ---- */

/* The new file is good: it is what the hub goes by from here on. */
static int take_up(struct hub *h, struct conf *new, uint32_t major, struct err *e)
{
    struct conf *old = h->conf;

    h->conf = new;
    h->major = major;
    fleet_set_mounted(h->fleet, new->machine.mounted);
    conf_free(old);
    if (crowd_settle(h, e) < 0 || disks_sync_static(h, e) < 0)
        return -1;
    return door_new_certificate(h->door, e); /* the networks without TLS travel with it */
}

static int apply(struct reload *r, struct err *e)
{
    struct call *c = r->call;
    struct changes x = {.call = c};

    call_columns(c, "key", "was", "is", "takes effect");
    (void)conf_changes(c->hub->conf, r->new, one_change, &x);
    if (disks_compare(c->hub, r->new, say_kept, c, e) < 0)
        log_err(NULL, LOG_WARN_, e);
    if (call_arg(c, "dry") == NULL && take_up(c->hub, take_ptr(r->new), r->major, e) < 0)
        return -1;
    if (x.parameters)
        say_awake(c);
    if (x.restart)
        call_remark(c, "some of this is read at start only: dorm down, then dorm up");
    return 0;
}

static int check(void *arg, struct err *e)
{
    struct reload *r = arg;
    int result = parameters_check(r->new, &r->said->problems, e);

    if (result == 1)
        r->said->unchecked = *e;
    return result < 0 ? -1 : 0;
}

static void checked(void *owner, int status, const struct err *why)
{
    struct reload *r = owner;
    struct call *c = r->call;
    struct err e;
    int result = 0;

    (void)status;
    if (why != NULL) {
        e = *why; /* it may be of what is freed here */
        say_problems(c, &r->said->problems);
        result = -1;
    } else {
        if (r->said->unchecked.kind != ERR_NONE)
            call_remark(c, "%s", r->said->unchecked.msg);
        result = apply(r, &e);
    }
    reload_free(r);
    call_finish(c, result < 0 ? &e : NULL);
}

static int begin_check(struct reload *r, struct err *e)
{
    struct said *said =
        mmap(NULL, sizeof(*r->said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (said == MAP_FAILED)
        return err_set_os(e, errno, "could not share memory with a child");
    r->said = said;
    return job_start(&(struct job_spec){.loop = r->call->hub->loop,
                                        .what = "check the PostgreSQL settings",
                                        .run = check,
                                        .arg = r,
                                        .done = checked,
                                        .owner = r,
                                        .limit_ms = CHECK_MS},
                     e) == NULL
               ? -1
               : 0;
}

void reload_run(struct call *c)
{
    static struct conf_problems problems;
    struct reload *r = mem_new(sizeof(*r));
    struct hub *h = c->hub;
    struct err e;

    r->call = c;
    problems.n = 0;
    if (conf_load(h->conf_path, &r->new, &problems, &e) < 0 ||
        local_major(h->engine, r->new->server.image_major, &r->major, &e) < 0) {
        say_problems(c, &problems);
    } else if (begin_check(r, &e) == 0) {
        call_hold(c); /* checked() ends it */
        return;
    }
    reload_free(r);
    call_fail(c, &e);
}
