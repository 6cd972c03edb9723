/* snapshots.c: which snapshots there are of a volume, and until when. */
#include <inttypes.h>
#include <string.h>

#include "store-int.h"

static int check(const struct store_snapshot *n, struct err *e)
{
    if (store_text_check("label", n->label, sizeof(n->label), e) < 0 ||
        store_text_check("storage class", n->class, sizeof(n->class), e) < 0)
        return -1;
    if (strnlen(n->id, sizeof(n->id)) != ID_SIZE - 1)
        return err_set(e, ERR_INPUT, "a snapshot without an id");
    if (n->capacity == 0 || n->capacity > INT64_MAX || n->extents > INT64_MAX ||
        n->took_us > INT64_MAX)
        return err_set(e, ERR_INPUT, "a snapshot cannot have %" PRIu64 " bytes", n->capacity);
    if (n->taken_at <= 0 || n->keep_until < 0)
        return err_set(e, ERR_INPUT, "%" PRId64 " is not a time",
                       n->taken_at <= 0 ? n->taken_at : n->keep_until);
    return 0;
}

static int insert(struct store *s, const struct store_snapshot *n, struct err *e)
{
    int r = sql_run(s, e, Q_SNAPSHOT_ADD, "sssssiiiiii", n->id, n->volume, n->class, n->label,
                    store_why_name(n->why), (int64_t)n->capacity, (int64_t)n->extents,
                    (int64_t)n->took_us, (int64_t)n->running, n->taken_at, n->keep_until);

    if (r >= 0)
        return r;
    switch (sqlite3_extended_errcode(s->db)) {
    case SQLITE_CONSTRAINT_UNIQUE:
        return err_set(e, ERR_EXISTS, "there is a snapshot with the id \"%s\" already", n->id);
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return store_nobody("volume with the id", n->volume, e);
    default:
        return -1;
    }
}

int store_snapshot_add(struct store *s, const struct store_snapshot *snapshot, struct err *e)
{
    if (check(snapshot, e) < 0 || op_begin(s, e) < 0)
        return -1;
    return op_end(s, insert(s, snapshot, e), e) < 0 ? -1 : 0;
}

int store_snapshot_by_id(struct store *s, const char *id, struct store_snapshot *ret, struct err *e)
{
    STMT st = sql_one(s, Q_SNAPSHOT_BY_ID, "snapshot with the id", id, e);

    return st == NULL ? -1 : row_snapshot(st, 0, ret, e);
}

int store_snapshot_by_label(struct store *s, const char *volume, const char *label,
                            struct store_snapshot *ret, struct err *e)
{
    STMT st = sql_get(s, Q_SNAPSHOT_BY_LABEL, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "ss", volume, label);
    r = sql_step(s, st, e);
    if (r == 0)
        return store_nobody("snapshot of that volume with the label", label, e);
    return r < 0 ? -1 : row_snapshot(st, 0, ret, e);
}

int store_snapshots(struct store *s, const char *volume, store_snapshot_fn fn, void *arg,
                    struct err *e)
{
    STMT st = sql_get(s, volume == NULL ? Q_SNAPSHOTS : Q_SNAPSHOTS_OF, e);
    struct store_snapshot n;
    struct store_volume v;
    int r, answer;

    if (st == NULL)
        return -1;
    if (volume != NULL)
        sql_bind(st, "s", volume);
    while ((r = sql_step(s, st, e)) == 1) {
        if (row_snapshot(st, 0, &n, e) < 0 || row_volume(st, SNAPSHOT_WIDTH, &v, e) < 0)
            return -1;
        if ((answer = fn(arg, &n, &v, e)) != 0)
            return answer;
    }
    return r;
}

int store_snapshot_set_keep(struct store *s, const char *id, int64_t keep_until, struct err *e)
{
    if (keep_until < 0)
        return err_set(e, ERR_INPUT, "%" PRId64 " is not a time", keep_until);
    if (op_begin(s, e) < 0)
        return -1;
    return store_changed(s, "snapshot with the id", id,
                         sql_run(s, e, Q_SNAPSHOT_KEEP, "si", id, keep_until), e);
}

int store_snapshot_taken(struct store *s, const char *id, uint64_t extents, uint64_t took_us,
                         struct err *e)
{
    if (extents > INT64_MAX || took_us > INT64_MAX)
        return err_set(e, ERR_INPUT, "a snapshot cannot have %" PRIu64 " extents", extents);
    if (op_begin(s, e) < 0)
        return -1;
    return store_changed(
        s, "snapshot with the id", id,
        sql_run(s, e, Q_SNAPSHOT_TAKEN, "sii", id, (int64_t)extents, (int64_t)took_us), e);
}

int store_snapshot_remove(struct store *s, const char *id, struct err *e)
{
    int r;

    if (op_begin(s, e) < 0)
        return -1;
    r = sql_run(s, e, Q_SNAPSHOT_NO_UNDOS, "s", id);
    if (r >= 0)
        r = sql_run(s, e, Q_SNAPSHOT_REMOVE, "s", id);
    return store_changed(s, "snapshot with the id", id, r, e);
}
