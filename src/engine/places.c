/* The storage classes of the hub: opening them, giving them back, and what is told about them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "local-int.h"
#include "local.h"
#include "vol/tree.h"

enum { ROOM_MS = 30000, ROOM_LIMIT_MS = 10000 };

/* What a network's file system or a disk that spins up takes its time for, the loop does not ask.
 */
static bool is_slow(const struct local_place *p)
{
    return p->place.ops != NULL && p->place.driver != VOL_IMAGE;
}

const struct local_place *local_place_of(const struct local *l, const char *class, struct err *e)
{
    for (size_t i = 0; i < l->places_n; i++) {
        const struct local_place *p = &l->places[i];

        if (!str_is(p->class, class))
            continue;
        if (p->place.ops != NULL)
            return p;
        *e = p->why;
        return NULL;
    }
    (void)err_set(e, ERR_CONFIG, "there is no storage class \"%s\"", class);
    (void)err_hint(e, "dorm storage list");
    return NULL;
}

/* ---- how much room there is ---- */

static bool is_low(const struct vol_space *room)
{
    return room->free <= 2 * watch_floor(room->total);
}

static int room_of(const struct local_place *p, struct vol_space *ret, struct err *e)
{
    if (!is_slow(p))
        return vol_place_room(&p->place, ret, e);
    if (p->room_why.kind != ERR_NONE)
        return *e = p->room_why, -1;
    /* who acts on it, by removing something, would do so again and again */
    if (p->stale && is_low(&p->room))
        return err_set(e, ERR_BUSY, "it was nearly full, and is being looked at again");
    *ret = p->room;
    return 0;
}

static int ask_room(void *arg, struct err *e)
{
    const struct local_place *p = arg;

    return vol_place_room(&p->place, p->asked, e);
}

static void ask_one(struct local_place *p);

static void room_asked(void *owner, int status, const struct err *e)
{
    struct local_place *p = owner;

    (void)status;
    p->asking = NULL;
    p->room_why.kind = ERR_NONE;
    if (e != NULL)
        p->room_why = *e;
    else
        p->room = *p->asked;
    p->stale = p->again;
    p->again = false;
    if (p->stale)
        ask_one(p);
}

static void ask_one(struct local_place *p)
{
    struct job_spec spec = {.loop = p->local->loop,
                            .what = "look at the room of a storage class",
                            .run = ask_room,
                            .arg = p,
                            .done = room_asked,
                            .owner = p,
                            .limit_ms = ROOM_LIMIT_MS};
    struct err e;

    p->asking = job_start(&spec, &e);
    if (p->asking == NULL)
        log_err(NULL, LOG_WARN_, &e);
}

static void ask_again(struct loop_timer *t)
{
    struct local *l = list_of(t, struct local, places_timer);

    for (size_t i = 0; i < l->places_n; i++)
        if (is_slow(&l->places[i]) && l->places[i].asking == NULL)
            ask_one(&l->places[i]);
    loop_timer_set(l->loop, t, loop_now(l->loop) + ROOM_MS, ask_again);
}

void places_changed(struct local *l)
{
    for (size_t i = 0; i < l->places_n; i++) {
        struct local_place *p = &l->places[i];

        if (!is_slow(p) || !is_low(&p->room))
            continue;
        p->stale = true;
        if (p->asking != NULL)
            p->again = true;
        else
            ask_one(p);
    }
}

