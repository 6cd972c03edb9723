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
    STORE_PATH_SIZE = 1024,
    STORE_LABEL_SIZE = 64,
    STORE_TEXT_SIZE = 256, /* one sentence */
    STORE_KEY_SIZE = 64,
    STORE_VALUE_SIZE = 4097,
};

#define STORE_ROLES(X) \
    X(USER, "user") X(ASSISTANT, "assistant") X(ADMIN, "admin") X(SERVICE, "service")
#define STORE_KINDS(X) X(PERSONAL, "personal") X(SHARED, "shared")
/* available: a static volume that nobody has bound */
#define STORE_PHASES(X) \
    X(PENDING, "pending") X(BOUND, "bound") X(RELEASED, "released") X(AVAILABLE, "available")
/* clang-format off */
/* Why a snapshot was taken, and what can be undone. */
#define STORE_WHYS(X)                                                                            \
    X(BY_HAND, "by hand") X(BY_TIME, "by time") X(BEFORE_RESET, "before reset")                  \
    X(BEFORE_RESTORE, "before restore") X(BEFORE_RESIZE, "before resize")                        \
    X(BEFORE_DELETE, "before delete") X(BEFORE_MOVE, "before move")                              \
    X(BEFORE_UPGRADE, "before upgrade") X(FROM_BACKUP, "from backup")
#define STORE_DEEDS(X)                                                                           \
    X(RESET, "reset") X(RESTORE, "restore") X(RESIZE, "resize") X(DELETE, "delete")              \
    X(MOVE, "move") X(UPGRADE, "upgrade")
/* clang-format on */

enum store_access {
    STORE_RWO = 1u << 0,
    STORE_RWOP = 1u << 1,
    STORE_ROX = 1u << 2,
    STORE_RWX = 1u << 3
};

#define X(name, word) STORE_##name,
enum store_why { STORE_WHYS(X) STORE_WHY_N };
#undef X
#define X(name, word) STORE_DID_##name,
enum store_deed { STORE_DEEDS(X) STORE_DEED_N };
#undef X

#define X(name, word) STORE_##name,
enum store_role { STORE_ROLES(X) STORE_ROLE_N };
enum store_kind { STORE_KINDS(X) STORE_KIND_N };
enum store_phase { STORE_PHASES(X) STORE_PHASE_N };
#undef X

const char *store_role_name(enum store_role role);
const char *store_kind_name(enum store_kind kind);
const char *store_phase_name(enum store_phase phase);
const char *store_why_name(enum store_why why);
const char *store_deed_name(enum store_deed deed);
/* "RWO,ROX" into at (32 bytes). */
char *store_modes_text(unsigned modes, char at[32]);
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
    char server[ID_SIZE];         /* made for it, goes with it; "" of shared and unbound ones */
    char claim[STORE_CLAIM_SIZE]; /* its name: unique among those not removed */
    char class[STORE_CLAIM_SIZE]; /* "" of a static one without */
    char template[STORE_NAME_SIZE];
    char path[STORE_PATH_SIZE];       /* on the host, of a static one; "" of others */
    char moving_to[STORE_CLAIM_SIZE]; /* the class it is on its way to; "" when it stays */
    char component[STORE_LABEL_SIZE]; /* label: "postgres" of a server's data, "extra-pvc"; "" */
    uint64_t capacity;                /* bytes */
    unsigned modes;                   /* enum store_access */
    enum store_phase phase;
    int64_t created, removed_at;
};

/* How a server uses a volume. Place 0 is its data. */
struct store_disk {
    char server[ID_SIZE], volume[ID_SIZE];
    uint32_t place;
    char mount[STORE_TEXT_SIZE]; /* inside the pod; "" of its data */
    bool read_only;
};

struct store_snapshot {
    char id[ID_SIZE];
    char volume[ID_SIZE];
    char class[STORE_CLAIM_SIZE]; /* where it lies: its volume may have moved since */
    char label[STORE_LABEL_SIZE]; /* given by who took it; "" */
    enum store_why why;
    uint64_t capacity, extents, took_us;
    bool running;                 /* taken while the server ran */
    int64_t taken_at, keep_until; /* keep_until 0: until it is deleted or its turn has come */
};

