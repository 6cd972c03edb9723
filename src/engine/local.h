/* local.h: the engine that runs servers on this machine: images, loop devices, pods of bubblewrap.
 */
#pragma once

#include "engine/engine.h"
#include "loop/loop.h"
#include "vol/place.h"

struct local_spec {
    struct loop *loop;
    const char *state_dir, *run_dir;
    const char *hub_id;
    const char *pods_group;               /* see box_groups_open(); NULL: none */
    const struct vol_place_spec *classes; /* the first is the default; hub ids are filled in */
    size_t classes_n;
    uid_t build_uid; /* templates are built as this one */
};

/*
 * Opens, and the first time makes, the pools: may take seconds. Texts of the spec are copied.
 * Release with engine->ops->free.
 */
struct engine *local_new(const struct local_spec *spec, engine_event_fn on_event, void *owner,
                         struct err *e);

struct local_place_view {
    const char *class;
    const char *missing; /* why its disk is not there, and nothing below is known; or NULL */
    const char *driver, *how, *path;
    bool enforces;
    uint64_t total, free;
    uint64_t floor; /* with less free than this, nothing new begins there */
};
typedef void (*local_place_fn)(void *owner, const struct local_place_view *place);
/* Each storage class, for `dorm storage list`. */
int local_places(struct engine *engine, local_place_fn fn, void *owner, struct err *e);

/* 1, 0, or -1 where that cannot be known now: is volume or snapshot id in that class? */
int local_has(const struct engine *engine, const char *class, const char *id, struct err *e);
/* See vol_place_settle(). */
int local_settle(const struct engine *engine, const char *class, const char *volume, struct err *e);
/* ---- for backups: image classes only, and in a child ---- */

bool local_is_image(const struct engine *engine, const char *class);
/* A snapshot, to be read. */
int local_snapshot_open(const struct engine *engine, const char *class, const char *id,
                        struct err *e);
/* See vol_import_begin(); what is finished is a snapshot. */
int local_import_begin(const struct engine *engine, const char *class, const char *id,
                       struct err *e);
int local_import_finish(const struct engine *engine, const char *class, int fd, const char *id,
                        struct err *e);
/* ERR_NO_SPACE as soon as that much more would take what nothing new may take. */
int local_room_for(const struct engine *engine, const char *class, uint64_t bytes, struct err *e);

/* The newest installed major if major is 0; ERR_MISSING names what is installed and the package. */
int local_major(struct engine *engine, uint32_t major, uint32_t *ret_major, struct err *e);

/* No more memory than this for all servers together, whatever each may have; 0: no limit. */
int local_limit_all(struct engine *engine, uint64_t memory, struct err *e);

struct box_groups;
const struct box_groups *local_groups(const struct engine *engine);
/* Where the log of a server is kept: `<this>` and `<this>.1`. */
void local_log_path(const struct engine *engine, const char *server, char *at, size_t size);
/*
 * Give back what the machine holds for this engine: mounts, loop devices, control groups.
 * Everything must be asleep; all data stays. Only free() may follow.
 */
int local_leave(struct engine *engine, struct err *e);
/* The same, and all data is destroyed: every volume, every template, every pool. */
int local_destroy(struct engine *engine, struct err *e);
/* Which disk a class has: to be recorded, and given with its spec from then on. "" if none. */
const char *local_place_id(const struct engine *engine, const char *class);
