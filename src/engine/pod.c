/* A pod from the first wish to the last process: one struct pod per server that has any. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups.h"
#include "box/look.h"
#include "pod-int.h"

enum { NAMING_MS = 30000, DATAGRAMS_AT_ONCE = 16 };

void pod_free(struct pod *p)
{
    struct local *l = p->local;

    template_forget(l, p);
    chore_forget(l, p);
    if (p->launch != NULL)
        job_forget(p->launch);
    if (p->work != NULL)
        job_forget(p->work);
    loop_timer_stop(l->loop, &p->again);
    loop_io_stop(l->loop, &p->notify_io);
    loop_child_stop(&p->init);
    loop_child_stop(&p->payload);
    pod_log_close(&p->log);
    close_fd(&p->notify_fd);
    close_fd(&p->stderr_fd);
    for (size_t i = 0; i < p->server.param_n; i++) {
        free((void *)(uintptr_t)p->params[i].name);
        free((void *)(uintptr_t)p->params[i].value);
    }
    free(p->params);
    (void)map_remove(&l->pods, p->id);
    loop_free_later(l->loop, p);
}

void pod_free_all(struct local *l)
{
    for (;;) {
        struct pod *any = NULL;

        map_each (&l->pods, slot)
            any = slot->value;
        if (any == NULL)
            return;
        pod_free(any);
    }
}

static void copy_params(struct pod *p, const struct engine_server *spec)
{
    size_t n = spec->parameters_n / 2;

    p->params = mem_new((n + 1) * sizeof(*p->params));
    for (size_t i = 0; i < n; i++)
        p->params[i] = (struct pg_param){.name = mem_copy(spec->parameters[2 * i]),
                                         .value = mem_copy(spec->parameters[2 * i + 1])};
    p->server.params = p->params;
    p->server.param_n = n;
}

struct pod *pod_new(struct local *l, const struct engine_server *spec, struct err *e)
{
    struct pod *p = mem_new(sizeof(*p));

    *p = (struct pod){
        .local = l,
        .named = spec->named,
        .uid = spec->uid,
        .limits = {.memory = spec->memory, .cpu_milli = spec->cpu_milli, .pids = spec->pids},
        .server = {.memory = spec->memory,
                   .capacity = spec->capacity,
                   .cpus = spec->cpu_milli / 1000},
        .notify_fd = -1,
        .stderr_fd = -1,
    };
    if (!str_copy(p->id, sizeof(p->id), spec->id) ||
        !str_copy(p->volume, sizeof(p->volume), spec->volume) ||
        !str_copy(p->login, sizeof(p->login), spec->login) ||
        !str_copy(p->superuser, sizeof(p->superuser), spec->superuser)) {
        (void)err_set(e, ERR_INPUT, "a name of server \"%s\" is too long", spec->id);
        free(p);
        return NULL;
    }
    copy_params(p, spec);
    pod_dirs_of(&p->dirs, l, p->id, p->volume);
    map_add(&l->pods, p->id, p);
    return p;
}

/* ---- ready ---- */

int pod_dial(const struct pod *p, struct err *e)
{
    int fd = -1;

    return pod_connect(p->local, p->id, &fd, e) < 0 ? -1 : fd;
}

void pod_up(struct pod *p)
{
    struct engine *engine = &p->local->engine;

    p->phase = POD_UP;
    p->named = true;
    engine->on_event(engine->owner, p->id, ENGINE_READY, NULL);
}

int pod_name_owner(void *arg, struct err *e)
{
    struct pod *p = arg;
    int fd = pod_dial(p, e);

    if (fd < 0 || INJECT("pod.naming", e) < 0)
        return -1;
    /* 0: named now or earlier */
    return pg_name_owner(fd, p->superuser, clock_ms() + NAMING_MS, e) < 0 ? -1 : 0;
}

static void named(void *owner, int status, const struct err *e)
{
    struct pod *p = owner;

    (void)status;
    p->work = NULL;
    if (e != NULL) {
        struct err why = *e;

        (void)err_prefix(&why, "could not make \"%s\" the owner of the new server", p->superuser);
        pod_fail(p, &why);
        return;
    }
    pod_up(p);
}

static int name_in_job(struct pod *p, struct err *e)
{
    p->phase = POD_NAMING;
    p->work = job_start(&(struct job_spec){.loop = p->local->loop,
                                           .what = "name the owner of a new server",
                                           .run = pod_name_owner,
                                           .arg = p,
                                           .done = named,
                                           .owner = p,
                                           .limit_ms = NAMING_MS},
                        e);
    return p->work == NULL ? -1 : 0;
}

