/*
 * Chores: what is done to volumes beside running servers on them, each in a child. Those of one
 * volume follow each other; a start waits until the last that needs the volume for itself is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "local-int.h"
#include "pg/control.h"
#include "pg/place.h"

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

struct chore {
    struct list node, waiting; /* of struct waiting_pod */
    struct local *local;
    struct engine_task task;         /* its texts are below */
    struct engine_outcome *outcome;  /* owned: a page that the child shares with us */
    const struct local_place *place; /* of the volume; NULL: it has none, or its disk is away */
    const struct local_place *other; /* where from is, or where it moves */
    bool begun;
    engine_task_fn done;
    void *owner;
    char server[ID_SIZE], volume[ID_SIZE], snapshot[ID_SIZE], from[ID_SIZE];
};

struct waiting_pod {
    struct list node;
    struct pod *pod; /* borrowed */
};

/* ---- in the child ---- */

static int release(const struct chore *c, struct err *e)
{
    return disks_detach(c->local, c->volume, c->server, e);
}

static int destroy(const struct chore *c, struct err *e)
{
    if (disks_detach(c->local, c->volume, "", e) < 0 ||
        vol_place_destroy(&c->place->place, c->volume, e) < 0)
        return -1;
    if (unlinkat(c->local->locks_fd, c->volume, 0) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove the lock of volume \"%s\"", c->volume);
    return 0;
}

/* FNV-1a */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    for (int i = 0; i < 8; i++, value >>= 8)
        hash = (hash ^ (value & 0xff)) * UINT64_C(0x100000001b3);
    return hash;
}

/*
 * What changes with anything that is worth a snapshot: transactions, and files beside the database.
 * A start and a clean end write less than the last 16 bits of a place in the WAL. 0: not known.
 */
static uint64_t mark_of(const char *point)
{
    AUTO_CLOSE int top = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int data = -1;
    struct pg_control control;
    struct statfs fs;
    struct err ignored;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    if (top < 0 || fstatfs(top, &fs) < 0)
        return 0;
    data = fd_open_beneath(top, VOL_DIR_POD "/" PG_DATA_NAME, O_RDONLY | O_DIRECTORY, &ignored);
    if (data < 0 || pg_control_read(data, &control, &ignored) < 0 ||
        control.state != PG_STATE_SHUT_DOWN)
        return 0;
    hash = mix(mix(hash, control.next_xid), control.timeline);
    return mix(mix(hash, control.checkpoint >> 16), fs.f_ffree);
}

