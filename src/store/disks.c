/* disks.c: which server uses which volumes, and where. */
#include <string.h>

#include "store-int.h"

int disk_insert(struct store *s, const struct store_disk *d, struct err *e)
{
    int r = sql_run(s, e, Q_DISK_ADD, "ssisi", d->server, d->volume, (int64_t)d->place, d->mount,
                    (int64_t)d->read_only);

    if (r >= 0)
        return r;
    if (sqlite3_extended_errcode(s->db) != SQLITE_CONSTRAINT_UNIQUE)
        return -1;
    return err_set(e, ERR_EXISTS, "the server has %s already",
                   d->place == 0 ? "its data" : "this volume");
}

static int insert(struct store *s, const struct store_disk *d, struct err *e)
{
    struct store_volume v;

    if (store_server_here(s, d->server, e) < 0 || store_volume_by_id(s, d->volume, &v, e) < 0)
        return -1;
    if (v.removed_at != 0)
        return err_set(e, ERR_INPUT, "the volume \"%s\" is removed", v.claim);
    if (disk_insert(s, d, e) < 0)
        return err_prefix(e, "could not give the volume \"%s\" to a server", v.claim);
    return 0;
}

int store_disk_add(struct store *s, const struct store_disk *d, struct err *e)
{
    if (store_text_check("mount", d->mount, sizeof(d->mount), e) < 0)
        return -1;
    if (d->place == 0 ? d->mount[0] != '\0' : d->mount[0] != '/')
        return err_set(e, ERR_INPUT, "\"%s\" cannot be where a server has %s", d->mount,
                       d->place == 0 ? "its data" : "a volume");
    if (op_begin(s, e) < 0)
        return -1;
    return op_end(s, insert(s, d, e), e) < 0 ? -1 : 0;
}

/* Nothing was removed: no such disk, or one that stays. */
static int stays(struct store *s, const char *server, const char *volume, struct err *e)
{
    STMT st = sql_get(s, Q_DISK_GET, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "ss", server, volume);
    r = sql_step(s, st, e);
    if (r == 1)
        return err_set(e, ERR_INPUT, "the data of a server cannot be taken from it");
    return r < 0 ? -1 : store_nobody("volume of that server with the id", volume, e);
}

int store_disk_remove(struct store *s, const char *server, const char *volume, struct err *e)
{
    int r;

    if (op_begin(s, e) < 0)
        return -1;
    r = sql_run(s, e, Q_DISK_REMOVE, "ss", server, volume);
    if (r == 0)
        r = stays(s, server, volume, e);
    return op_end(s, r, e) < 0 ? -1 : 0;
}

static int list(struct store *s, enum query q, const char *key, store_disk_fn fn, void *arg,
                struct err *e)
{
    STMT st = sql_get(s, q, e);
    struct store_disk d;
    struct store_volume v;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", key);
    while ((r = sql_step(s, st, e)) == 1) {
        if (row_disk(st, 0, &d, e) < 0 || row_volume(st, DISK_WIDTH, &v, e) < 0)
            return -1;
        if ((answer = fn(arg, &d, &v, e)) != 0)
            return answer;
    }
    return r;
}

int store_disks(struct store *s, const char *server, store_disk_fn fn, void *arg, struct err *e)
{
    return list(s, Q_DISKS, server, fn, arg, e);
}

int store_disk_users(struct store *s, const char *volume, store_disk_fn fn, void *arg,
                     struct err *e)
{
    return list(s, Q_DISK_USERS, volume, fn, arg, e);
}

int store_disks_bound(struct store *s, const char *server, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return op_end(s, sql_run(s, e, Q_DISKS_BOUND, "s", server), e) < 0 ? -1 : 0;
}
