/* servers.c: servers beside the personal one of a user. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

static int insert(struct store *s, const struct store_server *n, struct store_volume *v,
                  struct err *e)
{
    struct store_disk d = {.place = 0};

    if (sql_run(s, e, Q_SERVER_ADD, "ssssisi", n->id, n->owner, n->name, store_kind_name(n->kind),
                (int64_t)n->image, n->superuser, n->created) < 0)
        return sqlite3_extended_errcode(s->db) != SQLITE_CONSTRAINT_UNIQUE
                   ? -1
                   : err_set(e, ERR_EXISTS, "there is a server \"%s\" already", n->name);
    if (volume_free_claim(s, v->claim, e) < 0 || volume_insert(s, v, e) < 0)
        return -1;
    memcpy(d.server, n->id, ID_SIZE);
    memcpy(d.volume, v->id, ID_SIZE);
    return disk_insert(s, &d, e);
}

int store_server_add(struct store *s, struct store_server *server, struct store_volume *v,
                     struct err *e)
{
    int taken;

    server->kind = STORE_SHARED;
    rand_id(server->id);
    rand_id(v->id);
    memcpy(v->server, server->id, ID_SIZE);
    if (volume_check(v, e) < 0 ||
        store_text_check("server's name", server->name, sizeof(server->name), e) < 0)
        return -1;
    taken = store_name_taken(s, server->name, e);
    if (taken != 0)
        return taken < 0 ? -1 : err_set(e, ERR_EXISTS, "the name \"%s\" is taken", server->name);
    if (op_begin(s, e) < 0)
        return -1;
    return op_end(s, insert(s, server, v, e), e) < 0 ? -1 : 0;
}

int store_server_remove(struct store *s, const char *id, int64_t now, struct err *e)
{
    int r;

    if (now <= 0)
        return err_set(e, ERR_INPUT, "%" PRId64 " is not a time", now);
    if (op_begin(s, e) < 0)
        return -1;
    r = sql_run(s, e, Q_SERVER_REMOVE, "si", id, now);
    if (r > 0)
        r = sql_run(s, e, Q_SERVER_REMOVE_DATA, "si", id, now) < 0 ? -1 : 1;
    return store_changed(s, "server beside a personal one, with the id", id, r, e);
}

int store_server_purge(struct store *s, const char *id, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return op_end(s,
                  sql_run(s, e, Q_SERVER_NO_UNDOS, "s", id) < 0 ||
                          sql_run(s, e, Q_SERVER_PURGE, "s", id) < 0
                      ? -1
                      : 0,
                  e) < 0
               ? -1
               : 0;
}
