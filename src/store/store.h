/*
 * store.h: the record of a hub: who its users are, and which servers and volumes are theirs.
 *
 * One writer, the daemon, holds it open; what it is kept in is known here and nowhere else. A
 * function that returned success has its change on the disk, and one that failed has changed
 * nothing (inside store_begin ... store_commit both hold from the commit on).
 *
 * Rows are removed softly: they keep their id and host uid and can be brought back, until they are
 * purged. Look-ups by name see only what is not removed; look-ups by id see everything.
 * What is not there is ERR_NOT_FOUND, a taken name is ERR_EXISTS.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rand.h"

enum {
    STORE_LOGIN_SIZE = 32,     /* [a-z][a-z0-9_-]{0,30} */
    STORE_EMAIL_SIZE = 255,    /* RFC 5321: a path is at most 254 characters */
    STORE_DISPLAY_SIZE = 201,  /* any UTF-8 */
    STORE_VERIFIER_SIZE = 257, /* SCRAM-SHA-256$... is about 140 */
    STORE_NAME_SIZE = 64,      /* role, server, template */
    STORE_CLAIM_SIZE = 254,    /* claim, class: as Kubernetes bounds them */
    STORE_KEY_SIZE = 64,
    STORE_VALUE_SIZE = 4097,
};

#define STORE_ROLES(X) \
    X(USER, "user") X(ASSISTANT, "assistant") X(ADMIN, "admin") X(SERVICE, "service")
#define STORE_KINDS(X)  X(PERSONAL, "personal") X(SHARED, "shared")
#define STORE_PHASES(X) X(PENDING, "pending") X(BOUND, "bound") X(RELEASED, "released")

#define X(name, word) STORE_##name,
enum store_role { STORE_ROLES(X) STORE_ROLE_N };
enum store_kind { STORE_KINDS(X) STORE_KIND_N };
enum store_phase { STORE_PHASES(X) STORE_PHASE_N };
#undef X

const char *store_role_name(enum store_role role);
const char *store_kind_name(enum store_kind kind);
const char *store_phase_name(enum store_phase phase);
bool store_role_parse(const char *word, enum store_role *ret_role)
    __attribute__((warn_unused_result));

struct store_user {
    char id[ID_SIZE];
    char login[STORE_LOGIN_SIZE];
    char email[STORE_EMAIL_SIZE];       /* lower case; "" when there is none */
    char display[STORE_DISPLAY_SIZE];   /* not fit to print as it is: str_show */
    char verifier[STORE_VERIFIER_SIZE]; /* "": not made yet */
    uint64_t counter; /* of the derived password; 0: has a password of their own */
    enum store_role role;
    uint32_t uid; /* on the host */
    bool disabled;
    int64_t created, removed_at; /* seconds since 1970; 0: not removed */
};

struct store_server {
    char id[ID_SIZE];
    char owner[ID_SIZE];
    char name[STORE_NAME_SIZE]; /* a personal server has its owner's login */
    enum store_kind kind;
    int image; /* PostgreSQL's major version */
    char superuser[STORE_NAME_SIZE];
    bool named;                              /* the superuser's role has been made in it */
    int64_t created, last_awake, removed_at; /* last_awake 0: never */
};

struct store_volume {
    char id[ID_SIZE];
    char server[ID_SIZE];
    char claim[STORE_CLAIM_SIZE];
    char class[STORE_CLAIM_SIZE];
    char template[STORE_NAME_SIZE];
    uint64_t capacity; /* bytes */
    enum store_phase phase;
    int64_t created, removed_at;
};

/* A user with the server and volume that were made with them. */
struct store_account {
    struct store_user user;
    struct store_server server;
    struct store_volume volume;
};

struct store_counts {
    uint64_t users, disabled, removed, servers;
};

/* What store_user_add is told. Texts are borrowed for the call; NULL is the same as "". */
struct store_user_new {
    const char *login, *email, *display, *verifier;
    uint64_t counter;
    enum store_role role;
    uint32_t uid; /* a certain one, or 0: the lowest free in [uid_first, uid_last] */
    uint32_t uid_first, uid_last;
    enum store_kind kind;
    int image;
    const char *superuser;
    const char *claim, *class, *template;
    uint64_t capacity;
    int64_t now;
};

struct store;

/*
 * Open the record at path, or make it where there is none (its directory must exist and be ours).
 * One that an older release made is brought up to date after a copy of it was put beside it
 * (<path>.v<N>). ERR_BUSY when another process has it. Whatever is no record of ours, is damaged,
 * or comes from a newer release is refused and left as it is.
 *
 * The lock belongs to this process alone: a forked child does not hold it, and must not touch the
 * store. At most one store of a path may be open in a process.
 */
int store_open(const char *path, struct store **ret_store, struct err *e);
void store_close(struct store *s); /* NULL is fine; what was begun and not committed is undone */

