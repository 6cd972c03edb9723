/* store-int.h: shared by the files of this folder and their test; nobody else includes it. */
#pragma once

#include <sqlite3.h>

#include "base/auto.h"
#include "queries.h"
#include "store.h"

#define STORE_APPLICATION_ID 0x446f726d /* "Dorm", at offset 68 of the file */

enum query {
#define X(name, reach, text) Q_##name,
    QUERIES(X)
#undef X
        QUERY_N
};

/* ONE: concerns one user, and must find it by index. ALL: may go through a table. */
enum reach { ONE, ALL };

extern const struct query_row {
    const char *name;
    enum reach reach;
    const char *text;
} store_queries[QUERY_N];

/* The steps from an empty file to today's tables; step i makes version i + 1. Never edited once
 * released: a record out there has already taken them. */
struct store_schema {
    const char *const *steps;
    int n;
};
extern const struct store_schema store_schema;

struct store {
    char *path;                    /* owned */
    sqlite3 *db;                   /* owned */
    sqlite3_stmt *cached[QUERY_N]; /* owned; prepared when first wanted */
    int lock_fd;
    bool batch; /* between store_begin and store_commit */
    /* every uid in [uid_first, uid_next) is taken */
    uint32_t uid_first, uid_next;
};

int store_open_as(const char *path, const struct store_schema *schema, struct store **ret_store,
                  struct err *e);
/* Refuses what a newer release made. */
int store_version(struct store *s, const struct store_schema *schema, int *ret_version,
                  struct err *e);
int store_migrate(struct store *s, const struct store_schema *schema, struct err *e);
int store_look(struct store *s, struct err *e); /* PRAGMA quick_check */
/* What SQLite last complained of, in our words. Returns -1. */
int store_failed(struct store *s, struct err *e);

/* A cached statement, ready to be bound; given back by STMT at the end of its scope. */
sqlite3_stmt *sql_get(struct store *s, enum query q, struct err *e);
void sql_done(sqlite3_stmt **st);
#define STMT AUTO(sql_done) sqlite3_stmt *
/* kinds: s const char * (must live until sql_done), i int64_t. */
void sql_bind(sqlite3_stmt *st, const char *kinds, ...);
int sql_step(struct store *s, sqlite3_stmt *st, struct err *e); /* 1: a row, 0: no more */
/* The statement at the one row with that key, to be given back by STMT; NULL when there is none:
 * ERR_NOT_FOUND, no `what`. */
sqlite3_stmt *sql_one(struct store *s, enum query q, const char *what, const char *key,
                      struct err *e);
/* Get, bind, run to the end. Returns how many rows changed. */
int sql_run(struct store *s, struct err *e, enum query q, const char *kinds, ...);
/* The first column of the first row; 0 when there is none. */
int sql_number(struct store *s, const char *text, int64_t *ret_number, struct err *e);

/* One change of several statements, inside a batch or not: op_end(s, r, e) keeps it if r >= 0. */
int op_begin(struct store *s, struct err *e);
int op_end(struct store *s, int r, struct err *e);

/* Rows as the *_COLUMNS of queries.h have them, from column at on. */
int row_user(sqlite3_stmt *st, int at, struct store_user *ret_user, struct err *e);
int row_server(sqlite3_stmt *st, int at, struct store_server *ret_server, struct err *e);
int row_volume(sqlite3_stmt *st, int at, struct store_volume *ret_volume, struct err *e);
int row_disk(sqlite3_stmt *st, int at, struct store_disk *ret_disk, struct err *e);
int row_snapshot(sqlite3_stmt *st, int at, struct store_snapshot *ret_snapshot, struct err *e);
int row_undo(sqlite3_stmt *st, int at, struct store_undo *ret_undo, struct err *e);
bool row_text(sqlite3_stmt *st, int column, char *at, size_t size); /* NULL is "" */
/* The row cannot have been written by us; its id, or its name, is in column at. */
int row_damaged(const char *what, sqlite3_stmt *st, int at, struct err *e);

/* ERR_INPUT when s is not UTF-8 or does not fit into size bytes. */
int store_text_check(const char *what, const char *s, size_t size, struct err *e);
/* Ends an operation that changed one row by its id, or none: then there is none with that id. */
int store_changed(struct store *s, const char *what, const char *id, int changed, struct err *e);

/* "no user ...": ERR_NOT_FOUND with what was asked for made fit to print. */
int store_nobody(const char *what, const char *asked, struct err *e);
/* A UNIQUE constraint was hit for this user: say what of theirs is taken, and by whom. */
int store_taken(struct store *s, const struct store_user *u, struct err *e);
/* Is it the login of a user or the name of a server? 1 or 0. */
int store_name_taken(struct store *s, const char *name, struct err *e);
/* It exists and is not removed. */
int store_server_here(struct store *s, const char *id, struct err *e);

/* NULL for "": who belongs to nobody has no row that it refers to. */
const char *store_ref(const char *id);

/* Parts of an operation, to be called between op_begin and op_end. */
int volume_check(const struct store_volume *v, struct err *e);
int volume_insert(struct store *s, const struct store_volume *v, struct err *e);
/* The same or, if it is taken, the first free of claim-2, claim-3 ... */
int volume_free_claim(struct store *s, char claim[STORE_CLAIM_SIZE], struct err *e);
/* An available static volume becomes that of the server; read again. */
int volume_take(struct store *s, const char *id, const char *server,
                struct store_volume *ret_volume, struct err *e);
int disk_insert(struct store *s, const struct store_disk *d, struct err *e);
