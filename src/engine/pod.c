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
#include "box/netns.h"
#include "patience.h"
#include "pg/adopt.h"
#include "pod-int.h"
#include "repair.h"

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
    patience_forget(p);
    repair_done(p);
    pod_log_close(&p->log);
    close_fd(&p->notify_fd);
    close_fd(&p->stderr_fd);
    pod_survey_forget(p);
    pod_memory_forget(p);
    pod_nap_forget(p);
    free(p->params);
    (void)map_remove(&l->pods, p->id);
    free(p->spec);
    p->spec = NULL;
    loop_free_later(l->loop, p);
}

int pod_places(struct pod *p, struct err *e)
{
    for (size_t i = 0; i < p->spec->disks_n; i++) {
        if (p->spec->disks[i].path != NULL)
            continue;
        p->places[i] = local_place_of(p->local, p->spec->disks[i].class, e);
        if (p->places[i] == NULL)
            return -1;
    }
    return 0;
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

static void take_params(struct pod *p)
{
    const struct engine_server *spec = p->spec;
    size_t n = spec->parameters_n / 2;

    p->params = mem_new((n + 1) * sizeof(*p->params));
    for (size_t i = 0; i < n; i++)
        p->params[i] = (struct pg_param){.name = spec->parameters[2 * i],
                                         .value = spec->parameters[2 * i + 1]};
    p->server.params = p->params;
    p->server.param_n = n;
}

struct pod *pod_new(struct local *l, const struct engine_server *spec, struct err *e)
{
    struct pod *p;

    if (strlen(spec->id) != ID_LEN || strlen(spec->disks[0].volume) != ID_LEN ||
        strlen(spec->superuser) > PG_NAME_MAX || spec->disks_n > ENGINE_DISKS_MAX) {
        (void)err_set(e, ERR_INPUT, "server \"%s\" cannot be run as it is described", spec->id);
        return NULL;
    }
    p = mem_new(sizeof(*p));
    *p = (struct pod){
        .local = l,
        .spec = engine_server_copy(spec),
        .named = spec->named,
        .uid = spec->uid,
        .limits = pod_limits(spec),
        .server = {.memory = spec->memory,
                   .capacity = spec->disks[0].capacity,
                   .ip4_only = !box_has_ip6(),
                   .cpus = spec->cpu_milli / 1000},
        .notify_fd = -1,
        .stderr_fd = -1,
    };
    p->id = p->spec->id;
    take_params(p);
    pod_dirs_of(&p->dirs, l, p->id, p->spec->disks[0].volume);
    disk_point(l, p->spec, 0, p->dirs.volume);
    map_add(&l->pods, p->id, p);
    watch_soon(l);
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
    struct err told;
    bool mended = repair_told(p, &told);

    p->phase = POD_UP;
    p->named = p->was_up = true;
    patience_ready(p);
    pod_memory_watch(p);
    engine->on_event(engine->owner, p->id, ENGINE_READY, mended ? &told : NULL);
}

static int dial(void *pod, struct err *e)
{
    return pod_dial(pod, e);
}

int pod_name_owner(void *arg, struct err *e)
{
    struct pod *p = arg;
    struct pg_dial way = {.dial = dial, .of = p};
    int fd = pod_dial(p, e);

    if (fd < 0 || INJECT("pod.naming", e) < 0)
        return -1;
    /* 0: named now or earlier */
    if (pg_name_owner(fd, p->spec->superuser, clock_ms() + NAMING_MS, e) < 0)
        return -1;
    /* what was found on a static volume may never have heard of us */
    return p->spec->disks[0].path == NULL ||
                   pg_adopt_roles(&way, p->spec->superuser, clock_ms() + NAMING_MS, e) >= 0
               ? 0
               : -1;
}

static void named(void *owner, int status, const struct err *e)
{
    struct pod *p = owner;

    (void)status;
    p->work = NULL;
    if (e != NULL) {
        struct err why = *e;

        (void)err_prefix(&why, "could not make \"%s\" the owner of the new server",
                         p->spec->superuser);
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

/* Whoever comes into a full server is told so, and with what. */
static void settle_in(struct pod *p)
{
    pod_hold_look(p); /* since an earlier wake */
    if (!pod_room_look(p) || !pod_room_short(p)) {
        pod_up(p);
        return;
    }
    p->phase = POD_SURVEYING;
    pod_survey(p, pod_up);
}

static void ready(struct pod *p)
{
    struct err e;

    /*
     * heard enough: its owner could go on talking for as long as it lives. Closed, since a socket
     * that is full and never read would keep PostgreSQL waiting when it says that it stops.
     */
    loop_io_stop(p->local->loop, &p->notify_io);
    close_fd(&p->notify_fd);
    if (!p->named && name_in_job(p, &e) < 0) {
        pod_fail(p, &e);
        return;
    }
    /* nobody is let in before this; a first start looks while its job gives the owner a name */
    if (box_verify(p->local->groups, p->id, p->uid, p->uid, &e) < 0)
        pod_fail(p, &e);
    else if (p->named)
        settle_in(p);
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
    p->started = e == NULL || (e->kind == ERR_OS && e->os_errno == 0);
    if (p->phase != POD_UP && !p->started && p->why.kind == ERR_NONE)
        p->why = *e;
    pod_end(p);
}

static int check_data(const struct pod *p, const char *where, struct err *e)
{
    AUTO_FREE char *path = mem_printf(VOL_DIR_POD "/%s", where);
    AUTO_CLOSE int top = open(p->dirs.volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int data = -1;
    struct pg_control control;

    if (top < 0)
        return err_set_os(e, errno, "could not open volume \"%s\"", p->spec->disks[0].volume);
    data = fd_open_beneath(top, path, O_RDONLY | O_DIRECTORY, e);
    if (data < 0)
        return err_prefix(e, "the data directory of server \"%s\"", p->spec->login);
    if (pg_data_check(data, p->server.install->major, e) < 0)
        return -1;
    /* of a version that is not known nothing is said; PostgreSQL will */
    if (pg_control_read(data, &control, e) == 0 || e->kind != ERR_INTERNAL)
        return 0;
    (void)err_prefix(e, "the data of server \"%s\" are damaged", p->spec->login);
    return err_hint(e,
                    "go back to a snapshot: dorm snapshot list %s; or begin anew: dorm server "
                    "reset %s",
                    p->spec->login, p->spec->login);
}

/*
 * In the child that becomes the pod. It enters the group before it takes the lock, so that a dormd
 * that starts just now and finds the lock taken also finds by whom.
 */
static int launch(void *arg, struct err *e)
{
    const struct pod *p = arg;
    const struct local *l = p->local;
    struct disk_want disks = {.local = l,
                              .spec = p->spec,
                              .template_name = p->template_name,
                              .major = p->server.install->major};
    char where[8];
    AUTO_CLOSE int lock_fd = -1;
    struct pod_run run = {.local = l,
                          .dirs = &p->dirs,
                          .spec = p->spec,
                          .data = where,
                          .login = p->spec->login,
                          .uid = p->uid,
                          .server = &p->server,
                          .err_fd = p->stderr_fd};

    if (box_groups_join(l->groups, p->id, e) < 0)
        return -1;
    if (disk_lock_data(l, p->spec, &lock_fd, e) < 0 || INJECT("pod.locked", e) < 0)
        return -1;
    if (disks_attach(&disks, where, e) < 0 || INJECT("pod.attached", e) < 0 ||
        pod_sockets_mount(&p->dirs, p->uid, e) < 0 || repair_data(p, where, lock_fd, e) < 0 ||
        check_data(p, where, e) < 0 || INJECT("pod.launch", e) < 0)
        return -1;
    run.lock_fd = lock_fd;
    return pod_exec(&run, e);
}

int pod_start_now(struct pod *p, struct err *e)
{
    struct local *l = p->local;
    AUTO_CLOSE int birthplace = -1;

    p->phase = POD_STARTING;
    log_info(NULL, "server=%s start %u is starting", p->id, p->tries + 1);
    if (repair_begin(p, e) < 0)
        return -1;
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
    patience_start(p);
    return p->launch == NULL ? -1 : 0;
}

/* 1: go ahead; 0: something must be done first, and pod_go_on() follows. */
static int prepared(struct pod *p, struct err *e)
{
    const struct engine_disk *data = &p->spec->disks[0];
    const struct local_place *place = p->places[0];
    int there;

    for (size_t i = 0; i < p->spec->disks_n; i++)
        if (chore_wait(p->local, p->spec->disks[i].volume, p))
            return 0;
    if (place == NULL) { /* static: what is empty is filled from a template of the first class */
        if (p->named)
            return 1;
        place = &p->local->places[0];
        if (place->place.ops == NULL)
            return *e = place->why, -1;
        return template_need(p->local, place, p->server.install, data->capacity, p, NULL, NULL, e);
    }
    there = vol_place_exists(&place->place, data->volume, e);
    if (there < 0 && (e->os_errno == EIO || e->os_errno == EUCLEAN || e->os_errno == EROFS)) {
        (void)err_prefix(e, "the disk of storage class \"%s\" has failed", data->class);
        return err_hint(e,
                        "nothing is lost that was committed: the administrator has to check %s, "
                        "then dorm down and dorm up",
                        place->place.path);
    }
    if (there < 0 || (there == 1 && !p->spec->ephemeral))
        return there;
    if (p->named && !p->spec->ephemeral) {
        /* it has been used: to begin anew, empty, would look like the loss of everything in it */
        (void)err_set(e, ERR_MISSING, "the volume of server \"%s\" is not in %s", p->spec->login,
                      place->place.path);
        return err_hint(e, "is the disk of storage class \"%s\" mounted? dorm storage list",
                        data->class);
    }
    return template_need(p->local, place, p->server.install, data->capacity, p, NULL, NULL, e);
}

static int advance(struct pod *p, struct err *e)
{
    int r = prepared(p, e);

    return r <= 0 ? r : pod_start_now(p, e);
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
static int find_parts(struct pod *p, struct err *e)
{
    const struct engine_server *spec = p->spec;

    p->server.install = local_install(p->local, spec->major, e);
    if (p->server.install == NULL || pod_places(p, e) < 0)
        return -1;
    (void)pg_template_name(p->template_name, sizeof(p->template_name), p->server.install,
                           spec->disks[0].capacity, PG_TEMPLATE_GENERATION);
    return watch_admit(p->local, spec, e);
}

int pod_start(struct local *l, const struct engine_server *spec, struct err *e)
{
    struct pod *p;

    if (map_get(&l->pods, spec->id) != NULL)
        return err_set(e, ERR_BUSY, "server \"%s\" still has processes", spec->login);
    p = pod_new(l, spec, e);
    if (p == NULL)
        return -1;
    if (find_parts(p, e) < 0 || advance(p, e) < 0) {
        struct err ignored;

        pod_free(p);
        (void)pod_clean(l, spec->id, &ignored);
        return -1;
    }
    return 0;
}

void pod_room(const struct local *l, const char *id, struct engine_room *ret)
{
    const struct pod *p = map_get(&l->pods, id);

    *ret = p == NULL ? (struct engine_room){0} : p->room;
    ret->held = p != NULL && p->disks[0].held;
}

/* ---- what is done to a living one ---- */

int pod_stop(struct local *l, const char *id, struct err *e)
{
    struct pod *p = map_get(&l->pods, id);

    if (p == NULL)
        return 0;
    p->told_to_end = true;
    if (p->phase == POD_PREPARING) {
        (void)err_set(&p->why, ERR_BUSY, "the server was stopped before it had started");
        pod_end(p);
        return 0;
    }
    if (p->frozen && pod_thaw(l, id, e) < 0)
        return -1;
    if (box_signal(l->groups, id, BOX_PAYLOAD, SIGINT, e) == 0) {
        patience_stop(p);
        return 0;
    }
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
    p->told_to_end = true;
    if (p->launch != NULL)
        job_kill(p->launch);
    if ((p->frozen && pod_thaw(l, id, e) < 0) || box_groups_kill(l->groups, id, e) < 0)
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
        return err_set(e, ERR_BUSY, "server \"%s\" has no socket", p->spec->login);
    fd_refuse_fds(fd);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", socket_path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set(e, ERR_BUSY, "server \"%s\" takes no connections", p->spec->login);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) < 0 || peer.uid != p->uid)
        return err_set(e, ERR_DENIED, "the socket of server \"%s\" belongs to somebody else",
                       p->spec->login);
    *ret_fd = take_fd(&fd);
    return 0;
}
