/* admit.c: users with their server and its data, and what may change about them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

static int copy(char *at, size_t size, const char *what, const char *s, struct err *e)
{
    s = s == NULL ? "" : s;
    if (store_text_check(what, s, size, e) < 0)
        return -1;
    memcpy(at, s, strlen(s) + 1);
    return 0;
}

#define COPY(field, what, s) copy((field), sizeof(field), (what), (s), e)

static int fill_server(const struct store_user_new *new, struct store_server *v, struct err *e)
{
    v->kind = new->kind;
    v->image = new->image;
    v->created = new->now;
    if (new->image < 1)
        return err_set(e, ERR_INPUT, "%d is not a version of PostgreSQL", new->image);
    if (COPY(v->superuser, "superuser's name", new->superuser) < 0)
        return -1;
    if (v->superuser[0] == '\0')
        return err_set(e, ERR_INPUT, "the superuser's name is empty");
    return COPY(v->name, "server's name", new->login);
}

static int fill_volume(const struct store_user_new *new, struct store_volume *v, struct err *e)
{
    v->capacity = new->capacity;
    v->modes = new->modes == 0 ? STORE_RWO : new->modes;
    v->created = new->now;
    if (COPY(v->claim, "claim", new->claim) < 0 ||
        COPY(v->class, "storage class", new->class) < 0 ||
        COPY(v->template, "template's name", new->template) < 0 ||
        COPY(v->component, "component", "postgres") < 0)
        return -1;
    return volume_check(v, e);
}

/* Everything that can be known to be wrong without asking the record. */
static int fill(const struct store_user_new *new, struct store_account *a, struct err *e)
{
    struct store_user *u = &a->user;

    *a = (struct store_account){0};
    u->counter = new->counter;
    u->role = new->role;
    u->uid = new->uid;
    u->created = new->now;
    if (store_login_check(new->login, e) < 0 || COPY(u->login, "login", new->login) < 0)
        return -1;
    if (store_email_fold(new->email == NULL ? "" : new->email, u->email, e) < 0)
        return -1;
    if (COPY(u->display, "display name", new->display) < 0 ||
        COPY(u->verifier, "verifier", new->verifier) < 0)
        return -1;
    if (fill_server(new, &a->server, e) < 0 ||
        (new->volume == NULL &&fill_volume(new, &a->volume, e) < 0))
        return -1;
    rand_id(u->id);
    rand_id(a->server.id);
    rand_id(a->volume.id);
    memcpy(a->server.owner, u->id, ID_SIZE);
    memcpy(a->volume.server, a->server.id, ID_SIZE);
    return 0;
}

/* The lowest free uid. Those below uid_next are known to be taken, so a batch does not walk them
 * again for each. */
static int find_uid(struct store *s, uint32_t first, uint32_t last, uint32_t *ret_uid,
                    struct err *e)
{
    STMT st = sql_get(s, Q_UIDS_FROM, e);
    int64_t uid;
    int r;

    if (st == NULL)
        return -1;
    if (first == 0 || first > last)
        return err_set(e, ERR_INPUT, "%" PRIu32 "-%" PRIu32 " is not a range of uids", first, last);
    if (s->uid_first != first)
        s->uid_first = s->uid_next = first;
    uid = s->uid_next;
    sql_bind(st, "ii", uid, (int64_t)last);
    while ((r = sql_step(s, st, e)) == 1 && sqlite3_column_int64(st, 0) == uid)
        uid++;
    if (r < 0)
        return -1;
    if (uid > last) {
        (void)err_set(e, ERR_LIMIT, "all uids from %" PRIu32 " to %" PRIu32 " are taken", first,
                      last);
        return err_hint(e, "widen the range of uids in the hub file, or purge removed users");
    }
    s->uid_next = (uint32_t)uid;
    *ret_uid = (uint32_t)uid;
    return 0;
}

