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
#include "box/groups.h"
#include "box/look.h"
#include "box/seccomp.h"
#include "local-int.h"

enum { CHORE_MS = 60000 };

/* Work in a child on the volume of a server that has no process. */
struct chore {
    struct list node, waiting; /* of struct waiting_pod */
    struct local *local;
    const struct local_pool *pool;
    char volume[ID_SIZE];
    bool destroys;
    engine_done_fn done;
    void *owner;
};

struct waiting_pod {
    struct list node;
    struct pod *pod; /* borrowed */
};

static struct local *local_of(const struct engine *engine)
{
    return (struct local *)(uintptr_t)engine;
}

const struct local_pool *local_pool_of(const struct local *l, const char *class, struct err *e)
{
    for (size_t i = 0; i < l->pools_n; i++)
        if (str_is(l->pools[i].class, class))
            return &l->pools[i];
    (void)err_set(e, ERR_CONFIG, "there is no storage class \"%s\"", class);
    (void)err_hint(e, "dorm storage list");
    return NULL;
}

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

/* ---- chores ---- */

static int do_chore(void *arg, struct err *e)
{
    const struct chore *c = arg;
    struct pod_dirs dirs;
    AUTO_CLOSE int lock_fd = -1;

    pod_dirs_of(&dirs, c->local, c->volume, c->volume);
    if (vol_lock(c->local->locks_fd, c->volume, &lock_fd, e) < 0 || vol_detach(dirs.volume, e) < 0)
        return -1;
    if (!c->destroys)
        return 0;
    if (vol_destroy(&c->pool->pool, c->volume, e) < 0)
        return -1;
    return unlinkat(c->local->locks_fd, c->volume, 0) < 0 && errno != ENOENT
               ? err_set_os(e, errno, "could not remove the lock of volume \"%s\"", c->volume)
               : 0;
}

static void chore_done(void *owner, int status, const struct err *e)
{
    struct chore *c = owner;

    (void)status;
    list_remove(&c->node);
    while (!list_empty(&c->waiting)) {
        struct waiting_pod *w = list_of(list_first(&c->waiting), struct waiting_pod, node);

        list_remove(&w->node);
        pod_go_on(w->pod, NULL); /* whatever came of the chore, the start will see for itself */
        free(w);
    }
    if (c->done != NULL)
        c->done(c->owner, c->volume, e);
    loop_free_later(c->local->loop, c);
}

static int chore_start(struct local *l, const char *volume, const struct local_pool *destroy_in,
                       engine_done_fn done, void *owner, struct err *e)
{
    struct chore *c = mem_new(sizeof(*c));

    *c = (struct chore){.local = l,
                        .pool = destroy_in,
                        .destroys = destroy_in != NULL,
                        .done = done,
                        .owner = owner};
    list_init(&c->waiting);
    list_init(&c->node);
    if (!str_copy(c->volume, sizeof(c->volume), volume)) {
        free(c);
        return err_set(e, ERR_INTERNAL, "\"%s\" is not the id of a volume", volume);
    }
    if (job_start(&(struct job_spec){.loop = l->loop,
                                     .what = "detach a volume",
                                     .run = do_chore,
                                     .arg = c,
                                     .done = chore_done,
                                     .owner = c,
                                     .limit_ms = CHORE_MS},
                  e) == NULL) {
        free(c);
        return -1;
    }
    list_append(&l->chores, &c->node);
    return 0;
}

bool chore_wait(struct local *l, const char *volume, struct pod *p)
{
    list_each (&l->chores, node) {
        struct chore *c = list_of(node, struct chore, node);
        struct waiting_pod *w;

        if (!str_is(c->volume, volume))
            continue;
        w = mem_new(sizeof(*w));
        w->pod = p;
        list_append(&c->waiting, &w->node);
        return true;
    }
    return false;
}

