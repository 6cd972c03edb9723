/* volumes-change.c: volumes that are made, bound, moved, removed and brought back. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

static const unsigned all_modes = STORE_RWO | STORE_RWOP | STORE_ROX | STORE_RWX;

#define CHECK(field, what) store_text_check((what), (field), sizeof(field), e)

static int check_capacity(uint64_t capacity, struct err *e)
{
    if (capacity == 0 || capacity > INT64_MAX)
        return err_set(e, ERR_INPUT, "a volume cannot have %" PRIu64 " bytes", capacity);
    return 0;
}

int volume_check(const struct store_volume *v, struct err *e)
{
    if (CHECK(v->claim, "claim") < 0 || CHECK(v->class, "storage class") < 0 ||
        CHECK(v->template, "template's name") < 0 || CHECK(v->path, "path") < 0 ||
        CHECK(v->moving_to, "storage class") < 0 || CHECK(v->component, "component") < 0)
        return -1;
    if (v->claim[0] == '\0')
        return err_set(e, ERR_INPUT, "the claim's name is empty");
    if (v->path[0] != '\0' && v->path[0] != '/')
        return err_set(e, ERR_INPUT, "the path \"%.200s\" does not begin with /", v->path);
    if (v->modes == 0 || (v->modes & ~all_modes) != 0)
        return err_set(e, ERR_INPUT, "%#x are no access modes", v->modes);
    if (v->phase == STORE_AVAILABLE && (v->path[0] == '\0' || v->server[0] != '\0'))
        return err_set(e, ERR_INPUT, "only a static volume of nobody can be available");
    if (v->created <= 0)
        return err_set(e, ERR_INPUT, "%" PRId64 " is not a time", v->created);
    return check_capacity(v->capacity, e);
}

/* A volume that is there and has this name, or this path. */
static int taken(struct store *s, const struct store_volume *v, struct err *e)
{
    struct store_volume other;

    if (store_volume_by_claim(s, v->claim, &other, e) == 0)
        return err_set(e, ERR_EXISTS, "there is a volume \"%s\" already", v->claim);
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    return err_set(e, ERR_EXISTS, "another volume has the path \"%.200s\" or the id \"%s\" already",
                   v->path, v->id);
}

static bool is_taken(struct store *s)
{
    int code = sqlite3_extended_errcode(s->db);

    return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY;
}

int volume_insert(struct store *s, const struct store_volume *v, struct err *e)
{
    int r =
        sql_run(s, e, Q_VOLUME_ADD, "ssssssssiisi", v->id, store_ref(v->server), v->claim, v->class,
                v->template, v->path, v->moving_to, v->component, (int64_t)v->capacity,
                (int64_t)v->modes, store_phase_name(v->phase), v->created);

    return r < 0 && is_taken(s) ? taken(s, v, e) : r;
}

int store_volume_add(struct store *s, struct store_volume *v, struct err *e)
{
    struct store_volume made = *v;
    int r = 0;

    made.removed_at = 0;
    if (made.id[0] == '\0')
        rand_id(made.id);
    if (volume_check(&made, e) < 0)
        return -1;
    if (strlen(made.id) != ID_SIZE - 1)
        return err_set(e, ERR_INPUT, "\"%s\" is no id", made.id);
    if (op_begin(s, e) < 0)
        return -1;
    if (made.server[0] != '\0')
        r = store_server_here(s, made.server, e);
    if (r == 0)
        r = volume_insert(s, &made, e);
    if (op_end(s, r, e) < 0)
        return err_prefix(e, "could not add the volume \"%s\"", made.claim);
    *v = made;
    return 0;
}

static int changed(struct store *s, const char *id, int n, struct err *e)
{
    return store_changed(s, "volume with the id", id, n, e);
}

int store_volume_set_phase(struct store *s, const char *id, enum store_phase phase, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return changed(s, id, sql_run(s, e, Q_VOLUME_PHASE, "ss", id, store_phase_name(phase)), e);
}

int store_volume_set_capacity(struct store *s, const char *id, uint64_t capacity, struct err *e)
{
    if (check_capacity(capacity, e) < 0 || op_begin(s, e) < 0)
        return -1;
    return changed(s, id, sql_run(s, e, Q_VOLUME_CAPACITY, "si", id, (int64_t)capacity), e);
}

int store_volume_set_moving(struct store *s, const char *id, const char *to, struct err *e)
{
    if (store_text_check("storage class", to, STORE_CLAIM_SIZE, e) < 0 || op_begin(s, e) < 0)
        return -1;
    return changed(s, id, sql_run(s, e, Q_VOLUME_MOVING, "ss", id, to), e);
}

static int arrive(struct store *s, const struct store_volume *v, struct err *e)
{
    if (v->moving_to[0] == '\0')
        return err_set(e, ERR_INPUT, "the volume \"%s\" is not being moved", v->claim);
    return sql_run(s, e, Q_VOLUME_MOVED, "s", v->id);
}

int store_volume_moved(struct store *s, const char *id, struct err *e)
{
    struct store_volume v;

    if (store_volume_by_id(s, id, &v, e) < 0 || op_begin(s, e) < 0)
        return -1;
    return op_end(s, arrive(s, &v, e), e) < 0 ? -1 : 0;
}