int store_taken(struct store *s, const struct store_user *u, struct err *e)
{
    struct store_user other;
    struct store_server server;

    if (store_user_by_login(s, u->login, &other, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
    } else if (!str_is(other.id, u->id)) {
        return err_set(e, ERR_EXISTS, "the login \"%s\" is taken", u->login);
    }
    if (store_server_by_name(s, u->login, &server, e) < 0) {
        if (e->kind != ERR_NOT_FOUND)
            return -1;
    } else if (!str_is(server.owner, u->id)) {
        return err_set(e, ERR_EXISTS, "the login \"%s\" is the name of a server", u->login);
    }
    if (u->email[0] == '\0' || store_user_by_email(s, u->email, &other, e) < 0)
        return err_set(e, ERR_EXISTS,
                       "the uid %" PRIu32 " belongs to another user, maybe a removed one", u->uid);
    return err_set(e, ERR_EXISTS, "the e-mail \"%s\" belongs to the user \"%s\"", u->email,
                   other.login);
}

/* The words for a failed INSERT or UPDATE: whose name it was, if that was it. */
static int refused(struct store *s, const struct store_user *u, struct err *e)
{
    if (sqlite3_extended_errcode(s->db) != SQLITE_CONSTRAINT_UNIQUE)
        return -1;
    return store_taken(s, u, e);
}

static int insert(struct store *s, const struct store_account *a, struct err *e)
{
    const struct store_user *u = &a->user;
    const struct store_server *v = &a->server;

    if (sql_run(s, e, Q_USER_ADD, "sssssisii", u->id, u->login, u->email, u->display, u->verifier,
                (int64_t)u->counter, store_role_name(u->role), (int64_t)u->uid, u->created) < 0 ||
        sql_run(s, e, Q_SERVER_ADD, "ssssisi", v->id, v->owner, v->name, store_kind_name(v->kind),
                (int64_t)v->image, v->superuser, v->created) < 0)
        return refused(s, u, e);
    return 0;
}

/* The server's data: a new volume, or that static one. */
static int insert_data(struct store *s, struct store_account *a, const char *volume, struct err *e)
{
    struct store_disk d = {.place = 0};

    if (volume != NULL) {
        if (volume_take(s, volume, a->server.id, &a->volume, e) < 0)
            return -1;
    } else if (volume_free_claim(s, a->volume.claim, e) < 0 ||
               volume_insert(s, &a->volume, e) < 0) {
        return -1;
    }
    memcpy(d.server, a->server.id, ID_SIZE);
    memcpy(d.volume, a->volume.id, ID_SIZE);
    return disk_insert(s, &d, e);
}

int store_user_add(struct store *s, const struct store_user_new *new,
                   struct store_account *ret_account, struct err *e)
{
    struct store_account a;
    int r = 0;

    if (fill(new, &a, e) < 0)
        return -1;
    if (op_begin(s, e) < 0)
        return -1;
    if (new->uid == 0)
        r = find_uid(s, new->uid_first, new->uid_last, &a.user.uid, e);
    if (r == 0)
        r = insert(s, &a, e);
    if (r == 0)
        r = insert_data(s, &a, new->volume, e);
    if (op_end(s, r, e) < 0)
        return err_prefix(e, "could not add the user \"%s\"", a.user.login);
    if (ret_account != NULL)
        *ret_account = a;
    return 0;
}

int store_user_set_password(struct store *s, const char *id, const char *verifier, uint64_t counter,
                            struct err *e)
{
    if (strlen(verifier) >= STORE_VERIFIER_SIZE)
        return err_set(e, ERR_INPUT, "the verifier is longer than %d bytes",
                       STORE_VERIFIER_SIZE - 1);
    if (op_begin(s, e) < 0)
        return -1;
    return store_changed(s, "user with the id", id,
                         sql_run(s, e, Q_PASSWORD, "ssi", id, verifier, (int64_t)counter), e);
}

int store_user_set_disabled(struct store *s, const char *id, bool disabled, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return store_changed(s, "user with the id", id,
                         sql_run(s, e, Q_DISABLE, "si", id, (int64_t)disabled), e);
}

int store_server_set_named(struct store *s, const char *id, bool named, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return store_changed(s, "server with the id", id,
                         sql_run(s, e, Q_SERVER_NAMED, "si", id, (int64_t)named), e);
}

int store_server_set_awake(struct store *s, const char *id, int64_t last_awake, struct err *e)
{
    if (op_begin(s, e) < 0)
        return -1;
    return store_changed(s, "server with the id", id,
                         sql_run(s, e, Q_SERVER_AWAKE, "si", id, last_awake), e);
}

static int rename_both(struct store *s, const struct store_user *u, const char *login,
                       struct err *e)
{
    struct store_user wanted = {.uid = u->uid};

    if (u->removed_at != 0)
        return err_set(e, ERR_INPUT, "the user \"%s\" is removed", u->login);
    memcpy(wanted.id, u->id, ID_SIZE);
    if (COPY(wanted.login, "login", login) < 0)
        return -1;
    if (sql_run(s, e, Q_RENAME_USER, "ss", u->id, login) < 0 ||
        sql_run(s, e, Q_RENAME_SERVER, "sss", u->id, login, u->login) < 0)
        return refused(s, &wanted, e);
    return 0;
}

int store_user_rename(struct store *s, const char *id, const char *login, struct err *e)
{
    struct store_user u;

    if (store_login_check(login, e) < 0 || store_user_by_id(s, id, &u, e) < 0)
        return -1;
    if (op_begin(s, e) < 0)
        return -1;
    if (op_end(s, rename_both(s, &u, login, e), e) < 0)
        return err_prefix(e, "could not rename the user \"%s\"", u.login);
    return 0;
}
