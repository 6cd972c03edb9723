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

/*
 * Volumes may belong to nobody, lie where the operator says, be used by several servers, have
 * snapshots; and their claims are names, so two alike that the hub file allowed get numbers. A name
 * that a number would not make free or would make too long ends with the volume's id instead.
 */
static const char second[] =
    "ALTER TABLE volumes RENAME TO old_volumes;"
    "CREATE INDEX old_claims ON old_volumes (claim);"
    "CREATE TABLE volumes ("
    "    id TEXT PRIMARY KEY CHECK (length(id) = 13),"
    "    server TEXT REFERENCES servers (id),"
    "    claim TEXT NOT NULL CHECK (length(claim) BETWEEN 1 AND 253),"
    "    class TEXT NOT NULL CHECK (length(class) <= 253),"
    "    template TEXT NOT NULL,"
    "    path TEXT NOT NULL CHECK (path = '' OR (path LIKE '/%' AND length(path) <= 1023)),"
    "    moving_to TEXT NOT NULL CHECK (length(moving_to) <= 253),"
    "    component TEXT NOT NULL CHECK (length(component) <= 63),"
    "    capacity INTEGER NOT NULL CHECK (capacity > 0),"
    "    modes INTEGER NOT NULL CHECK (modes BETWEEN 1 AND 15),"
    "    phase TEXT NOT NULL CHECK (phase IN ('pending', 'bound', 'released', 'available')),"
    "    created INTEGER NOT NULL,"
    "    removed_at INTEGER NOT NULL CHECK (removed_at >= 0),"
    "    CHECK (phase <> 'available' OR (server IS NULL AND path <> ''))"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO volumes"
    "    SELECT id, server,"
    "        CASE WHEN claim = '' THEN 'postgres-' || id"
    "            WHEN removed_at <> 0 OR place = 1 THEN claim"
    "            WHEN length(CAST(claim AS BLOB)) <= 230 AND NOT EXISTS ("
    "                SELECT 1 FROM old_volumes other"
    "                WHERE other.claim = o.claim || '-' || o.place AND other.removed_at = 0)"
    "                THEN claim || '-' || place"
    "            ELSE substr(claim, 1, 57) || '-' || id END,"
    "        class, template, '', '', 'postgres', capacity, 1, phase, created, removed_at"
    "    FROM (SELECT *, row_number() OVER ("
    "        PARTITION BY claim, removed_at = 0 ORDER BY created, id) AS place"
    "        FROM old_volumes) o;"
    "DROP TABLE old_volumes;"
    "CREATE INDEX volumes_server ON volumes (server);"
    "CREATE UNIQUE INDEX volumes_claim ON volumes (claim) WHERE removed_at = 0;"
    "CREATE INDEX volumes_removed_claim ON volumes (claim, removed_at) WHERE removed_at <> 0;"
    "CREATE UNIQUE INDEX volumes_path ON volumes (path) WHERE path <> '' AND removed_at = 0;"
    "CREATE INDEX volumes_removed ON volumes (removed_at) WHERE removed_at <> 0;"

    "CREATE TABLE disks ("
    "    server TEXT NOT NULL REFERENCES servers (id),"
    "    volume TEXT NOT NULL REFERENCES volumes (id),"
    "    place INTEGER NOT NULL CHECK (place BETWEEN 0 AND 4294967295),"
    "    mount TEXT NOT NULL CHECK (mount = '' OR (mount LIKE '/%' AND length(mount) <= 255)),"
    "    read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),"
    "    PRIMARY KEY (server, place, volume),"
    "    CHECK ((place = 0) = (mount = ''))"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO disks SELECT server, id, 0, '', 0 FROM volumes;"
    "CREATE UNIQUE INDEX disks_data ON disks (server) WHERE place = 0;"
    "CREATE UNIQUE INDEX disks_volume ON disks (volume, server);"

    "CREATE TABLE snapshots ("
    "    number INTEGER PRIMARY KEY,"
    "    id TEXT NOT NULL UNIQUE CHECK (length(id) = 13),"
    "    volume TEXT NOT NULL REFERENCES volumes (id),"
    "    class TEXT NOT NULL CHECK (length(class) <= 253),"
    "    label TEXT NOT NULL CHECK (length(label) <= 63),"
    "    why TEXT NOT NULL CHECK (why IN ('by hand', 'by time', 'before reset', 'before restore',"
    "        'before resize', 'before delete', 'before move', 'before upgrade', 'from backup')),"
    "    capacity INTEGER NOT NULL CHECK (capacity > 0),"
    "    extents INTEGER NOT NULL CHECK (extents >= 0),"
    "    took_us INTEGER NOT NULL CHECK (took_us >= 0),"
    "    running INTEGER NOT NULL CHECK (running IN (0, 1)),"
    "    taken_at INTEGER NOT NULL,"
    "    keep_until INTEGER NOT NULL CHECK (keep_until >= 0)"
    ") STRICT;"
    "CREATE INDEX snapshots_volume ON snapshots (volume, taken_at);"
    "CREATE INDEX snapshots_label ON snapshots (volume, label, taken_at) WHERE label <> '';"
    "CREATE INDEX snapshots_taken ON snapshots (taken_at);"

    "CREATE TABLE undos ("
    "    number INTEGER PRIMARY KEY AUTOINCREMENT,"
    "    deed TEXT NOT NULL CHECK (deed IN ('reset', 'restore', 'resize', 'delete', 'move',"
    "        'upgrade')),"
    "    server TEXT REFERENCES servers (id),"
    "    volume TEXT REFERENCES volumes (id),"
    "    snapshot TEXT REFERENCES snapshots (id),"
    "    text TEXT NOT NULL CHECK (length(text) BETWEEN 1 AND 255),"
    "    before TEXT NOT NULL CHECK (length(before) <= 253),"
    "    done_at INTEGER NOT NULL,"
    "    until INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX undos_server ON undos (server);"
    "CREATE INDEX undos_volume ON undos (volume);"
    "CREATE INDEX undos_snapshot ON undos (snapshot);"
    "CREATE INDEX undos_until ON undos (until);";

static const char *const steps[] = {first, second};

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