/* Something that can be undone: the line the command printed is "dorm undo <number>". */
struct store_undo {
    int64_t number;
    enum store_deed deed;
    char server[ID_SIZE], volume[ID_SIZE], snapshot[ID_SIZE]; /* "" where none */
    char text[STORE_TEXT_SIZE];                               /* what was done, for people */
    char before[STORE_CLAIM_SIZE]; /* a value as it was: the class before a move */
    int64_t done_at, until;
};

/* A user with the server and volume that were made with them. */
struct store_account {
    struct store_user user;
    struct store_server server;
    struct store_volume volume;
};

struct store_counts {
    uint64_t users, disabled, removed, servers, volumes, snapshots; /* without the removed ones */
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
    /* Of the volume that is made. A claim that is taken gets a number: what became its name is in
     * ret_account. */
    const char *claim, *class, *template;
    uint64_t capacity;
    unsigned modes;     /* 0: STORE_RWO */
    const char *volume; /* id of an available static one to be bound instead; NULL: make one */
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

/* User, server and volume (its disk of place 0), all or none. ret_account may be NULL. ERR_BUSY
 * when the static volume is not available. */
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
                    struct err *e); /* the one of place 0, removed or not */

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
/* Every volume that belongs to a server of the user, removed or not, static or not. */
int store_volumes_of_user(struct store *s, const char *user_id, store_volume_fn fn, void *arg,
                          struct err *e);
int store_count(struct store *s, struct store_counts *ret_counts, struct err *e);

int store_user_set_password(struct store *s, const char *id, const char *verifier, uint64_t counter,
                            struct err *e);
int store_user_set_disabled(struct store *s, const char *id, bool disabled, struct err *e);
/* The personal server is renamed with its owner; claim and superuser keep their names. */
int store_user_rename(struct store *s, const char *id, const char *login, struct err *e);

/* Their volumes go with them, except static ones: those stay bound, so that nobody else gets what
 * is in them while the user can come back. */
int store_user_remove(struct store *s, const char *id, int64_t now, struct err *e);
/*
 * With their servers and what went with them; a volume whose claim's name was taken meanwhile gets
 * a number. ERR_EXISTS when the login, the e-mail or the server's name was taken.
 */
int store_user_restore(struct store *s, const char *id, struct err *e);
/*
 * Forget a removed user, their servers and volumes for good; their uid is free again. Static
 * volumes stay and are released. fn, unless it is NULL, is shown each volume that now has no
 * record. If the process dies before those are destroyed nothing knows of them any more: destroy
 * first (store_volumes_of_user), then purge, where that matters.
 */
int store_user_purge(struct store *s, const char *id, store_volume_fn fn, void *arg, struct err *e);

/* A server beside the personal one of its owner, with a volume of its own; sets the ids. */
int store_server_add(struct store *s, struct store_server *server, struct store_volume *v,
                     struct err *e);
/* Softly, with its volume; a personal one goes with its user. */
int store_server_remove(struct store *s, const char *id, int64_t now, struct err *e);
/* Forget one that is removed and has no volume any more; any other is left alone. */
int store_server_purge(struct store *s, const char *id, struct err *e);
int store_server_set_named(struct store *s, const char *id, bool named, struct err *e);
int store_server_set_awake(struct store *s, const char *id, int64_t last_awake, struct err *e);
int store_volume_set_phase(struct store *s, const char *id, enum store_phase phase, struct err *e);

/* ---- volumes ---- */

/*
 * A volume; texts are checked. *v: id is made when "", created must be set, removed_at becomes 0.
 * ERR_EXISTS when the claim's name is taken, or another volume has the same path.
 */
int store_volume_add(struct store *s, struct store_volume *v, struct err *e);
/* By the name of its claim, not removed. */
int store_volume_by_claim(struct store *s, const char *claim, struct store_volume *ret_volume,
                          struct err *e);
/* All that are not removed, in order of claim; component NULL: any. server_name and owner are ""
 * for those of nobody. */
typedef int (*store_volume_row_fn)(void *arg, const struct store_volume *volume,
                                   const char *server_name, const char *owner_login, struct err *e);
int store_volumes(struct store *s, const char *component, store_volume_row_fn fn, void *arg,
                  struct err *e);
/* Those removed before that time whose server is still there or who have none, the oldest first: to
 * be destroyed. (The others are shown by store_volumes_of_user.) */