/* Is it whole? For doctor; reads everything. */
int store_check(struct store *s, struct err *e);
/* A copy in one file, complete and synced or not there. ERR_EXISTS when path is there already. */
int store_backup(struct store *s, const char *path, struct err *e);

/* Many changes as one. A change that fails in between is left out; the others stand. */
int store_begin(struct store *s, struct err *e);
int store_commit(struct store *s, struct err *e); /* nothing of it remains if this fails */
void store_rollback(struct store *s);             /* also when nothing was begun */

/* 1 and the value, or 0 and "" when it was never set. */
int store_setting_get(struct store *s, const char *key, char *ret_value, size_t size,
                      struct err *e);
int store_setting_set(struct store *s, const char *key, const char *value, struct err *e);

/* Is it a login that may be given out? ERR_INPUT says what is wrong, the hint what is allowed. */
int store_login_check(const char *login, struct err *e);
/* Lower case, and looks like an address. "" stays "". */
int store_email_fold(const char *email, char ret_email[STORE_EMAIL_SIZE], struct err *e);
/*
 * A free login made of an e-mail's local part (or of any word). 1 when the obvious one was taken or
 * reserved and a number was added, which the user wants to be told; else 0.
 */
int store_login_suggest(struct store *s, const char *email, char ret_login[STORE_LOGIN_SIZE],
                        struct err *e);

/* User, server and volume, all or none. ret_account may be NULL. */
int store_user_add(struct store *s, const struct store_user_new *new,
                   struct store_account *ret_account, struct err *e);

int store_user_by_id(struct store *s, const char *id, struct store_user *ret_user, struct err *e);
int store_user_by_login(struct store *s, const char *login, struct store_user *ret_user,
                        struct err *e);
int store_user_by_email(struct store *s, const char *email, struct store_user *ret_user,
                        struct err *e); /* in any case */
/* The one removed last under this login. */
int store_user_removed(struct store *s, const char *login, struct store_user *ret_user,
                       struct err *e);
int store_server_by_id(struct store *s, const char *id, struct store_server *ret_server,
                       struct err *e);
int store_server_by_name(struct store *s, const char *name, struct store_server *ret_server,
                         struct err *e);
/* The personal server of a user who is not removed. */
int store_server_of(struct store *s, const char *user_id, struct store_server *ret_server,
                    struct err *e);
int store_volume_by_id(struct store *s, const char *id, struct store_volume *ret_volume,
                       struct err *e);
int store_volume_of(struct store *s, const char *server_id, struct store_volume *ret_volume,
                    struct err *e); /* removed or not */

/*
 * Lists. The callback may look things up but neither change anything nor list the same again; < 0
 * (with *e filled) or > 0 ends the list and is returned. What it is shown is gone when it returns.
 */
typedef int (*store_user_fn)(void *arg, const struct store_user *user, struct err *e);
typedef int (*store_server_fn)(void *arg, const struct store_server *server,
                               const char *owner_login, const struct store_volume *volume,
                               struct err *e);
typedef int (*store_volume_fn)(void *arg, const struct store_volume *volume, struct err *e);

/* In order of login; those whose login begins with prefix, or all (NULL). */
int store_users(struct store *s, const char *prefix, store_user_fn fn, void *arg, struct err *e);
int store_servers(struct store *s, const char *prefix, store_server_fn fn, void *arg,
                  struct err *e);
/* Users removed before that time, the oldest first: candidates for store_user_purge. */
int store_removed(struct store *s, int64_t before, store_user_fn fn, void *arg, struct err *e);
/* Every volume of a user, removed or not. */
int store_volumes_of_user(struct store *s, const char *user_id, store_volume_fn fn, void *arg,
                          struct err *e);
int store_count(struct store *s, struct store_counts *ret_counts, struct err *e);

int store_user_set_password(struct store *s, const char *id, const char *verifier, uint64_t counter,
                            struct err *e);
int store_user_set_disabled(struct store *s, const char *id, bool disabled, struct err *e);
/* The personal server is renamed with its owner; claim and superuser keep their names. */
int store_user_rename(struct store *s, const char *id, const char *login, struct err *e);

int store_user_remove(struct store *s, const char *id, int64_t now, struct err *e);
/* ERR_EXISTS when the login, the e-mail or the server's name was taken meanwhile. */
int store_user_restore(struct store *s, const char *id, struct err *e);
/*
 * Forget a removed user, their servers and volumes for good; their uid is free again. fn, unless it
 * is NULL, is shown each volume that now has no record. If the process dies before those are
 * destroyed nothing knows of them any more: destroy first (store_volumes_of_user), then purge,
 * where that matters.
 */
int store_user_purge(struct store *s, const char *id, store_volume_fn fn, void *arg, struct err *e);

int store_server_set_named(struct store *s, const char *id, bool named, struct err *e);
int store_server_set_awake(struct store *s, const char *id, int64_t last_awake, struct err *e);
int store_volume_set_phase(struct store *s, const char *id, enum store_phase phase, struct err *e);
