/* The storage classes of the hub: opening them, giving them back, and what is told about them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "local-int.h"
#include "local.h"

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

int local_places(struct engine *engine, local_place_fn fn, void *owner, struct err *e)
{
    const struct local *l = local_of(engine);

    for (size_t i = 0; i < l->places_n; i++) {
        const struct local_place *p = &l->places[i];
        struct local_place_view view = {.class = p->class};
        struct vol_space space;

        if (p->place.ops == NULL) {
            view.missing = p->why.msg;
        } else {
            if (vol_place_room(&p->place, &space, e) < 0)
                return -1;
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

    if (p == NULL || vol_place_room(&p->place, &space, e) < 0)
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
        *place = (struct local_place){.class = mem_copy(want.class), .place = {.dir_fd = -1}};
        spec_keep(l, i, &want);
        l->places_n++;
        if (vol_place_open(&want, &place->place, e) == 0)
            continue;
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
    for (size_t i = 0; i < l->places_n; i++) {
        vol_place_done(&l->places[i].place);
        free(l->places[i].class);
    }
    spec_free(l);
    free(l->places);
}

/* ---- giving back ---- */

static int close_place(struct local *l, size_t i, struct err *e)
{
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

int places_destroy(struct local *l, struct err *e)
{
    static const char *const parts[] = {"pool.xfs", "pool.xfs.new", "images", "volumes",
                                        "identity"};

    for (size_t i = 0; i < l->places_n; i++) {
        AUTO_CLOSE int dir = -1;
        AUTO_FREE char *path = NULL;

        if (l->places[i].place.ops == NULL)
            continue;
        path = mem_copy(l->places[i].place.path);
        dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (destroy_volumes(&l->places[i].place, e) < 0 || close_place(l, i, e) < 0)
            return -1;
        for (size_t j = 0; dir >= 0 && j < sizeof(parts) / sizeof(parts[0]); j++)
            if (fd_remove_tree(dir, parts[j], e) < 0)
                return -1;
        (void)rmdir(path); /* unless the operator keeps anything else there */
    }
    return 0;
}