static void ready(struct pod *p)
{
    struct err e;

    /* heard enough: its owner could go on talking for as long as it lives */
    loop_io_stop(p->local->loop, &p->notify_io);
    if (!p->named && name_in_job(p, &e) < 0) {
        pod_fail(p, &e);
        return;
    }
    /* nobody is let in before this; a first start looks while its job gives the owner a name */
    if (box_verify(p->local->groups, p->id, p->uid, p->uid, &e) < 0)
        pod_fail(p, &e);
    else if (p->named)
        pod_up(p);
}

static void notified(struct loop_io *io, uint32_t events)
{
    struct pod *p = list_of(io, struct pod, notify_io);
    char datagram[1024];

    (void)events;
    for (int i = 0; i < DATAGRAMS_AT_ONCE; i++) {
        ssize_t n = recv(io->fd, datagram, sizeof(datagram), MSG_DONTWAIT);
        struct pg_notify notify;

        if (n < 0)
            return;
        if (p->phase == POD_STARTING && pg_notify_parse(datagram, (size_t)n, &notify) &&
            notify.ready) {
            ready(p);
            return;
        }
    }
}

/* ---- the start ---- */

static void launch_done(void *owner, int status, const struct err *e)
{
    struct pod *p = owner;

    (void)status;
    p->launch = NULL;
    /* an end after it was up is no failure of the launch, whatever status postgres chose; and what
     * postgres said in its log tells more than a status does */
    if (p->phase != POD_UP && e != NULL && !(e->kind == ERR_OS && e->os_errno == 0) &&
        p->why.kind == ERR_NONE)
        p->why = *e;
    pod_end(p);
}

