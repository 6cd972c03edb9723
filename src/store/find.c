/* find.c: look-ups and lists. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

static bool text(sqlite3_stmt *st, int column, char *at, size_t size)
{
    const char *s = (const char *)sqlite3_column_text(st, column);

    return str_copy(at, size, s == NULL ? "" : s);
}

static int damaged(const char *what, sqlite3_stmt *st, int at, struct err *e)
{
    char id[ID_SIZE];

    return err_set(e, ERR_INTERNAL, "the record holds a %s \"%s\" that cannot be ours", what,
                   text(st, at, id, sizeof(id)) ? id : "?");
}

/* The place of the column's word in words, or n. */
static int word(sqlite3_stmt *st, int column, const char *(*name)(int), int n)
{
    const char *s = (const char *)sqlite3_column_text(st, column);
    int i = 0;

    while (i < n && (s == NULL || !str_is(s, name(i))))
        i++;
    return i;
}

static const char *role_name(int i)
{
    return store_role_name((enum store_role)i);
}

static const char *kind_name(int i)
{
    return store_kind_name((enum store_kind)i);
}

static const char *phase_name(int i)
{
    return store_phase_name((enum store_phase)i);
}

int row_user(sqlite3_stmt *st, int at, struct store_user *ret_user, struct err *e)
{
    struct store_user u = {
        .counter = (uint64_t)sqlite3_column_int64(st, at + 5),
        .role = (enum store_role)word(st, at + 6, role_name, STORE_ROLE_N),
        .uid = (uint32_t)sqlite3_column_int64(st, at + 7),
        .disabled = sqlite3_column_int(st, at + 8) != 0,
        .created = sqlite3_column_int64(st, at + 9),
        .removed_at = sqlite3_column_int64(st, at + 10),
    };

    if (u.role == STORE_ROLE_N || !text(st, at, u.id, sizeof(u.id)) ||
        !text(st, at + 1, u.login, sizeof(u.login)) ||
        !text(st, at + 2, u.email, sizeof(u.email)) ||
        !text(st, at + 3, u.display, sizeof(u.display)) ||
        !text(st, at + 4, u.verifier, sizeof(u.verifier)))
        return damaged("user", st, at, e);
    *ret_user = u;
    return 0;
}

int row_server(sqlite3_stmt *st, int at, struct store_server *ret_server, struct err *e)
{
    struct store_server v = {
        .kind = (enum store_kind)word(st, at + 3, kind_name, STORE_KIND_N),
        .image = sqlite3_column_int(st, at + 4),
        .named = sqlite3_column_int(st, at + 6) != 0,
        .created = sqlite3_column_int64(st, at + 7),
        .last_awake = sqlite3_column_int64(st, at + 8),
        .removed_at = sqlite3_column_int64(st, at + 9),
    };

    if (v.kind == STORE_KIND_N || !text(st, at, v.id, sizeof(v.id)) ||
        !text(st, at + 1, v.owner, sizeof(v.owner)) || !text(st, at + 2, v.name, sizeof(v.name)) ||
        !text(st, at + 5, v.superuser, sizeof(v.superuser)))
        return damaged("server", st, at, e);
    *ret_server = v;
    return 0;
}

int row_volume(sqlite3_stmt *st, int at, struct store_volume *ret_volume, struct err *e)
{
    struct store_volume v = {
        .capacity = (uint64_t)sqlite3_column_int64(st, at + 5),
        .phase = (enum store_phase)word(st, at + 6, phase_name, STORE_PHASE_N),
        .created = sqlite3_column_int64(st, at + 7),
        .removed_at = sqlite3_column_int64(st, at + 8),
    };

    if (v.phase == STORE_PHASE_N || !text(st, at, v.id, sizeof(v.id)) ||
        !text(st, at + 1, v.server, sizeof(v.server)) ||
        !text(st, at + 2, v.claim, sizeof(v.claim)) ||
        !text(st, at + 3, v.class, sizeof(v.class)) ||
        !text(st, at + 4, v.template, sizeof(v.template)))
        return damaged("volume", st, at, e);
    *ret_volume = v;
    return 0;
}

int store_nobody(const char *what, const char *asked, struct err *e)
{
    char shown[120];

    return err_set(e, ERR_NOT_FOUND, "there is no %s \"%s\"", what,
                   str_show(shown, sizeof(shown), asked, strnlen(asked, 512)));
}

static int one_user(struct store *s, enum query q, const char *what, const char *key,
                    struct store_user *ret_user, struct err *e)
{
    STMT st = sql_get(s, q, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", key);
    r = sql_step(s, st, e);
    return r < 0 ? -1 : r == 0 ? store_nobody(what, key, e) : row_user(st, 0, ret_user, e);
}

static int one_server(struct store *s, enum query q, const char *what, const char *key,
                      struct store_server *ret_server, struct err *e)
{
    STMT st = sql_get(s, q, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", key);
    r = sql_step(s, st, e);
    return r < 0 ? -1 : r == 0 ? store_nobody(what, key, e) : row_server(st, 0, ret_server, e);
}

static int one_volume(struct store *s, enum query q, const char *what, const char *key,
                      struct store_volume *ret_volume, struct err *e)
{
    STMT st = sql_get(s, q, e);
    int r;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", key);
    r = sql_step(s, st, e);
    return r < 0 ? -1 : r == 0 ? store_nobody(what, key, e) : row_volume(st, 0, ret_volume, e);
}

int store_user_by_id(struct store *s, const char *id, struct store_user *ret_user, struct err *e)
{
    return one_user(s, Q_USER_BY_ID, "user with the id", id, ret_user, e);
}

int store_user_by_login(struct store *s, const char *login, struct store_user *ret_user,
                        struct err *e)
{
    return one_user(s, Q_USER_BY_LOGIN, "user", login, ret_user, e);
}

int store_user_by_email(struct store *s, const char *email, struct store_user *ret_user,
                        struct err *e)
{
    char folded[STORE_EMAIL_SIZE];
    struct err ignored;

