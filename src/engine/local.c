#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups-memory.h"
#include "box/groups.h"
#include "box/look.h"
#include "box/seccomp.h"
#include "local-int.h"
#include "tool-int.h"

const struct pg_install *local_install(const struct local *l, uint32_t major, struct err *e)
{
    char image[32];
    struct pg_install found;

    for (size_t i = 0; i < l->installs_n; i++)
        if (major == 0 || l->installs[i].major == (int)major)
            return &l->installs[i];
    (void)snprintf(image, sizeof(image), major == 0 ? "postgres" : "postgres:%u", (unsigned)major);
    if (pg_find("", image, &found, e) == 0)
        (void)err_set(e, ERR_MISSING, "PostgreSQL %u was installed after dormd had started",
                      (unsigned)major);
    return NULL;
}

int local_major(struct engine *engine, uint32_t major, uint32_t *ret_major, struct err *e)
{
    const struct pg_install *install = local_install(local_of(engine), major, e);

    if (install == NULL)
        return -1;
    *ret_major = (uint32_t)install->major;
    return 0;
}

/* ---- operations ---- */

static int op_start(struct engine *engine, const struct engine_server *spec, struct err *e)
{
    return pod_start(local_of(engine), spec, e);
}

static int op_ask(struct engine *engine, const struct engine_server *spec, struct err *e)
{
    return pod_ask(local_of(engine), spec, e);
}

static int op_stop(struct engine *engine, const char *server, struct err *e)
{
    return pod_stop(local_of(engine), server, e);
}

static int op_kill(struct engine *engine, const char *server, struct err *e)
{
    return pod_kill(local_of(engine), server, e);
}

static int op_freeze(struct engine *engine, const char *server, struct err *e)
{
    return pod_freeze(local_of(engine), server, e);
}

static int op_thaw(struct engine *engine, const char *server, struct err *e)
{
    return pod_thaw(local_of(engine), server, e);
}

static int op_look(struct engine *engine, const char *server, engine_look_fn done, void *owner,
                   struct err *e)
{
    return pod_look(local_of(engine), server, done, owner, e);
}

static int op_connect(struct engine *engine, const char *server, int *ret_fd, struct err *e)
{
    return pod_connect(local_of(engine), server, ret_fd, e);
}

static int op_work(struct engine *engine, const struct engine_task *task, engine_task_fn done,
                   void *owner, struct err *e)
{
    return chore_start(local_of(engine), task, done, owner, e);
}

static int op_prepare(struct engine *engine, const struct engine_server *spec, engine_done_fn done,
                      void *owner, struct err *e)
{
    struct local *l = local_of(engine);
    const struct local_place *place = local_place_of(l, spec->disks[0].class, e);
    const struct pg_install *install = place == NULL ? NULL : local_install(l, spec->major, e);
    int there;

    if (install == NULL)
        return -1;
    there = template_need(l, place, install, spec->disks[0].capacity, NULL, done, owner, e);
    if (there == 1)
        done(owner, "template", NULL);
    return there < 0 ? -1 : 0;
}

struct seeking {
    struct local *local;
    engine_found_fn found;
    void *owner;
};

/*
 * A pod that has its process 1 is a server. One that has not is what a launch, killed half-way,
 * has left, or what a server's end has not cleaned up.
 */
static int seek_pod(void *owner, const char *id, struct err *e)
{
    struct seeking *s = owner;
    struct box_seen seen;
    bool runs;

    if (box_look(s->local->groups, id, &seen, e) < 0)
        return -1;
    runs = seen.init != 0 && seen.payload != 0;
    box_seen_done(&seen);
    if (runs && strlen(id) == ID_LEN)
        s->found(s->owner, id);
    else if (runs && tool_is_id(id) && tool_found(s->local, id, e) == 0)
        return 0;
    else if (pod_clean_now(s->local, id, e) < 0)
        log_err(NULL, LOG_WARN_, e);
    return 0;
}

static int op_observe(struct engine *engine, engine_found_fn found, void *owner, struct err *e)
{
    struct seeking s = {.local = local_of(engine), .found = found, .owner = owner};

    if (box_groups_list(s.local->groups, seek_pod, &s, e) < 0)
        return -1;
    return disks_tidy(s.local, e);
}

static int op_usage(struct engine *engine, const char *server, struct engine_usage *ret,
                    struct err *e)
{
    const struct box_groups *groups = local_of(engine)->groups;
    struct box_memory memory;
    struct box_usage u;

    if ((server == NULL ? box_groups_usage_all(groups, &u, e)
                        : box_groups_usage(groups, server, &u, e)) < 0 ||
        box_groups_memory(groups, server, &memory, e) < 0)
        return -1;
    *ret = (struct engine_usage){.memory = u.memory,
                                 .held = memory.held,
                                 .memory_peak = u.memory_peak,
                                 .cpu_us = u.cpu_us,
                                 .oom_kills = u.oom_kills,
                                 .processes = (uint32_t)u.pids};
    return 0;
}

