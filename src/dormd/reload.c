#include "reload.h"

#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"
#include "dormd/disks.h"
#include "dormd/door.h"
#include "dormd/fleet.h"
#include "engine/local.h"

struct changes {
    struct call *call;
    bool restart;
};

static void one_change(void *arg, const struct conf_item *was, const struct conf_item *now)
{
    struct changes *x = arg;
    const struct conf_item *item = now != NULL ? now : was;

    x->restart = x->restart || item->at_start_only;
    call_row(x->call, item->path, was == NULL ? "" : was->value, now == NULL ? "" : now->value,
             item->at_start_only ? "dorm down, dorm up" : "now");
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

/* The new file is good: it is what the hub goes by from here on. */
static int take_up(struct hub *h, struct conf *new, uint32_t major, struct err *e)
{
    struct conf *old = h->conf;

    h->conf = new;
    h->major = major;
    fleet_set_mounted(h->fleet, new->machine.mounted);
    conf_free(old);
    if (disks_sync_static(h, e) < 0)
        return -1;
    return door_new_certificate(h->door, e); /* the networks without TLS travel with it */
}

void reload_run(struct call *c)
{
    static struct conf_problems problems;
    struct hub *h = c->hub;
    struct conf *new = NULL;
    struct changes x = {.call = c};
    uint32_t major;
    struct err e;

    problems.n = 0;
    if (conf_load(h->conf_path, &new, &problems, &e) < 0 ||
        local_major(h->engine, new->server.image_major, &major, &e) < 0) {
        conf_free(new);
        say_problems(c, &problems);
        call_fail(c, &e);
        return;
    }
    call_columns(c, "key", "was", "is", "takes effect");
    (void)conf_changes(h->conf, new, one_change, &x);
    if (disks_compare(h, new, say_kept, c, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
    if (call_arg(c, "dry") != NULL) {
        conf_free(new);
    } else if (take_up(h, new, major, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (x.restart)
        call_remark(c, "some of this is read at start only: dorm down, then dorm up");
    call_done(c);
}