/* ERR_BUSY when a server, removed or not, has it at a place up to this one. */
static int in_use(struct store *s, const struct store_volume *v, uint32_t place, struct err *e)
{
    STMT st = sql_get(s, Q_USED_BY, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "si", v->id, (int64_t)place);
    r = sql_step(s, st, e);
    if (r <= 0)
        return r;
    (void)err_set(e, ERR_BUSY, "the volume \"%s\" is %s the server \"%s\"", v->claim,
                  sqlite3_column_int64(st, 1) == 0 ? "the data of" : "used by",
                  (const char *)sqlite3_column_text(st, 0));
    return err_hint(e, "%s",
                    v->path[0] == '\0' ? "it goes when its user is removed"
                                       : "it is free when that has been removed for good");
}

/* component NULL: as it was. */
static int bind_to(struct store *s, const struct store_volume *v, const char *server,
                   enum store_phase phase, const char *component, struct err *e)
{
    if (v->path[0] == '\0' || v->removed_at != 0)
        return err_set(e, ERR_INPUT, "it is %s", v->path[0] == '\0' ? "not static" : "removed");
    if (phase != STORE_BOUND) {
        if (in_use(s, v, UINT32_MAX, e) < 0)
            return -1;
    } else if (v->phase != STORE_AVAILABLE &&
               (v->phase != STORE_BOUND || !str_is(v->server, server))) {
        return err_set(e, ERR_BUSY, "it is %s", store_phase_name(v->phase));
    }
    if (server[0] != '\0' && store_server_here(s, server, e) < 0)
        return -1;
    return sql_run(s, e, Q_VOLUME_BIND, "ssss", v->id, store_ref(server), store_phase_name(phase),
                   component == NULL ? v->component : component);
}

int store_volume_bind(struct store *s, const char *id, const char *server, enum store_phase phase,
                      struct err *e)
{
    struct store_volume v;

    if (phase == STORE_PENDING || (server[0] != '\0' && phase != STORE_BOUND))
        return err_set(e, ERR_INPUT, "a static volume of %s cannot be %s",
                       server[0] != '\0' ? "a server" : "nobody", store_phase_name(phase));
    if (store_volume_by_id(s, id, &v, e) < 0 || op_begin(s, e) < 0)
        return -1;
    if (op_end(s, bind_to(s, &v, server, phase, phase == STORE_BOUND ? NULL : "", e), e) < 0)
        return err_prefix(e, "could not bind the volume \"%s\"", v.claim);
    return 0;
}

int volume_take(struct store *s, const char *id, const char *server,
                struct store_volume *ret_volume, struct err *e)
{
    struct store_volume v;

    if (store_volume_by_id(s, id, &v, e) < 0)
        return -1;
    if (bind_to(s, &v, server, STORE_BOUND, "postgres", e) < 0)
        return err_prefix(e, "the volume \"%s\"", v.claim);
    return store_volume_by_id(s, id, ret_volume, e);
}

int store_volume_remove(struct store *s, const char *id, int64_t now, struct err *e)
{
    struct store_volume v;

    if (now <= 0)
        return err_set(e, ERR_INPUT, "%" PRId64 " is not a time", now);
    if (store_volume_by_id(s, id, &v, e) < 0)
        return -1;
    if (v.removed_at != 0)
        return store_nobody("volume with the id", id, e);
    if (in_use(s, &v, 0, e) < 0 || op_begin(s, e) < 0)
        return -1;
    return changed(s, id, sql_run(s, e, Q_VOLUME_REMOVE, "si", id, now), e);
}

static int bring_back(struct store *s, const struct store_volume *v, struct err *e)
{
    if (v->removed_at == 0)
        return err_set(e, ERR_INPUT, "it is not removed");
    if (v->server[0] != '\0' && store_server_here(s, v->server, e) < 0)
        return err_hint(e, "bring back its user: dorm user restore");
    if (sql_run(s, e, Q_VOLUME_RESTORE, "ss", v->id, v->claim) < 0) {
        if (!is_taken(s))
            return -1;
        (void)taken(s, v, e);
        return err_hint(e, "remove that one, then try again");
    }
    return 0;
}

int store_volume_restore(struct store *s, const char *id, struct err *e)
{
    struct store_volume v;

    if (store_volume_by_id(s, id, &v, e) < 0 || op_begin(s, e) < 0)
        return -1;
    if (op_end(s, bring_back(s, &v, e), e) < 0)
        return err_prefix(e, "could not bring back the volume \"%s\"", v.claim);
    return 0;
}

static int forget(struct store *s, const struct store_volume *v, struct err *e)
{
    static const enum query steps[] = {Q_VOLUME_NO_UNDOS, Q_VOLUME_NO_SNAPSHOTS, Q_VOLUME_NO_DISKS,
                                       Q_VOLUME_PURGE};

    if (v->removed_at == 0) {
        (void)err_set(e, ERR_INPUT, "the volume \"%s\" is not removed", v->claim);
        return err_hint(e, "remove the volume first");
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (sql_run(s, e, steps[i], "s", v->id) < 0)
            return -1;
    return 0;
}

int store_volume_purge(struct store *s, const char *id, struct err *e)
{
    struct store_volume v;

    if (store_volume_by_id(s, id, &v, e) < 0 || op_begin(s, e) < 0)
        return -1;
    return op_end(s, forget(s, &v, e), e) < 0 ? -1 : 0;
}
