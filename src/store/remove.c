/* remove.c: users who are gone, for now or for good. Servers and volumes go and come with them. */
#include <string.h>

#include "base/mem.h"

#include "store-int.h"

int store_user_remove(struct store *s, const char *id, int64_t now, struct err *e)
{
    int r;

    if (now <= 0)
        return err_set(e, ERR_INPUT, "%lld is not a time", (long long)now);
    if (op_begin(s, e) < 0)
        return -1;
    r = sql_run(s, e, Q_REMOVE_USER, "si", id, now);
    if (r == 0)
        r = store_nobody("user with the id", id, e);
    if (r > 0)
        r = sql_run(s, e, Q_REMOVE_VOLUMES, "si", id, now);
    if (r >= 0)
        r = sql_run(s, e, Q_MARK_SERVERS, "sii", id, (int64_t)0, now);
    return op_end(s, r, e) < 0 ? -1 : 0;
}

struct pile {
    struct store_volume *at; /* owned */
    size_t n;
};

static int keep(void *arg, const struct store_volume *volume, struct err *e)
{
    struct pile *p = arg;

    (void)e;
    p->at = mem_resize(p->at, (p->n + 1) * sizeof(*p->at));
    p->at[p->n++] = *volume;
    return 0;
}

/* Only what went with the user: its time is the same. */
static int bring_back_volumes(struct store *s, const struct store_user *u, struct err *e)
{
    struct pile pile = {0};
    int r = store_volumes_of_user(s, u->id, keep, &pile, e);

    for (size_t i = 0; r >= 0 && i < pile.n; i++) {
        struct store_volume *v = &pile.at[i];

        if (v->removed_at != u->removed_at)
            continue;
        r = volume_free_claim(s, v->claim, e);
        if (r >= 0)
            r = sql_run(s, e, Q_VOLUME_RESTORE, "ss", v->id, v->claim);
    }
    free(pile.at);
    return r;
}

/* A volume can be purged before its user is. */
static int all_have_data(struct store *s, const char *user, struct err *e)
{
    STMT st = sql_get(s, Q_NO_DATA, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", user);
    r = sql_step(s, st, e);
    if (r == 1)
        return err_set(e, ERR_MISSING, "the data of the server \"%s\" has been destroyed",
                       (const char *)sqlite3_column_text(st, 0));
    return r;
}

static int bring_back(struct store *s, const struct store_user *u, struct err *e)
{
    if (u->removed_at == 0)
        return err_set(e, ERR_INPUT, "the user \"%s\" is not removed", u->login);
    if (sql_run(s, e, Q_RESTORE_USER, "s", u->id) < 0 ||
        sql_run(s, e, Q_MARK_SERVERS, "sii", u->id, u->removed_at, (int64_t)0) < 0) {
        if (sqlite3_extended_errcode(s->db) != SQLITE_CONSTRAINT_UNIQUE)
            return -1;
        (void)store_taken(s, u, e);
        return err_hint(e, "rename the one who has it now, then try again");
    }
    return bring_back_volumes(s, u, e) < 0 ? -1 : all_have_data(s, u->id, e);
}

int store_user_restore(struct store *s, const char *id, struct err *e)
{
    struct store_user u;

    if (store_user_by_id(s, id, &u, e) < 0)
        return -1;
    if (op_begin(s, e) < 0)
        return -1;
    if (op_end(s, bring_back(s, &u, e), e) < 0)
        return err_prefix(e, "could not bring back the user \"%s\"", u.login);
    return 0;
}

static int forget(struct store *s, const struct store_user *u, struct pile *p, struct err *e)
{
    static const enum query steps[] = {Q_PURGE_UNDOS,   Q_PURGE_SNAPSHOTS, Q_PURGE_DISKS,
                                       Q_PURGE_VOLUMES, Q_RELEASE_VOLUMES, Q_PURGE_SERVERS,
                                       Q_PURGE_USER};

    if (u->removed_at == 0) {
        (void)err_set(e, ERR_INPUT, "the user \"%s\" is not removed", u->login);
        return err_hint(e, "remove the user first");
    }
    if (store_volumes_of_user(s, u->id, keep, p, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (sql_run(s, e, steps[i], "s", u->id) < 0)
            return -1;
    return 0;
}

int store_user_purge(struct store *s, const char *id, store_volume_fn fn, void *arg, struct err *e)
{
    struct pile pile = {0};
    struct store_user u;
    int r;

    if (store_user_by_id(s, id, &u, e) < 0)
        return -1;
    if (op_begin(s, e) < 0)
        return -1;
    r = op_end(s, forget(s, &u, &pile, e), e) < 0 ? -1 : 0;
    if (r == 0 && u.uid >= s->uid_first && u.uid < s->uid_next)
        s->uid_next = u.uid;
    /* nobody is told to destroy what a failed commit has kept */
    for (size_t i = 0; r == 0 && fn != NULL && i < pile.n; i++)
        r = pile.at[i].path[0] == '\0' ? fn(arg, &pile.at[i], e) : 0;
    free(pile.at);
    return r;
}
