/* undo.c: what was done and can be undone, by a number that stays the only one of its kind. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store-int.h"

static int insert(struct store *s, struct store_undo *u, struct err *e)
{
    int r = sql_run(s, e, Q_UNDO_ADD, "ssssssii", store_deed_name(u->deed), store_ref(u->server),
                    store_ref(u->volume), store_ref(u->snapshot), u->text, u->before, u->done_at,
                    u->until);

    if (r >= 0) {
        u->number = sqlite3_last_insert_rowid(s->db);
        return r;
    }
    if (sqlite3_extended_errcode(s->db) == SQLITE_CONSTRAINT_FOREIGNKEY)
        return err_set(e, ERR_NOT_FOUND,
                       "there is no such server, volume or snapshot as \"%s\", \"%s\", \"%s\"",
                       u->server, u->volume, u->snapshot);
    return -1;
}

int store_undo_add(struct store *s, struct store_undo *u, struct err *e)
{
    struct store_undo made = *u;

    if (store_text_check("text", made.text, sizeof(made.text), e) < 0 ||
        store_text_check("value", made.before, sizeof(made.before), e) < 0)
        return -1;
    if (made.text[0] == '\0')
        return err_set(e, ERR_INPUT, "it is not said what can be undone");
    if (op_begin(s, e) < 0 || op_end(s, insert(s, &made, e), e) < 0)
        return -1;
    *u = made;
    return 0;
}

static int unknown(int64_t number, struct err *e)
{
    (void)err_set(e, ERR_NOT_FOUND, "there is nothing to undo with the number %" PRId64, number);
    return err_hint(e, "it may be over, or have been undone already");
}

int store_undo_get(struct store *s, int64_t number, struct store_undo *ret, struct err *e)
{
    STMT st = sql_get(s, Q_UNDO_GET, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "i", number);
    r = sql_step(s, st, e);
    return r < 0 ? -1 : r == 0 ? unknown(number, e) : row_undo(st, 0, ret, e);
}

int store_undos(struct store *s, int64_t now, store_undo_fn fn, void *arg, struct err *e)
{
    STMT st = sql_get(s, Q_UNDOS, e);
    char server[STORE_NAME_SIZE], claim[STORE_CLAIM_SIZE];
    struct store_undo u;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "i", now);
    while ((r = sql_step(s, st, e)) == 1) {
        if (row_undo(st, 0, &u, e) < 0)
            return -1;
        if (!row_text(st, UNDO_WIDTH, server, sizeof(server)) ||
            !row_text(st, UNDO_WIDTH + 1, claim, sizeof(claim)))
            return row_damaged("deed", st, 0, e);
        if ((answer = fn(arg, &u, server, claim, e)) != 0)
            return answer;
    }
    return r;
}

int store_undo_remove(struct store *s, int64_t number, struct err *e)
{
    int r;

    if (op_begin(s, e) < 0)
        return -1;
    r = sql_run(s, e, Q_UNDO_REMOVE, "i", number);
    return op_end(s, r == 0 ? unknown(number, e) : r, e) < 0 ? -1 : 0;
}

int store_undo_expire(struct store *s, int64_t now, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return op_end(s, sql_run(s, e, Q_UNDO_EXPIRE, "i", now), e) < 0 ? -1 : 0;
}