    /* what cannot be an address belongs to nobody */
    if (store_email_fold(email, folded, &ignored) < 0)
        return store_nobody("user with the e-mail", email, e);
    return one_user(s, Q_USER_BY_EMAIL, "user with the e-mail", folded, ret_user, e);
}

int store_user_removed(struct store *s, const char *login, struct store_user *ret_user,
                       struct err *e)
{
    return one_user(s, Q_USER_REMOVED, "removed user", login, ret_user, e);
}

int store_server_by_id(struct store *s, const char *id, struct store_server *ret_server,
                       struct err *e)
{
    return one_server(s, Q_SERVER_BY_ID, "server with the id", id, ret_server, e);
}

int store_server_by_name(struct store *s, const char *name, struct store_server *ret_server,
                         struct err *e)
{
    return one_server(s, Q_SERVER_BY_NAME, "server", name, ret_server, e);
}

int store_server_of(struct store *s, const char *user_id, struct store_server *ret_server,
                    struct err *e)
{
    return one_server(s, Q_SERVER_OF, "server of the user", user_id, ret_server, e);
}

int store_volume_by_id(struct store *s, const char *id, struct store_volume *ret_volume,
                       struct err *e)
{
    return one_volume(s, Q_VOLUME_BY_ID, "volume with the id", id, ret_volume, e);
}

int store_volume_of(struct store *s, const char *server_id, struct store_volume *ret_volume,
                    struct err *e)
{
    return one_volume(s, Q_VOLUME_OF, "volume of the server", server_id, ret_volume, e);
}

/* Logins that begin with prefix lie in [prefix, ret_end): all their characters are before 0x7f. */
static const char *prefix_end(const char *prefix, char ret_end[STORE_LOGIN_SIZE + 1])
{
    (void)snprintf(ret_end, STORE_LOGIN_SIZE + 1, "%.*s\x7f", STORE_LOGIN_SIZE - 1, prefix);
    return ret_end;
}

int store_users(struct store *s, const char *prefix, store_user_fn fn, void *arg, struct err *e)
{
    STMT st = sql_get(s, Q_USERS, e);
    char end[STORE_LOGIN_SIZE + 1];
    struct store_user u;
    int r, answer;

    if (st == NULL)
        return -1;
    prefix = prefix == NULL ? "" : prefix;
    sql_bind(st, "ss", prefix, prefix_end(prefix, end));
    while ((r = sql_step(s, st, e)) == 1)
        if ((answer = row_user(st, 0, &u, e)) != 0 || (answer = fn(arg, &u, e)) != 0)
            return answer;
    return r;
}

int store_servers(struct store *s, const char *prefix, store_server_fn fn, void *arg, struct err *e)
{
    STMT st = sql_get(s, Q_SERVERS, e);
    char end[STORE_LOGIN_SIZE + 1], login[STORE_LOGIN_SIZE];
    struct store_server server;
    struct store_volume volume;
    int r, answer;

    if (st == NULL)
        return -1;
    prefix = prefix == NULL ? "" : prefix;
    sql_bind(st, "ss", prefix, prefix_end(prefix, end));
    while ((r = sql_step(s, st, e)) == 1) {
        if (row_server(st, 0, &server, e) < 0 || row_volume(st, SERVER_WIDTH + 1, &volume, e) < 0)
            return -1;
        if (!text(st, SERVER_WIDTH, login, sizeof(login)))
            return damaged("user", st, SERVER_WIDTH, e);
        if ((answer = fn(arg, &server, login, &volume, e)) != 0)
            return answer;
    }
    return r;
}

int store_removed(struct store *s, int64_t before, store_user_fn fn, void *arg, struct err *e)
{
    STMT st = sql_get(s, Q_REMOVED, e);
    struct store_user u;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "i", before);
    while ((r = sql_step(s, st, e)) == 1)
        if ((answer = row_user(st, 0, &u, e)) != 0 || (answer = fn(arg, &u, e)) != 0)
            return answer;
    return r;
}

int store_volumes_of_user(struct store *s, const char *user_id, store_volume_fn fn, void *arg,
                          struct err *e)
{
    STMT st = sql_get(s, Q_VOLUMES_OF_USER, e);
    struct store_volume v;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", user_id);
    while ((r = sql_step(s, st, e)) == 1)
        if ((answer = row_volume(st, 0, &v, e)) != 0 || (answer = fn(arg, &v, e)) != 0)
            return answer;
    return r;
}

int store_count(struct store *s, struct store_counts *ret_counts, struct err *e)
{
    STMT st = sql_get(s, Q_COUNT, e);

    if (st == NULL || sql_step(s, st, e) < 0)
        return -1;
    *ret_counts = (struct store_counts){
        .users = (uint64_t)sqlite3_column_int64(st, 0),
        .disabled = (uint64_t)sqlite3_column_int64(st, 1),
        .removed = (uint64_t)sqlite3_column_int64(st, 2),
        .servers = (uint64_t)sqlite3_column_int64(st, 3),
    };
    return 0;
}

int store_name_taken(struct store *s, const char *name, struct err *e)
{
    struct store_user user;
    struct store_server server;

    if (store_user_by_login(s, name, &user, e) == 0)
        return 1;
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    if (store_server_by_name(s, name, &server, e) == 0)
        return 1;
    return e->kind == ERR_NOT_FOUND ? 0 : -1;
}
