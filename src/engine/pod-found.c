/* A pod that another dormd started: taken over, never started again. */
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"
#include "box/look.h"
#include "patience.h"
#include "pod-int.h"

/* One that recovers is waited for as long as it works; patience.c sees to that. */
enum { ASK_MS = 30 * 60000, ASK_AGAIN_MS = 50 };

/* Strays of its owner's can keep process 1 alive: the server is over when its postmaster is. */
static void payload_gone(struct loop_child *child, int status)
{
    (void)status;
    pod_end(list_of(child, struct pod, payload));
}

static void init_gone(struct loop_child *child, int status)
{
    (void)status;
    pod_end(list_of(child, struct pod, init));
}

/* Until the server, started under another dormd, takes connections. */
static int ask_until_ready(void *arg, struct err *e)
{
    const struct pod *p = arg;
    uint64_t deadline = clock_ms() + ASK_MS;

    while (clock_ms() < deadline) {
        struct timespec pause = {.tv_nsec = ASK_AGAIN_MS * 1000000L};
        struct pg_client c = {.fd = -1};
        int fd = pod_dial(p, e);
        int r = fd < 0 ? -1
                       : pg_client_start(&c, fd, p->named ? p->spec->superuser : PG_SETUP_ROLE,
                                         "template1", deadline, e);
        bool ready = r == 0 || (fd >= 0 && c.sqlstate[0] != '\0' && !str_is(c.sqlstate, "57P03"));

        if (fd >= 0)
            pg_client_close(&c);
        if (ready)
            return p->named ? 0 : pod_name_owner(arg, e);
        (void)nanosleep(&pause, NULL);
    }
    return err_set(e, ERR_BUSY, "the server that was found running takes no connections");
}

static void asked(void *owner, int status, const struct err *e)
{
    struct pod *p = owner;

    (void)status;
    p->work = NULL;
    if (e != NULL) {
        pod_fail(p, e);
        return;
    }
    pod_hold_look(p); /* a hold outlives the dormd that began it */
    (void)pod_room_look(p);
    pod_up(p);
    pod_room_changed(p);
}

static int watch_found(struct pod *p, struct err *e)
{
    struct local *l = p->local;
    struct box_seen seen;
    AUTO_CLOSE int unused = -1;
    int r;

    if (box_look(l->groups, p->id, &seen, e) < 0)
        return -1;
    if (seen.init == 0 || seen.payload == 0) {
        /* its launcher is still at work, or only strays are left: neither can be taken over */
        box_seen_done(&seen);
        return err_set(e, ERR_BUSY, "the pod of server \"%s\" has no process 1", p->spec->login);
    }
    r = loop_child_start(l->loop, &p->init, seen.init, init_gone, e) < 0
            ? -1
            : loop_child_start(l->loop, &p->payload, seen.payload, payload_gone, e);
    box_seen_done(&seen);
    if (r < 0)
        return -1;
    if (pod_log_open(&p->log, l, p->id, p->uid, &unused, e) < 0)
        return -1;
    p->work = job_start(&(struct job_spec){.loop = l->loop,
                                           .what = "reach a server that was found running",
                                           .run = ask_until_ready,
                                           .arg = p,
                                           .done = asked,
                                           .owner = p,
                                           .limit_ms = ASK_MS + 5000},
                        e);
    return p->work == NULL ? -1 : 0;
}

/* One whose class is gone runs on; only the room of that disk is not watched. */
static void find_places(struct pod *p)
{
    struct err ignored;

    for (size_t i = 0; i < p->spec->disks_n; i++)
        if (p->spec->disks[i].path == NULL)
            p->places[i] = local_place_of(p->local, p->spec->disks[i].class, &ignored);
}

int pod_ask(struct local *l, const struct engine_server *spec, struct err *e)
{
    struct pod *p = pod_new(l, spec, e);

    if (p == NULL)
        return -1;
    p->phase = POD_STARTING;
    find_places(p);
    /* it may have napped under a dormd that was killed: nobody else would wake it */
    if (pod_thaw(l, p->id, e) < 0 || watch_found(p, e) < 0)
        pod_fail(p, e); /* in a later turn it has ENDED, and may be started afresh */
    else
        patience_start(p);
    return 0;
}