static int check_data(const struct pod *p, struct err *e)
{
    AUTO_CLOSE int top = open(p->dirs.volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int data = -1;

    if (top < 0)
        return err_set_os(e, errno, "could not open volume \"%s\"", p->volume);
    data = fd_open_beneath(top, VOL_DIR_POD "/" PG_DATA_NAME, O_RDONLY | O_DIRECTORY, e);
    if (data < 0)
        return err_prefix(e, "the data directory of server \"%s\"", p->login);
    /*
     * Left by a crash, and perhaps empty: PostgreSQL would not start over it. That no other
     * postmaster has this directory is what the lock of the volume says, better than this file.
     */
    (void)unlinkat(data, "postmaster.pid", 0);
    return pg_data_check(data, p->server.install->major, e);
}

/*
 * In the child that becomes the pod. It enters the group before it takes the lock, so that a dormd
 * that starts just now and finds the lock taken also finds by whom.
 */
static int launch(void *arg, struct err *e)
{
    const struct pod *p = arg;
    const struct local *l = p->local;
    struct vol_attach attach = {
        .image = p->volume, .mountpoint = p->dirs.volume, .uid = p->uid, .gid = p->uid};
    AUTO_CLOSE int lock_fd = -1;
    struct pod_run run = {.local = l,
                          .dirs = &p->dirs,
                          .login = p->login,
                          .uid = p->uid,
                          .server = &p->server,
                          .err_fd = p->stderr_fd};
    int there;

    if (box_groups_join(l->groups, p->id, e) < 0)
        return -1;
    if (vol_lock(l->locks_fd, p->volume, &lock_fd, e) < 0 || INJECT("pod.locked", e) < 0)
        return -1;
    there = vol_exists(&p->pool->pool, p->volume, e);
    if (there < 0)
        return -1;
    if (there == 0 && vol_clone(&p->pool->pool, p->template_name, p->volume, e) < 0)
        return -1;
    if (INJECT("pod.cloned", e) < 0 || vol_attach(&p->pool->pool, &attach, e) < 0 ||
        INJECT("pod.attached", e) < 0 || check_data(p, e) < 0 ||
        pod_sockets_mount(&p->dirs, p->uid, e) < 0 || INJECT("pod.launch", e) < 0)
        return -1;
    run.lock_fd = lock_fd;
    return pod_exec(&run, e);
}

static int start_now(struct pod *p, struct err *e)
{
    struct local *l = p->local;
    AUTO_CLOSE int birthplace = -1;

    p->phase = POD_STARTING;
    if (box_groups_make(l->groups, p->id, &p->limits, e) < 0 || INJECT("pod.group", e) < 0)
        return -1;
    birthplace = box_groups_birthplace(l->groups, p->id);
    if (pod_log_open(&p->log, l, p->id, p->uid, &p->stderr_fd, e) < 0 ||
        pod_notify_open(&p->dirs, p->uid, &p->notify_fd, e) < 0 ||
        loop_io_start(l->loop, &p->notify_io, p->notify_fd, EPOLLIN, notified, e) < 0)
        return -1;
    p->launch = job_start(&(struct job_spec){.loop = l->loop,
                                             .what = "launch the server",
                                             .run = launch,
                                             .arg = p,
                                             .done = launch_done,
                                             .owner = p,
                                             .outlives_us = true,
                                             .birthplace = birthplace},
                          e);
    close_fd(&p->stderr_fd);
    return p->launch == NULL ? -1 : 0;
}

/* 1: go ahead; 0: something must be done first, and pod_go_on() follows. */
static int prepared(struct pod *p, struct err *e)
{
    int there;

    if (chore_wait(p->local, p->volume, p))
        return 0;
    there = vol_exists(&p->pool->pool, p->volume, e);
    if (there != 0)
        return there;
    if (p->named) {
        /* it has been used: to begin anew, empty, would look like the loss of everything in it */
        (void)err_set(e, ERR_MISSING, "the volume of server \"%s\" is not in %s", p->login,
                      p->pool->dir);
        return err_hint(e, "is the disk of storage class \"%s\" mounted? dorm storage list",
                        p->pool->class);
    }
    return template_need(p->local, p->pool, p->server.install, p->server.capacity, p, NULL, NULL,
                         e);
}

static int advance(struct pod *p, struct err *e)
{
    int r = prepared(p, e);

    return r <= 0 ? r : start_now(p, e);
}

void pod_go_on(struct pod *p, const struct err *e)
{
    struct err why;

    if (p->phase != POD_PREPARING)
        return;
    if (e != NULL)
        pod_fail(p, e);
    else if (advance(p, &why) < 0)
        pod_fail(p, &why);
}

/* What a start needs, and a pod that was found running does without. */
static int find_parts(struct pod *p, const struct engine_server *spec, struct err *e)
{
    p->pool = local_pool_of(p->local, spec->class, e);
    p->server.install = p->pool == NULL ? NULL : local_install(p->local, spec->major, e);
    if (p->server.install == NULL)
        return -1;
    (void)pg_template_name(p->template_name, sizeof(p->template_name), p->server.install,
                           spec->capacity, PG_TEMPLATE_GENERATION);
    return 0;
}

int pod_start(struct local *l, const struct engine_server *spec, struct err *e)
{
    struct pod *p;

    if (map_get(&l->pods, spec->id) != NULL)
        return err_set(e, ERR_BUSY, "server \"%s\" still has processes", spec->login);
    p = pod_new(l, spec, e);
    if (p == NULL)
        return -1;
    if (find_parts(p, spec, e) < 0 || advance(p, e) < 0) {
        struct err ignored;

        pod_free(p);
        (void)pod_clean(l, spec->id, &ignored);
        return -1;
    }
    return 0;
}

/* ---- what is done to a living one ---- */

int pod_stop(struct local *l, const char *id, struct err *e)
{
    struct pod *p = map_get(&l->pods, id);

    if (p == NULL)
        return 0;
    if (p->phase == POD_PREPARING) {
        (void)err_set(&p->why, ERR_BUSY, "the server was stopped before it had started");
        pod_end(p);
        return 0;
    }
    if (box_signal(l->groups, id, BOX_PAYLOAD, SIGINT, e) == 0)
        return 0;
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    /* no postmaster yet: there is nothing to shut down cleanly */
    return p->phase == POD_STARTING ? pod_kill(l, id, e) : 0;
}

int pod_kill(struct local *l, const char *id, struct err *e)
{
    struct pod *p = map_get(&l->pods, id);

    if (p == NULL)
        return 0;
    if (p->launch != NULL)
        job_kill(p->launch);
    if (box_groups_kill(l->groups, id, e) < 0)
        return -1;
    pod_end(p);
    return 0;
}

/*
 * The directory is the user's: they may put a link to another pod's socket there. So the name is
 * resolved once, below a descriptor and through no link, and whoever listens must be of this pod.
 */
int pod_connect(struct local *l, const char *id, int *ret_fd, struct err *e)
{
    const struct pod *p = map_get(&l->pods, id);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int dir = -1, socket_path = -1, fd = -1;
    struct ucred peer;
    socklen_t peer_size = sizeof(peer);

    if (p == NULL)
        return err_set(e, ERR_BUSY, "server \"%s\" does not run", id);
    dir = open(p->dirs.sockets, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_set_os(e, errno, "could not open \"%s\"", p->dirs.sockets);
    socket_path = fd_open_beneath(dir, strrchr(PG_SOCKET, '/') + 1, O_PATH, e);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_path < 0 || fd < 0)
        return err_set(e, ERR_BUSY, "server \"%s\" has no socket", p->login);
    fd_refuse_fds(fd);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", socket_path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set(e, ERR_BUSY, "server \"%s\" takes no connections", p->login);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0 || peer.uid != p->uid)
        return err_set(e, ERR_DENIED, "the socket of server \"%s\" belongs to somebody else",
                       p->login);
    *ret_fd = take_fd(&fd);
    return 0;
}