static int op_limit(struct engine *engine, const struct engine_server *spec, struct err *e)
{
    return pod_limit(local_of(engine), spec, e);
}

static void op_room(struct engine *engine, const char *server, struct engine_room *ret)
{
    pod_room(local_of(engine), server, ret);
}

const struct box_groups *local_groups(const struct engine *engine)
{
    return local_of(engine)->groups;
}

void local_log_path(const struct engine *engine, const char *server, char *at, size_t size)
{
    (void)snprintf(at, size, "%s/logs/%s.log", local_of(engine)->state_dir, server);
}

/* What is being detached or built now is in the way of leaving, and has a deadline of its own. */
static int settle(struct local *l, struct err *e)
{
    while (!list_empty(&l->chores) || !list_empty(&l->templates) || !list_empty(&l->tellings) ||
           tool_any(l))
        if (loop_run_once(l->loop, e) < 0)
            return -1;
    return disks_tidy(l, e);
}

int local_leave(struct engine *engine, struct err *e)
{
    struct local *l = local_of(engine);

    if (settle(l, e) < 0)
        return -1;
    if (places_close(l, e) < 0)
        return -1;
    box_groups_purge(l->groups); /* frees it */
    l->groups = NULL;
    return 0;
}

int local_destroy(struct engine *engine, struct err *e)
{
    struct local *l = local_of(engine);

    if (settle(l, e) < 0)
        return -1;
    if (places_destroy(l, e) < 0)
        return -1;
    box_groups_purge(l->groups);
    l->groups = NULL;
    return 0;
}

/* ---- birth and death ---- */

static void op_free(struct engine *engine)
{
    struct local *l = local_of(engine);

    pod_free_all(l);
    tool_free_all(l);
    map_done(&l->pods);
    watch_free(l);
    loop_timer_stop(l->loop, &l->limit_timer);
    memory_free(l);
    places_free(l);
    box_groups_close(l->groups);
    close_fd(&l->seccomp_fd);
    close_fd(&l->lean_fd);
    close_fd(&l->locks_fd);
    free(l->state_dir);
    free(l->run_dir);
    free(l);
}

static int make_dirs(struct local *l, struct err *e)
{
    static const char *const names[] = {"vol", "vol/.shared", "pods", "notify", "log"};
    AUTO_CLOSE int state = open(l->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int run = open(l->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (state < 0 || run < 0)
        return err_set_os(e, errno, "could not open the hub's directories");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int fd = fd_open_dir(run, names[i], str_is(names[i], "vol/.shared") ? 0700 : 0711, e);

        if (fd < 0)
            return -1;
        (void)close(fd);
    }
    l->locks_fd = fd_open_dir(state, "locks", 0700, e);
    return l->locks_fd < 0 ? -1 : 0;
}

static int open_parts(struct local *l, const struct local_spec *spec, struct err *e)
{
    int found;

    if (make_dirs(l, e) < 0)
        return -1;
    l->groups = box_groups_open(spec->hub_id, spec->pods_group, e);
    if (l->groups == NULL)
        return -1;
    l->seccomp_fd = box_seccomp_open(e);
    l->lean_fd = box_lean_open(e);
    if (l->lean_fd < 0)
        log_warn(NULL, "%s; pods start from all mounts of this machine, which is slower", e->msg);
    if (l->seccomp_fd < 0 || box_host_read("/", &l->host, e) < 0)
        return -1;
    found = pg_list("", l->installs, e);
    if (found < 0)
        return -1;
    l->installs_n = (size_t)found;
    watch_new(l);
    memory_new(l);
    return places_open(l, spec, e);
}

struct engine *local_new(const struct local_spec *spec, engine_event_fn on_event, void *owner,
                         struct err *e)
{
    static const struct engine_ops ops = {
        .start = op_start,
        .ask = op_ask,
        .stop = op_stop,
        .kill = op_kill,
        .freeze = op_freeze,
        .thaw = op_thaw,
        .look = op_look,
        .connect = op_connect,
        .work = op_work,
        .prepare = op_prepare,
        .observe = op_observe,
        .usage = op_usage,
        .limit = op_limit,
        .room = op_room,
        .free = op_free,
    };
    struct local *l = mem_new(sizeof(*l));

    *l = (struct local){
        .engine = {.ops = &ops, .on_event = on_event, .owner = owner},
        .loop = spec->loop,
        .state_dir = mem_copy(spec->state_dir),
        .run_dir = mem_copy(spec->run_dir),
        .build_uid = spec->build_uid,
        .seccomp_fd = -1,
        .lean_fd = -1,
        .locks_fd = -1,
    };
    list_init(&l->templates);
    list_init(&l->chores);
    list_init(&l->tellings);
    if (!str_copy(l->hub_id, sizeof(l->hub_id), spec->hub_id)) {
        (void)err_set(e, ERR_INTERNAL, "\"%s\" is not the id of a hub", spec->hub_id);
        op_free(&l->engine);
        return NULL;
    }
    if (open_parts(l, spec, e) < 0) {
        op_free(&l->engine);
        return NULL;
    }
    return &l->engine;
}
