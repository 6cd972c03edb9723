#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#include "store-int.h"

/* Texts are checked here a second time: a record is also read by releases that did not write it. */
static const char first[] =
    "CREATE TABLE settings ("
    "    key TEXT PRIMARY KEY CHECK (key <> ''),"
    "    value TEXT NOT NULL"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE users ("
    "    id TEXT PRIMARY KEY CHECK (length(id) = 13),"
    "    login TEXT NOT NULL CHECK (length(login) BETWEEN 1 AND 31),"
    "    email TEXT NOT NULL CHECK (length(email) <= 254),"
    "    display TEXT NOT NULL,"
    "    verifier TEXT NOT NULL,"
    "    counter INTEGER NOT NULL,"
    "    role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'admin', 'service')),"
    "    uid INTEGER NOT NULL UNIQUE CHECK (uid BETWEEN 1 AND 4294967294),"
    "    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),"
    "    created INTEGER NOT NULL,"
    "    removed_at INTEGER NOT NULL CHECK (removed_at >= 0)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX users_login ON users (login) WHERE removed_at = 0;"
    "CREATE UNIQUE INDEX users_email ON users (email) WHERE email <> '' AND removed_at = 0;"
    "CREATE INDEX users_removed ON users (removed_at) WHERE removed_at <> 0;"
    "CREATE INDEX users_removed_login ON users (login, removed_at) WHERE removed_at <> 0;"

    "CREATE TABLE servers ("
    "    id TEXT PRIMARY KEY CHECK (length(id) = 13),"
    "    owner TEXT NOT NULL REFERENCES users (id),"
    "    name TEXT NOT NULL CHECK (name <> ''),"
    "    kind TEXT NOT NULL CHECK (kind IN ('personal', 'shared')),"
    "    image INTEGER NOT NULL CHECK (image > 0),"
    "    superuser TEXT NOT NULL CHECK (superuser <> ''),"
    "    named INTEGER NOT NULL CHECK (named IN (0, 1)),"
    "    created INTEGER NOT NULL,"
    "    last_awake INTEGER NOT NULL,"
    "    removed_at INTEGER NOT NULL CHECK (removed_at >= 0)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX servers_owner ON servers (owner);"
    "CREATE UNIQUE INDEX servers_name ON servers (name) WHERE removed_at = 0;"
    "CREATE UNIQUE INDEX servers_personal ON servers (owner)"
    "    WHERE kind = 'personal' AND removed_at = 0;"

    "CREATE TABLE volumes ("
    "    id TEXT PRIMARY KEY CHECK (length(id) = 13),"
    "    server TEXT NOT NULL REFERENCES servers (id),"
    "    claim TEXT NOT NULL,"
    "    class TEXT NOT NULL,"
    "    template TEXT NOT NULL,"
    "    capacity INTEGER NOT NULL CHECK (capacity > 0),"
    "    phase TEXT NOT NULL CHECK (phase IN ('pending', 'bound', 'released')),"
    "    created INTEGER NOT NULL,"
    "    removed_at INTEGER NOT NULL CHECK (removed_at >= 0)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX volumes_server ON volumes (server);";

static const char *const steps[] = {first};

const struct store_schema store_schema = {steps, sizeof(steps) / sizeof(steps[0])};

static int exec(struct store *s, const char *text, struct err *e)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(s, e);
}

/* One transaction: a crash on the way leaves the older record, which is then tried again. */
static int take_steps(struct store *s, const struct store_schema *schema, int from, struct err *e)
{
    char mark[96];
    int64_t strays = 0;

    if (exec(s, "BEGIN IMMEDIATE", e) < 0)
        return -1;
    for (int i = from; i < schema->n; i++)
        if (exec(s, schema->steps[i], e) < 0)
            return err_prefix(e, "step %d", i + 1);
    (void)snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   STORE_APPLICATION_ID, schema->n);
    if (exec(s, mark, e) < 0)
        return -1;
    if (sql_number(s, "SELECT count(*) FROM pragma_foreign_key_check", &strays, e) < 0)
        return -1;
    if (strays != 0)
        return err_set(e, ERR_INTERNAL, "%lld rows would belong to nothing", (long long)strays);
    return exec(s, "COMMIT", e);
}

int store_version(struct store *s, const struct store_schema *schema, int *ret_version,
                  struct err *e)
{
    int64_t version = 0;

    if (sql_number(s, "PRAGMA user_version", &version, e) < 0)
        return -1;
    if (version > schema->n) {
        (void)err_set(e, ERR_MISSING,
                      "the record \"%s\" was made by a newer dormd: its version is %lld, this one "
                      "knows %d",
                      s->path, (long long)version, schema->n);
        return err_hint(e, "install the newer release again; the record has not been touched");
    }
    *ret_version = (int)version;
    return 0;
}

int store_migrate(struct store *s, const struct store_schema *schema, struct err *e)
{
    AUTO_FREE char *copy = NULL;
    int version = 0;

    if (store_version(s, schema, &version, e) < 0)
        return -1;
    if (version == schema->n)
        return 0;
    if (version > 0) {
        copy = mem_printf("%s.v%d", s->path, version);
        /* one is there only if an earlier attempt got no further than this */
        if (unlink(copy) < 0 && errno != ENOENT)
            return err_set_os(e, errno, "could not replace \"%s\"", copy);
        if (store_backup(s, copy, e) < 0)
            return -1;
    }
    if (take_steps(s, schema, version, e) < 0) {
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        return err_prefix(e, "could not bring the record \"%s\" from version %d to %d", s->path,
                          version, schema->n);
    }
    return 0;
}
