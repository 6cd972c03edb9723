#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/listen.h"
#include "dormd/people.h"
#include "engine/job.h"

enum { JOB_MS = 120000, ASK_MS = 5000, CALLS_MOST = 256, CALLS_OF_ONE = 16 };

struct control {
    struct hub *hub;
    struct loop_io io;
    int fd; /* owned */
    struct list calls;
};

struct open_call {
    struct list node;
    struct control *control;
    struct loop_timer silence; /* who connects and asks nothing takes a place from others */
    struct call call;
};

static struct open_call *open_of(struct call *c)
{
    return list_of(c, struct open_call, call);
}

static void call_end(struct call *c)
{
    struct open_call *o = open_of(c);

    if (c->job)
        return; /* its child's end ends it */
    fleet_unwait(&c->waiter);
    loop_timer_stop(c->hub->loop, &o->silence);
    ipc_conn_stop(&c->conn);
    for (size_t i = 0; i < c->words_n; i++)
        free(c->words[i]);
    c->words_n = 0;
    if (c->gone != NULL)
        c->gone(c);
    free(c->state);
    list_remove(&o->node);
    loop_free_later(c->hub->loop, o);
}

/* ---- answering ---- */

const char *call_arg(const struct call *c, const char *key)
{
    for (size_t i = 1; i + 1 < c->words_n; i += 2)
        if (str_is(c->words[i], key))
            return c->words[i + 1];
    return NULL;
}

const char *call_need(struct call *c, const char *key)
{
    const char *value = call_arg(c, key);
    struct err e;

    if (value != NULL && value[0] != '\0')
        return value;
    (void)err_set(&e, ERR_INPUT, "%s: %s is missing", c->words[0], key);
    call_fail(c, &e);
    return NULL;
}

static void say(struct call *c, uint64_t kind, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void say(struct call *c, uint64_t kind, const char *fmt, va_list ap)
{
    char text[4096];

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    ipc_send(&c->conn, -1, IPC_SAY, kind, text);
}

void call_say(struct call *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c, 0, fmt, ap);
    va_end(ap);
}

void call_remark(struct call *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c, 1, fmt, ap);
    va_end(ap);
}

void call_texts(struct call *c, enum ipc_type type, const char *const *texts)
{
    size_t n = 0;

    while (texts[n] != NULL)
        n++;
    ipc_send(&c->conn, -1, type, texts, n);
}

void call_done(struct call *c)
{
    c->over = true;
    ipc_send(&c->conn, -1, IPC_DONE);
}

void call_fail(struct call *c, const struct err *e)
{
    if (e->kind == ERR_INTERNAL || e->kind == ERR_OS)
        log_err(NULL, LOG_WARN_, e);
    c->over = true;
    ipc_send(&c->conn, -1, IPC_FAIL, (uint64_t)e->kind, e->msg, e->hint);
}

void call_hold(struct call *c)
{
    c->job = true;
}

void call_finish(struct call *c, const struct err *e)
{
    c->job = false;
    if (c->conn.fd < 0)
        call_end(c);
    else if (e != NULL)
        call_fail(c, e);
    else
        call_done(c);
}

/* ---- jobs ---- */

struct call_job {
    struct call *call;
    int (*run)(void *call, struct err *e);
};

/* In the child nothing turns the loop, so what does not fit into the socket now is sent at the end.
 */
static int run_job(void *arg, struct err *e)
{
    const struct call_job *j = arg;
    int r;

    j->call->conn.io.started = false; /* the epoll is the parent's too: leave it alone */
    r = j->run(j->call, e);
    return ipc_flush_now(&j->call->conn) < 0 ? -1 : r;
}

static void job_over(void *owner, int status, const struct err *e)
{
    struct call_job *j = owner;

    (void)status;
    call_finish(j->call, e);
    free(j);
}

void call_job(struct call *c, const char *what, int (*run)(void *call, struct err *e))
{
    struct call_job *j = mem_new(sizeof(*j));
    struct err e;

    *j = (struct call_job){.call = c, .run = run};
    c->job = true;
    if (job_start(&(struct job_spec){.loop = c->hub->loop,
                                     .what = what,
                                     .run = run_job,
                                     .arg = j,
                                     .done = job_over,
                                     .owner = j,
                                     .limit_ms = JOB_MS},
                  &e) == NULL) {
        c->job = false;
        free(j);
        call_fail(c, &e);
    }
}

/* ---- asking ---- */

static const struct verb *find_verb(const char *name)
{
    const struct verb *const tables[] = {verbs_user,   verbs_server, verbs_volume, verbs_snapshot,
                                         verbs_hub,    verbs_backup, verbs_top,    verbs_tool,
                                         verbs_events, verbs_logs};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct verb *v = tables[i]; v->name != NULL; v++)
            if (str_is(v->name, name))
                return v;
    return NULL;
}