int store_volumes_removed(struct store *s, int64_t before, store_volume_fn fn, void *arg,
                          struct err *e);
int store_volume_set_capacity(struct store *s, const char *id, uint64_t capacity, struct err *e);
/* It stays where it is and is to be in class `to`; "" ends a move without it. */
int store_volume_set_moving(struct store *s, const char *id, const char *to, struct err *e);
/* It has arrived: moving_to becomes its class. */
int store_volume_moved(struct store *s, const char *id, struct err *e);
/*
 * A static one is bound to this server, or ("") to all that ask for it; or it is given up, as
 * available or released, and loses its component. ERR_BUSY when it is not available, or would be
 * given up although a server, removed or not, uses it.
 */
int store_volume_bind(struct store *s, const char *id, const char *server, enum store_phase phase,
                      struct err *e);
/* It keeps its disks for the case that it is restored. ERR_BUSY for the data of a server: that goes
 * with its user. */
int store_volume_remove(struct store *s, const char *id, int64_t now, struct err *e);
/* ERR_EXISTS when its name or its path was taken meanwhile. */
int store_volume_restore(struct store *s, const char *id, struct err *e);
/* Forget a removed one, its disks, its snapshots and what of it could be undone. Destroy it first.
 */
int store_volume_purge(struct store *s, const char *id, struct err *e);

/* How a server uses volumes. store_user_add makes place 0 itself, and it stays. ERR_EXISTS when the
 * server has that volume. To keep the other places and the mounts apart is the caller's task: a
 * new order of them passes through states where two are alike. */
int store_disk_add(struct store *s, const struct store_disk *d, struct err *e);
int store_disk_remove(struct store *s, const char *server, const char *volume, struct err *e);
typedef int (*store_disk_fn)(void *arg, const struct store_disk *disk,
                             const struct store_volume *volume, struct err *e);
/* Of a server, in order of place, volumes that are not removed. */
int store_disks(struct store *s, const char *server, store_disk_fn fn, void *arg, struct err *e);
/* Who uses a volume: servers that are not removed. */
int store_disk_users(struct store *s, const char *volume, store_disk_fn fn, void *arg,
                     struct err *e);
/* What it uses and was pending is bound from now on. */
int store_disks_bound(struct store *s, const char *server, struct err *e);

/* ---- snapshots ---- */

/* Its id is that of what was taken already. */
int store_snapshot_add(struct store *s, const struct store_snapshot *snapshot, struct err *e);
int store_snapshot_by_id(struct store *s, const char *id, struct store_snapshot *ret,
                         struct err *e);
/* Of one volume by its label, the newest. */
int store_snapshot_by_label(struct store *s, const char *volume, const char *label,
                            struct store_snapshot *ret, struct err *e);
typedef int (*store_snapshot_fn)(void *arg, const struct store_snapshot *snapshot,
                                 const struct store_volume *volume, struct err *e);
/* Of one volume, or all (NULL); the oldest first. */
int store_snapshots(struct store *s, const char *volume, store_snapshot_fn fn, void *arg,
                    struct err *e);
/* The row comes before the effect; what the effect was comes after. */
int store_snapshot_taken(struct store *s, const char *id, uint64_t extents, uint64_t took_us,
                         struct err *e);
int store_snapshot_set_keep(struct store *s, const char *id, int64_t keep_until, struct err *e);
/* With it goes what could have been undone by it. */
int store_snapshot_remove(struct store *s, const char *id, struct err *e);

/* ---- undo ---- */

/* Sets u->number, which nothing else will ever have. */
int store_undo_add(struct store *s, struct store_undo *u, struct err *e);
/* Over or not. */
int store_undo_get(struct store *s, int64_t number, struct store_undo *ret, struct err *e);
typedef int (*store_undo_fn)(void *arg, const struct store_undo *u, const char *server_name,
                             const char *claim, struct err *e);
/* Those whose time is not over at now, the newest first. */
int store_undos(struct store *s, int64_t now, store_undo_fn fn, void *arg, struct err *e);
int store_undo_remove(struct store *s, int64_t number, struct err *e);
/* Drop those that are over. */
int store_undo_expire(struct store *s, int64_t now, struct err *e);