/* It has just answered when it was opened, so this once it is asked here. */
static int room_begin(struct local *l, struct local_place *p, struct err *e)
{
    if (!is_slow(p))
        return 0;
    p->asked =
        mmap(NULL, sizeof(*p->asked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->asked == MAP_FAILED) {
        p->asked = NULL;
        return err_set_os(e, errno, "could not get a page of memory");
    }
    if (vol_place_room(&p->place, &p->room, e) < 0)
        p->room_why = *e;
    if (l->places_timer.place == 0)
        loop_timer_set(l->loop, &l->places_timer, loop_now(l->loop) + ROOM_MS, ask_again);
    return 0;
}

static void room_end(struct local_place *p)
{
    if (p->asking != NULL) {
        job_forget(p->asking);
        job_kill(p->asking);
    }
    p->asking = NULL;
    if (p->asked != NULL)
        (void)munmap(p->asked, sizeof(*p->asked));
    p->asked = NULL;
}

int local_places(struct engine *engine, local_place_fn fn, void *owner, struct err *e)
{
    const struct local *l = local_of(engine);

    for (size_t i = 0; i < l->places_n; i++) {
        const struct local_place *p = &l->places[i];
        struct local_place_view view = {.class = p->class};
        struct vol_space space;

        if (p->place.ops == NULL) {
            view.missing = p->why.msg;
        } else if (room_of(p, &space, e) < 0) {
            view.missing = e->msg; /* of this one: the others are told all the same */
        } else {
            view.driver = vol_driver_name(p->place.driver);
            view.how = vol_place_how(&p->place);
            view.path = p->place.path;
            view.enforces = vol_place_enforces(&p->place);
            view.total = space.total;
            view.free = space.free;
            view.floor = watch_floor(space.total);
        }
        fn(owner, &view);
    }
    return 0;
}

const char *local_place_id(const struct engine *engine, const char *class)
{
    struct err e;
    const struct local_place *place = local_place_of(local_of(engine), class, &e);

    return place == NULL ? "" : place->place.id;
}

int local_has(const struct engine *engine, const char *class, const char *id, struct err *e)
{
    const struct local_place *place = local_place_of(local_of(engine), class, e);

    return place == NULL ? -1 : vol_place_exists(&place->place, id, e);
}

int local_settle(const struct engine *engine, const char *class, const char *volume, struct err *e)
{
    const struct local_place *place = local_place_of(local_of(engine), class, e);

    return place == NULL ? -1 : vol_place_settle(&place->place, volume, e);
}

/* ---- for backups ---- */

bool local_is_image(const struct engine *engine, const char *class)
{
    struct err e;
    const struct local_place *p = local_place_of(local_of(engine), class, &e);

    return p != NULL && p->place.driver == VOL_IMAGE;
}

static const struct vol_pool *pool_of(const struct engine *engine, const char *class, struct err *e)
{
    const struct local_place *p = local_place_of(local_of(engine), class, e);

    if (p == NULL)
        return NULL;
    if (p->place.driver == VOL_IMAGE)
        return &p->place.pool;
    (void)err_set(e, ERR_INPUT, "class \"%s\" is a directory: there are no images in it", class);
    return NULL;
}

int local_snapshot_open(const struct engine *engine, const char *class, const char *id,
                        struct err *e)
{
    const struct vol_pool *pool = pool_of(engine, class, e);

    return pool == NULL ? -1 : vol_sealed_open(pool, id, e);
}

int local_import_begin(const struct engine *engine, const char *class, const char *id,
                       struct err *e)
{
    const struct vol_pool *pool = pool_of(engine, class, e);

    return pool == NULL ? -1 : vol_import_begin(pool, id, e);
}

int local_import_finish(const struct engine *engine, const char *class, int fd, const char *id,
                        struct err *e)
{
    const struct vol_pool *pool = pool_of(engine, class, e);

    return pool == NULL ? -1 : vol_import_finish(pool, fd, id, true, e);
}

int local_room_for(const struct engine *engine, const char *class, uint64_t bytes, struct err *e)
{
    const struct local_place *p = local_place_of(local_of(engine), class, e);
    struct vol_space space;
    char free_text[16];

    if (p == NULL || room_of(p, &space, e) < 0)
        return -1;
    if (space.free >= watch_floor(space.total) + bytes)
        return 0;
    (void)err_set(e, ERR_NO_SPACE, "class \"%s\" is too full for this: %s free", class,
                  str_size(free_text, sizeof(free_text), space.free));
    return err_hint(e, "delete snapshots or volumes, or enlarge it: dorm storage list");
}

/* ---- opening ---- */

static char *copy_or_null(const char *text)
{
    return text == NULL ? NULL : mem_copy(text);
}

/* To give a place back at the end it must be described as when it was opened. */
static void spec_keep(struct local *l, size_t i, const struct vol_place_spec *s)
{
    l->specs[i] = (struct vol_place_spec){
        .class = mem_copy(s->class),
        .driver = s->driver,
        .pool = {.dir = copy_or_null(s->pool.dir), .size = s->pool.size, .hub = l->hub_id},
        .path = copy_or_null(s->path),
        .server = copy_or_null(s->server),
        .export_path = copy_or_null(s->export_path),
        .options = copy_or_null(s->options),
        .mountpoint = copy_or_null(s->mountpoint),
        .hub = l->hub_id};
}

static void spec_free(struct local *l)
{
    for (size_t i = 0; i < l->places_n; i++) {
        const char *const texts[] = {l->specs[i].class,       l->specs[i].pool.dir,
                                     l->specs[i].path,        l->specs[i].server,
                                     l->specs[i].export_path, l->specs[i].options,
                                     l->specs[i].mountpoint};

        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++)
            free((void *)(uintptr_t)texts[j]);
    }
    free(l->specs);
}

/*
 * A disk that was here before and is not now takes its class with it, not the hub: who has volumes
 * on others can work. What cannot be made the first time is a mistake to be mended at once.
 */
