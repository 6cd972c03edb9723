/* find.c: look-ups and lists of users and servers. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

int store_nobody(const char *what, const char *asked, struct err *e)
{
    char shown[120];

    return err_set(e, ERR_NOT_FOUND, "there is no %s \"%s\"", what,
                   str_show(shown, sizeof(shown), asked, strnlen(asked, 512)));
}

static int one_user(struct store *s, enum query q, const char *what, const char *key,
                    struct store_user *ret_user, struct err *e)
{
    STMT st = sql_one(s, q, what, key, e);

    return st == NULL ? -1 : row_user(st, 0, ret_user, e);
}

static int one_server(struct store *s, enum query q, const char *what, const char *key,
                      struct store_server *ret_server, struct err *e)
{
    STMT st = sql_one(s, q, what, key, e);

    return st == NULL ? -1 : row_server(st, 0, ret_server, e);
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

int store_server_here(struct store *s, const char *id, struct err *e)
{
    struct store_server v;

    if (store_server_by_id(s, id, &v, e) < 0)
        return -1;
    return v.removed_at == 0 ? 0 : err_set(e, ERR_INPUT, "the server \"%s\" is removed", v.name);
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
        if (!row_text(st, SERVER_WIDTH, login, sizeof(login)))
            return row_damaged("user", st, SERVER_WIDTH, e);
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
        .volumes = (uint64_t)sqlite3_column_int64(st, 4),
        .snapshots = (uint64_t)sqlite3_column_int64(st, 5),
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