static int take_snapshot(const struct chore *c, struct err *e)
{
    AUTO_FREE char *point = mem_printf("%s/vol/%s", c->local->run_dir, c->volume);
    struct vol_shot shot = {0};
    AUTO_CLOSE int lock_fd = -1;
    struct err ignored;
    bool attached;

    /* files can be copied only while nobody changes them; a mount that merely rests is in the way
     */
    if (c->place->place.driver != VOL_IMAGE &&
        vol_lock(c->local->locks_fd, c->volume, &lock_fd, &ignored) == 0 &&
        disks_detach(c->local, c->volume, "", e) < 0)
        return -1;
    attached = faccessat(AT_FDCWD, point, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    c->outcome->mark = attached ? mark_of(point) : 0;
    c->outcome->unchanged = c->outcome->mark != 0 && c->outcome->mark == c->task.unless;
    if (c->outcome->unchanged)
        return 0;
    if (vol_place_snapshot(&c->place->place, c->volume, c->snapshot, attached ? point : NULL, &shot,
                           e) < 0)
        return -1;
    c->outcome->extents = shot.extents;
    c->outcome->took_us = shot.took_us;
    return 0;
}

static int forget(const struct chore *c, struct err *e)
{
    return vol_place_destroy(&c->place->place, c->snapshot, e);
}

static int replace(const struct chore *c, struct err *e)
{
    const char *from = c->task.from;

    if (disks_detach(c->local, c->volume, c->server, e) < 0 || INJECT("chore.detached", e) < 0)
        return -1;
    if (from != NULL && c->other != c->place &&
        vol_place_copy(&c->other->place, &c->place->place, from, 0, c->task.uid, c->task.uid, e) <
            0)
        return -1;
    if (vol_place_replace(&c->place->place, c->volume, from, c->snapshot, c->task.uid, c->task.uid,
                          e) < 0)
        return -1;
    /* the copy was for this; the snapshot is where it was */
    return from != NULL && c->other != c->place ? vol_place_destroy(&c->place->place, from, e) : 0;
}

static int grow(const struct chore *c, struct err *e)
{
    AUTO_FREE char *point = mem_printf("%s/vol/%s", c->local->run_dir, c->volume);
    AUTO_CLOSE int lock_fd = -1;
    bool runs = vol_lock(c->local->locks_fd, c->volume, &lock_fd, e) < 0;
    int used;

    if (runs && e->kind != ERR_BUSY)
        return -1;
    used = runs ? 0 : disks_in_use(c->local, c->volume, e);
    if (used != 0) {
        c->outcome->later = true;
        return used < 0 ? -1 : 0;
    }
    if (!runs && disks_detach(c->local, c->volume, "", e) < 0)
        return -1;
    if (vol_place_grow(&c->place->place, c->volume, c->task.capacity, runs ? point : NULL, e) >= 0)
        return 0;
    if (!runs || e->kind != ERR_BUSY)
        return -1;
    c->outcome->later = true;
    return 0;
}

static int move(const struct chore *c, struct err *e)
{
    if (disks_detach(c->local, c->volume, c->server, e) < 0 || INJECT("chore.moving", e) < 0)
        return -1;
    return vol_place_copy(&c->place->place, &c->other->place, c->volume, c->task.capacity,
                          c->task.uid, c->task.uid, e);
}

/* Only what is mounted can be trimmed; what is not has been, when its server fell asleep. */
static int trim(const struct chore *c, struct err *e)
{
    AUTO_FREE char *point = mem_printf("%s/vol/%s", c->local->run_dir, c->volume);
    uint64_t bytes = 0;

    if (c->place->place.driver != VOL_IMAGE ||
        faccessat(AT_FDCWD, point, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return vol_trim(point, &bytes, e);
}

static const struct {
    const char *what;
    bool alone;       /* under the lock of the volume */
    bool start_waits; /* for the end of it */
    uint64_t limit_ms;
    int (*run)(const struct chore *c, struct err *e);
} kinds[] = {
    [ENGINE_RELEASE] = {"detach a volume", true, true, MINUTE_MS, release},
    [ENGINE_DESTROY] = {"delete a volume", true, true, MINUTE_MS, destroy},
    [ENGINE_SNAPSHOT] = {"take a snapshot", false, false, HOUR_MS, take_snapshot},
    [ENGINE_FORGET] = {"delete a snapshot", false, false, MINUTE_MS, forget},
    [ENGINE_REPLACE] = {"replace a volume", true, true, HOUR_MS, replace},
    [ENGINE_GROW] = {"enlarge a volume", false, true, HOUR_MS, grow},
    [ENGINE_MOVE] = {"move a volume", true, true, 24 * HOUR_MS, move},
    [ENGINE_TRIM] = {"trim a volume", false, false, MINUTE_MS, trim},
};

/* The lock of a volume is its data's; another disk is in use while its server has processes. */
static int check_idle(const struct chore *c, struct err *e)
{
    int used = c->task.what == ENGINE_RELEASE ? 0 : disks_in_use(c->local, c->volume, e);

    if (used <= 0)
        return used;
    (void)err_set(e, ERR_BUSY, "the volume is in use by a server that is awake");
    return err_hint(e, "dorm volume list shows by which; dorm server stop NAME");
}

static int run(void *arg, struct err *e)
{
    const struct chore *c = arg;
    AUTO_CLOSE int lock_fd = -1;

    if ((kinds[c->task.what].alone ||
         (c->task.what == ENGINE_SNAPSHOT && c->place->place.driver != VOL_IMAGE)) &&
        check_idle(c, e) < 0)
        return -1;

    if (kinds[c->task.what].alone && vol_lock(c->local->locks_fd, c->volume, &lock_fd, e) < 0)
        return -1;
    return kinds[c->task.what].run(c, e);
}

/* ---- in dormd ---- */

static void begin_next(struct local *l, const char *volume);

static void finish(struct chore *c, const struct err *e)
{
    struct local *l = c->local;

    list_remove(&c->node);
    while (!list_empty(&c->waiting)) {
        struct waiting_pod *w = list_of(list_first(&c->waiting), struct waiting_pod, node);

        list_remove(&w->node);
        pod_go_on(w->pod, NULL); /* whatever came of the chore, the start will see for itself */
        free(w);
    }
    begin_next(l, c->volume);
    watch_soon(l);
    if (c->done != NULL)
        c->done(c->owner, c->outcome, e);
    (void)munmap(c->outcome, sizeof(*c->outcome));
    loop_free_later(l->loop, c);
}

static void job_done(void *owner, int status, const struct err *e)
{
    (void)status;
    finish(owner, e);
}

static int begin(struct chore *c, struct err *e)
{
    struct job_spec spec = {.loop = c->local->loop,
                            .what = kinds[c->task.what].what,
                            .run = run,
                            .arg = c,
                            .done = job_done,
                            .owner = c,
                            .limit_ms = kinds[c->task.what].limit_ms};

    c->begun = true;
    return job_start(&spec, e) == NULL ? -1 : 0;
}

static struct chore *chore_on(const struct local *l, const char *volume)
{
    list_each ((struct list *)(uintptr_t)&l->chores, node) {
        struct chore *c = list_of(node, struct chore, node);

        if (str_is(c->volume, volume))
            return c;
    }
    return NULL;
}

static void begin_next(struct local *l, const char *volume)
{
    struct chore *c = chore_on(l, volume);
    struct err e;

    if (c != NULL && !c->begun && begin(c, &e) < 0)
        finish(c, &e);
}

static bool copy_id(char at[ID_SIZE], const char *id)
{
    return str_copy(at, ID_SIZE, id == NULL ? "" : id);
}

static int find_places(struct chore *c, const struct engine_task *t, struct err *e)
{
    const char *other = t->what == ENGINE_MOVE ? t->to_class
                        : t->from != NULL      ? t->from_class
                                               : NULL;

    if (t->class[0] != '\0')
        c->place = local_place_of(c->local, t->class, e);
    if (c->place == NULL && t->what != ENGINE_RELEASE)
        return t->class[0] != '\0' ? -1
                                   : err_set(e, ERR_INPUT,
                                             "a static volume is its directory: it cannot be "
                                             "copied, moved or resized from here");
    c->other = other == NULL ? c->place : local_place_of(c->local, other, e);
    return c->other == NULL && other != NULL ? -1 : 0;
}

static struct chore *chore_new(struct local *l, const struct engine_task *task, struct err *e)
{
    struct chore *c = mem_new(sizeof(*c));

    *c = (struct chore){.local = l, .task = *task};
    c->task.class = c->task.from_class = c->task.to_class = NULL; /* the caller's: not kept */
    c->task.server = c->server;
    c->task.volume = c->volume;
    c->task.snapshot = c->snapshot;
    c->task.from = task->from == NULL ? NULL : c->from;
    list_init(&c->waiting);
    list_init(&c->node);
    c->outcome =
        mmap(NULL, sizeof(*c->outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c->outcome == MAP_FAILED) {
        (void)err_set_os(e, errno, "could not get a page of memory");
    } else if (!copy_id(c->server, task->server) || !copy_id(c->volume, task->volume) ||
               !copy_id(c->snapshot, task->snapshot) || !copy_id(c->from, task->from)) {
        (void)err_set(e, ERR_INTERNAL, "\"%s\" is not the id of a volume", task->volume);
    } else if (find_places(c, task, e) == 0) {
        return c;
    }
    if (c->outcome != MAP_FAILED)
        (void)munmap(c->outcome, sizeof(*c->outcome));
    free(c);
    return NULL;
}

int chore_start(struct local *l, const struct engine_task *task, engine_task_fn done, void *owner,
                struct err *e)
{
    struct chore *c = chore_new(l, task, e);
    bool first;

    if (c == NULL)
        return -1;
    c->done = done;
    c->owner = owner;
    first = chore_on(l, c->volume) == NULL;
    if (first && begin(c, e) < 0) {
        (void)munmap(c->outcome, sizeof(*c->outcome));
        free(c);
        return -1;
    }
    list_append(&l->chores, &c->node);
    return 0;
}

/* A snapshot that is a copy of files has the volume for as long as that takes. */
static bool start_waits(const struct chore *c)
{
    return kinds[c->task.what].start_waits ||
           (c->task.what == ENGINE_SNAPSHOT && c->place->place.driver != VOL_IMAGE);
}

bool chore_wait(struct local *l, const char *volume, struct pod *p)
{
    struct chore *last = NULL;
    struct waiting_pod *w;

    list_each (&l->chores, node) {
        struct chore *c = list_of(node, struct chore, node);

        if (str_is(c->volume, volume) && start_waits(c))
            last = c;
    }
    if (last == NULL)
        return false;
    w = mem_new(sizeof(*w));
    w->pod = p;
    list_append(&last->waiting, &w->node);
    return true;
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