/* Whatever a user who is not root names, it is themselves that they mean, or they are refused. */
static int restrict_to_self(struct call *c, struct err *e)
{
    for (size_t i = 1; i + 1 < c->words_n; i += 2)
        if ((str_is(c->words[i], "login") || str_is(c->words[i], "name")) &&
            !str_is(c->words[i + 1], c->self)) {
            (void)err_set(e, ERR_DENIED, "only root may do this to others than themselves");
            return err_hint(e, "as root, or with sudo: dorm %s", c->words[0]);
        }
    return 0;
}

static int permitted(struct call *c, const struct verb *v, struct err *e)
{
    if (c->uid == 0)
        return 0;
    if (v->who == VERB_ROOT) {
        (void)err_set(e, ERR_DENIED, "only root may do this");
        return err_hint(e, "as root, or with sudo: dorm %s", v->name);
    }
    if (c->self[0] == '\0')
        return err_set(e, ERR_DENIED, "your account has no user in this hub");
    return restrict_to_self(c, e);
}

static void asked(struct ipc_conn *conn, const struct ipc_msg *m, int *fd)
{
    struct call *c = list_of(conn, struct call, conn);
    const struct verb *v;
    char shown[64];
    struct err e;

    (void)fd;
    if (m->type != IPC_CALL || m->n == 0 || c->words_n > 0) {
        call_end(c); /* one question per connection */
        return;
    }
    loop_timer_stop(c->hub->loop, &open_of(c)->silence);
    for (size_t i = 0; i < m->n; i++)
        c->words[c->words_n++] = mem_copy(m->field[i].at);
    v = find_verb(c->words[0]);
    if (v == NULL)
        (void)err_set(&e, ERR_INPUT, "this dormd does not know the command \"%s\"",
                      str_show(shown, sizeof(shown), c->words[0], strlen(c->words[0])));
    if (v == NULL || permitted(c, v, &e) < 0)
        call_fail(c, &e);
    else
        v->run(c);
}

static void asker_gone(struct ipc_conn *conn, const struct err *why)
{
    (void)why;
    call_end(list_of(conn, struct call, conn));
}

static void too_silent(struct loop_timer *t)
{
    call_end(&list_of(t, struct open_call, silence)->call);
}

static size_t calls_of(struct control *control, uid_t uid, size_t *ret_all)
{
    size_t theirs = 0;

    *ret_all = 0;
    list_each (&control->calls, node) {
        theirs += list_of(node, struct open_call, node)->call.uid == uid;
        (*ret_all)++;
    }
    return theirs;
}

static void who_calls(struct call *c)
{
    char name[sizeof(c->self)];
    struct store_user user;
    struct err e;

    if (people_os_name(c->uid, name, sizeof(name)) && people_find(c->hub, name, &user, &e) == 0)
        (void)snprintf(c->self, sizeof(c->self), "%s", name);
}

static void came(struct loop_io *io, uint32_t events)
{
    struct control *control = list_of(io, struct control, io);
    AUTO_CLOSE int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC);
    struct open_call *o;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    size_t all;
    struct err e;

    (void)events;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return;
    if (peer.uid != 0 && (calls_of(control, peer.uid, &all) >= CALLS_OF_ONE || all >= CALLS_MOST))
        return; /* any OS user may knock: none may fill us up */
    o = mem_new(sizeof(*o));
    o->control = control;
    o->call = (struct call){.hub = control->hub, .uid = peer.uid};
    list_init(&o->node);
    if (peer.uid != 0)
        who_calls(&o->call);
    if (ipc_conn_start(&o->call.conn, control->hub->loop, &fd, asked, asker_gone, &e) < 0) {
        free(o);
        return;
    }
    list_append(&control->calls, &o->node);
    loop_timer_set(control->hub->loop, &o->silence, loop_now(control->hub->loop) + ASK_MS,
                   too_silent);
}

struct control *control_open(struct hub *h, struct err *e)
{
    struct control *c = mem_new(sizeof(*c));
    AUTO_FREE char *path = mem_printf("%s/control", h->run_dir);

    *c = (struct control){.hub = h, .fd = -1};
    list_init(&c->calls);
    if (listen_unix(path, SOCK_SEQPACKET, 0666, &c->fd, e) < 0 ||
        loop_io_start(h->loop, &c->io, c->fd, EPOLLIN, came, e) < 0) {
        control_free(c);
        return NULL;
    }
    fd_refuse_fds(c->fd);
    return c;
}

void control_free(struct control *c)
{
    if (c == NULL)
        return;
    while (!list_empty(&c->calls)) {
        struct open_call *o = list_of(list_first(&c->calls), struct open_call, node);

        o->call.job = false;
        (void)ipc_flush_now(&o->call.conn);
        call_end(&o->call);
    }
    loop_io_stop(c->hub->loop, &c->io);
    close_fd(&c->fd);
    free(c);
}