int places_open(struct local *l, const struct local_spec *spec, struct err *e)
{
    l->places = mem_new(spec->classes_n * sizeof(*l->places));
    l->specs = mem_new(spec->classes_n * sizeof(*l->specs));
    for (size_t i = 0; i < spec->classes_n; i++) {
        struct local_place *place = &l->places[i];
        struct vol_place_spec want = spec->classes[i];

        want.hub = want.pool.hub = spec->hub_id;
        *place = (struct local_place){
            .local = l, .class = mem_copy(want.class), .place = {.dir_fd = -1}};
        spec_keep(l, i, &want);
        l->places_n++;
        if (vol_place_open(&want, &place->place, e) == 0) {
            if (room_begin(l, place, e) < 0)
                return -1;
            continue;
        }
        (void)err_prefix(e, "storage class \"%s\"", want.class);
        if (want.id == NULL)
            return -1;
        log_err(NULL, LOG_ERROR_, e);
        place->why = *e;
    }
    return 0;
}

void places_free(struct local *l)
{
    loop_timer_stop(l->loop, &l->places_timer);
    for (size_t i = 0; i < l->places_n; i++) {
        room_end(&l->places[i]);
        vol_place_done(&l->places[i].place);
        free(l->places[i].class);
    }
    spec_free(l);
    free(l->places);
}

/* ---- giving back ---- */

/* A child that asks it has it open, and that would keep it from being unmounted. */
static int close_place(struct local *l, size_t i, struct err *e)
{
    loop_timer_stop(l->loop, &l->places_timer);
    while (l->places[i].asking != NULL) /* it has a deadline of its own */
        if (loop_run_once(l->loop, e) < 0)
            return -1;
    vol_place_done(&l->places[i].place);
    return vol_place_close(&l->specs[i], e);
}

int places_close(struct local *l, struct err *e)
{
    for (size_t i = 0; i < l->places_n; i++)
        if (l->places[i].place.ops != NULL && close_place(l, i, e) < 0)
            return -1;
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

static int destroy_volumes(const struct vol_place *place, struct err *e)
{
    struct names names = {0};
    int r = vol_place_list(place, note_name, &names, e);

    for (size_t i = 0; r >= 0 && i < names.n; i++)
        r = vol_place_destroy(place, names.at[i], e);
    free(names.at);
    return r;
}

static int destroy_pool(struct local *l, size_t i, struct err *e)
{
    static const char *const parts[] = {"pool.xfs", "pool.xfs.new", "images", "identity"};
    AUTO_FREE char *path = mem_copy(l->places[i].place.path);
    AUTO_CLOSE int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (close_place(l, i, e) < 0)
        return -1;
    for (size_t j = 0; dir >= 0 && j < sizeof(parts) / sizeof(parts[0]); j++)
        if (fd_remove_tree(dir, parts[j], e) < 0)
            return -1;
    (void)rmdir(path); /* unless the operator keeps anything else there */
    return 0;
}

/* What was killed while it made or removed a volume that nothing knows of by now. */
static int destroy_leftovers(int volumes, struct err *e)
{
    AUTO_CLOSE int fd = openat(volumes, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL)
        return err_set_os(e, errno, "could not list the volumes of a class");
    (void)take_fd(&fd); /* dir has it now */
    while ((entry = readdir(dir)) != NULL)
        if ((strncmp(entry->d_name, ".new-", 5) == 0 || strncmp(entry->d_name, ".old-", 5) == 0) &&
            tree_remove(volumes, entry->d_name, e) < 0)
            return -1;
    return 0;
}

/* The directory is the operator's, who may keep anything else in it: what has no name of ours
 * stays, and so does "volumes" while there is such a thing in it. */
static int destroy_directory(struct local *l, size_t i, struct err *e)
{
    const struct vol_place *place = &l->places[i].place;
    AUTO_FREE char *path = mem_copy(place->path);
    AUTO_CLOSE int top = openat(place->dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (destroy_leftovers(place->dir_fd, e) < 0)
        return -1;
    if (top < 0)
        return err_set_os(e, errno, "could not open \"%s\"", path);
    (void)unlinkat(top, "volumes", AT_REMOVEDIR);
    if (unlinkat(top, "identity", 0) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove \"%s/identity\"", path);
    close_fd(&top); /* an export is unmounted now */
    if (close_place(l, i, e) < 0)
        return -1;
    if (path[0] == '/')
        (void)rmdir(path);
    return 0;
}

int places_destroy(struct local *l, struct err *e)
{
    for (size_t i = 0; i < l->places_n; i++) {
        bool is_pool = l->places[i].place.driver == VOL_IMAGE;

        if (l->places[i].place.ops == NULL)
            continue;
        if (destroy_volumes(&l->places[i].place, e) < 0 ||
            (is_pool ? destroy_pool(l, i, e) : destroy_directory(l, i, e)) < 0)
            return -1;
    }
    return 0;
}
