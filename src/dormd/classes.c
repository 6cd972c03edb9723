#include "classes.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "base/auto.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "store/store.h"

static uint64_t pool_size(const struct hub *h, const char *dir)
{
    struct statvfs place;

    if (h->conf->machine.pool.bytes != 0)
        return h->conf->machine.pool.bytes;
    if (statvfs(dir, &place) < 0 && fstatvfs(h->state_fd, &place) < 0)
        return 0;
    return (uint64_t)place.f_bavail * place.f_frsize / 100 * h->conf->machine.pool.percent;
}

/* The disk a class has had since its first start; "" before. */
static int place_id(struct hub *h, const char *class, char ret_id[ID_SIZE], struct err *e)
{
    AUTO_FREE char *key = mem_printf("pool.%s", class);

    return store_setting_get(h->store, key, ret_id, ID_SIZE, e);
}

int class_record(struct hub *h, const char *class, const char *id, struct err *e)
{
    AUTO_FREE char *key = mem_printf("pool.%s", class);

    return store_setting_set(h->store, key, id, e);
}

int class_describe(struct hub *h, const struct conf_class *c, const char *own,
                   struct class_texts *texts, struct vol_place_spec *ret, struct err *e)
{
    const char *pool = c->pool[0] == '\0' ? own : c->pool;

    if (place_id(h, c->name, texts->id, e) < 0)
        return -1;
    (void)snprintf(texts->mountpoint, sizeof(texts->mountpoint), "%.200s/nfs/%s", h->state_dir,
                   c->name);
    *ret = (struct vol_place_spec){
        .class = c->name,
        .driver = c->driver == CONF_DRIVER_IMAGE       ? VOL_IMAGE
                  : c->driver == CONF_DRIVER_DIRECTORY ? VOL_DIRECTORY
                                                       : VOL_NFS,
        .path = c->path,
        .server = c->server,
        .export_path = c->export,
        .options = c->options,
        .mountpoint = texts->mountpoint,
        .id = texts->id[0] == '\0' ? NULL : texts->id,
    };
    ret->pool = (struct vol_pool_spec){.dir = pool, .id = ret->id};
    if (ret->driver == VOL_IMAGE)
        ret->pool.size = pool_size(h, pool);
    return 0;
}
