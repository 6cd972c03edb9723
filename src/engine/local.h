/* local.h: the engine that runs servers on this machine: images, loop devices, pods of bubblewrap.
 */
#pragma once

#include "engine/engine.h"
#include "loop/loop.h"

struct local_class {
    const char *name;
    const char *pool;    /* directory */
    const char *pool_id; /* of the pool as recorded, or NULL: another disk is refused then */
    uint64_t pool_size;  /* of a pool file, where one has to be made */
};

struct local_spec {
    struct loop *loop;
    const char *state_dir, *run_dir;
    const char *hub_id;
    const struct local_class *classes;
    size_t classes_n;
    uid_t build_uid; /* templates are built as this one */
};

/*
 * Opens, and the first time makes, the pools: may take seconds. Texts of the spec are copied.
 * Release with engine->ops->free.
 */
struct engine *local_new(const struct local_spec *spec, engine_event_fn on_event, void *owner,
                         struct err *e);

struct local_place {
    const char *class, *pool, *how;
    uint64_t total, free;
};
typedef void (*local_place_fn)(void *owner, const struct local_place *place);
/* Each storage class, for `dorm storage list`. */
int local_places(struct engine *engine, local_place_fn fn, void *owner, struct err *e);

/* The newest installed major if major is 0; ERR_MISSING names what is installed and the package. */
int local_major(struct engine *engine, uint32_t major, uint32_t *ret_major, struct err *e);

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
/* Which pool a class has: to be recorded, and given as local_class.pool_id from then on. */
const char *local_pool_id(const struct engine *engine, const char *class);