void chore_forget(struct local *l, const struct pod *p)
{
    list_each (&l->chores, node) {
        struct chore *c = list_of(node, struct chore, node);

        list_each (&c->waiting, waiter) {
            struct waiting_pod *w = list_of(waiter, struct waiting_pod, node);

            if (w->pod == p) {
                list_remove(&w->node);
                free(w);
            }
        }
    }
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

static int op_connect(struct engine *engine, const char *server, int *ret_fd, struct err *e)
{
    return pod_connect(local_of(engine), server, ret_fd, e);
}

static int op_release(struct engine *engine, const char *volume, engine_done_fn done, void *owner,
                      struct err *e)
{
    return chore_start(local_of(engine), volume, NULL, done, owner, e);
}

static int op_destroy(struct engine *engine, const char *volume, const char *class,
                      engine_done_fn done, void *owner, struct err *e)
{
    struct local *l = local_of(engine);
    const struct local_pool *pool = local_pool_of(l, class, e);

    return pool == NULL ? -1 : chore_start(l, volume, pool, done, owner, e);
}

static int op_prepare(struct engine *engine, const struct engine_server *spec, engine_done_fn done,
                      void *owner, struct err *e)
{
    struct local *l = local_of(engine);
    const struct local_pool *pool = local_pool_of(l, spec->class, e);
    const struct pg_install *install = pool == NULL ? NULL : local_install(l, spec->major, e);
    int there;

    if (install == NULL)
        return -1;
    there = template_need(l, pool, install, spec->capacity, NULL, done, owner, e);
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
    runs = seen.init != 0 && seen.payload != 0 && strlen(id) == ID_LEN;
    box_seen_done(&seen);
    if (runs)
        s->found(s->owner, id);
    else if (pod_clean_now(s->local, id, e) < 0)
        log_err(NULL, LOG_WARN_, e);
    return 0;
}

static int tidy_mount(void *owner, const struct vol_mount *mount, struct err *e)
{
    struct local *l = owner;
    const char *name = strrchr(mount->mountpoint, '/') + 1;
    int held = strlen(name) == ID_LEN ? vol_lock_held(l->locks_fd, name, e) : 0;

    if (held == 0 && vol_detach(mount->mountpoint, e) < 0)
        log_err(NULL, LOG_WARN_, e);
    return 0;
}

static int op_observe(struct engine *engine, engine_found_fn found, void *owner, struct err *e)
{
    struct seeking s = {.local = local_of(engine), .found = found, .owner = owner};
    AUTO_FREE char *dir = mem_printf("%s/vol", s.local->run_dir);

    if (box_groups_list(s.local->groups, seek_pod, &s, e) < 0)
        return -1;
    return vol_attached(dir, tidy_mount, s.local, e);
}

static int op_usage(struct engine *engine, const char *server, struct engine_usage *ret,
                    struct err *e)
{
    struct box_usage u;

    if (box_groups_usage(local_of(engine)->groups, server, &u, e) < 0)
        return -1;
    *ret = (struct engine_usage){.memory = u.memory,
                                 .memory_peak = u.memory_peak,
                                 .cpu_us = u.cpu_us,
                                 .oom_kills = u.oom_kills,
                                 .processes = (uint32_t)u.pids};
    return 0;
}

int local_places(struct engine *engine, local_place_fn fn, void *owner, struct err *e)
{
    const struct local *l = local_of(engine);

    for (size_t i = 0; i < l->pools_n; i++) {
        struct vol_space space;

        if (vol_pool_room(&l->pools[i].pool, &space, e) < 0)
            return -1;
        fn(owner, &(struct local_place){.class = l->pools[i].class,
                                        .pool = l->pools[i].dir,
                                        .how = vol_how_name(l->pools[i].pool.how),
                                        .total = space.total,
                                        .free = space.free});
    }
    return 0;
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
    AUTO_FREE char *dir = mem_printf("%s/vol", l->run_dir);

    while (!list_empty(&l->chores) || !list_empty(&l->templates))
        if (loop_run_once(l->loop, e) < 0)
            return -1;
    return vol_attached(dir, tidy_mount, l, e);
}

static int close_pool(struct local_pool *pool, struct err *e)
{
    vol_pool_done(&pool->pool);
    return vol_pool_close(pool->dir, e);
}

int local_leave(struct engine *engine, struct err *e)
{
    struct local *l = local_of(engine);

    if (settle(l, e) < 0)
        return -1;
    for (size_t i = 0; i < l->pools_n; i++)
        if (close_pool(&l->pools[i], e) < 0)
            return -1;
    box_groups_purge(l->groups); /* frees it */
    l->groups = NULL;
    return 0;
}

struct names {
    char (*at)[VOL_NAME_MAX + 1]; /* owned */
    size_t n;
};

static int note_name(void *owner, const struct vol_image *image, struct err *e)
{
    struct names *names = owner;

    names->at = mem_resize(names->at, (names->n + 1) * sizeof(*names->at));
    return str_copy(names->at[names->n++], sizeof(names->at[0]), image->name)
               ? 0
               : err_set(e, ERR_INTERNAL, "an image has a name that is too long");
}

static int destroy_images(const struct vol_pool *pool, struct err *e)
{
    struct names names = {0};
    int r = vol_list(pool, note_name, &names, e);

    for (size_t i = 0; r >= 0 && i < names.n; i++)
        r = vol_destroy(pool, names.at[i], e);
    free(names.at);
    return r;
}

int local_destroy(struct engine *engine, struct err *e)
{
    static const char *const parts[] = {"pool.xfs", "pool.xfs.new", "images", "identity"};
    struct local *l = local_of(engine);

    if (settle(l, e) < 0)
        return -1;
    for (size_t i = 0; i < l->pools_n; i++) {
        AUTO_CLOSE int dir = open(l->pools[i].dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (destroy_images(&l->pools[i].pool, e) < 0 || close_pool(&l->pools[i], e) < 0)
            return -1;
        for (size_t j = 0; dir >= 0 && j < sizeof(parts) / sizeof(parts[0]); j++)
            if (fd_remove_tree(dir, parts[j], e) < 0)
                return -1;
        (void)rmdir(l->pools[i].dir); /* unless the operator keeps anything else there */
    }
    box_groups_purge(l->groups);
    l->groups = NULL;
    return 0;
}

const char *local_pool_id(const struct engine *engine, const char *class)
{
    struct err e;
    const struct local_pool *pool = local_pool_of(local_of(engine), class, &e);

    return pool == NULL ? "" : pool->pool.id;
}

/* ---- birth and death ---- */

static void op_free(struct engine *engine)
{
    struct local *l = local_of(engine);

    pod_free_all(l);
    map_done(&l->pods);
    for (size_t i = 0; i < l->pools_n; i++) {
        vol_pool_done(&l->pools[i].pool);
        free(l->pools[i].class);
        free(l->pools[i].dir);
    }
    box_groups_close(l->groups);
    close_fd(&l->seccomp_fd);
    close_fd(&l->lean_fd);
    close_fd(&l->locks_fd);
    free(l->pools);
    free(l->state_dir);
    free(l->run_dir);
    free(l);
}

static int open_pools(struct local *l, const struct local_spec *spec, struct err *e)
{
    l->pools = mem_new(spec->classes_n * sizeof(*l->pools));
    for (size_t i = 0; i < spec->classes_n; i++) {
        const struct local_class *class = &spec->classes[i];
        struct local_pool *pool = &l->pools[i];
        struct vol_pool_spec want = {.dir = class->pool,
                                     .size = class->pool_size,
                                     .hub = spec->hub_id,
                                     .id = class->pool_id};

        *pool = (struct local_pool){.class = mem_copy(class->name),
                                    .dir = mem_copy(class->pool),
                                    .pool = {.dir_fd = -1, .images_fd = -1}};
        l->pools_n++;
        if (vol_pool_open(&want, &pool->pool, e) < 0)
            return err_prefix(e, "storage class \"%s\"", class->name);
    }
    return 0;
}

static int make_dirs(struct local *l, struct err *e)
{
    static const char *const names[] = {"vol", "pods", "notify", "log"};
    AUTO_CLOSE int state = open(l->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int run = open(l->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (state < 0 || run < 0)
        return err_set_os(e, errno, "could not open the hub's directories");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int fd = fd_open_dir(run, names[i], 0711, e);

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
    l->groups = box_groups_open(spec->hub_id, NULL, e);
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
    return open_pools(l, spec, e);
}

struct engine *local_new(const struct local_spec *spec, engine_event_fn on_event, void *owner,
                         struct err *e)
{
    static const struct engine_ops ops = {
        .start = op_start,
        .ask = op_ask,
        .stop = op_stop,
        .kill = op_kill,
        .connect = op_connect,
        .release = op_release,
        .destroy = op_destroy,
        .prepare = op_prepare,
        .observe = op_observe,
        .usage = op_usage,
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
