#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#include "place.h"

#define WAL_SEGMENT_MB 16

int pg_initdb_argv(const struct pg_install *install, struct pg_words *ret, struct err *e)
{
    const char *const words[] = {
        "-D", PG_DATA, "--data-checksums", "--encoding=UTF8",
        /* order by code point: the same on every machine, so indexes survive a move */
        "--locale=C.UTF-8", "--auth=trust", ("--username=" PG_OWNER_ROLE), "--no-instructions",
        /* whoever seals the template syncs all of it at once */
        "--no-sync"};
    struct pg_words w = {0};

    if (install->bin[0] != '/')
        return err_set(e, ERR_INTERNAL, "no directory of PostgreSQL is given");
    pg_words_add(&w, mem_printf("%s/initdb", install->bin));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        pg_words_add(&w, mem_copy(words[i]));
    *ret = w;
    return 0;
}

const char *pg_user_conf_text(void)
{
    return "# Your own settings. They are read after the hub's defaults, so they win over them; "
           "what\n"
           "# the hub must decide itself (directories, sockets, memory) is on the command line.\n"
           "# `SELECT name, setting, source FROM pg_settings` shows where each comes from.\n"
           "# ALTER SYSTEM writes to postgresql.auto.conf, which wins over this file.\n";
}

static int dial_as(const struct pg_dial *dial, const char *user, const char *database,
                   uint64_t deadline, struct pg_client *ret, struct err *e)
{
    int fd = dial->dial(dial->of, e);

    if (fd < 0)
        return -1;
    return pg_client_start(ret, fd, user, database, deadline, e);
}

/* It is fine if what the statement makes is there already: the step may be a repeated one. */
static int exec_once(struct pg_client *c, const char *sql, const char *there, struct err *e)
{
    if (pg_client_exec(c, sql, e) == 0 || str_is(c->sqlstate, there))
        return 0;
    return -1;
}

int pg_template_fill(const struct pg_dial *dial, uint64_t deadline, struct err *e)
{
    struct pg_client c;
    int result;

    if (dial_as(dial, PG_OWNER_ROLE, "postgres", deadline, &c, e) < 0)
        return err_prefix(e, "could not prepare the template");
    result = exec_once(&c, "CREATE ROLE " PG_SETUP_ROLE " SUPERUSER LOGIN", "42710", e);
    if (result == 0)
        result =
            exec_once(&c, "CREATE DATABASE " PG_OWNER_ROLE " OWNER " PG_OWNER_ROLE, "42P04", e);
    pg_client_close(&c);
    return result < 0 ? err_prefix(e, "could not prepare the template") : 0;
}

/* Frozen, analyzed and with every hint bit set: a clone that only reads writes nothing. */
static int settle(const struct pg_dial *dial, const char *database, uint64_t deadline,
                  struct err *e)
{
    struct pg_client c;
    char shown[200];
    int result;

    str_show(shown, sizeof(shown), database, strlen(database));
    if (dial_as(dial, PG_SETUP_ROLE, database, deadline, &c, e) < 0)
        return err_prefix(e, "could not connect to database \"%s\"", shown);
    result = pg_client_exec(&c, "VACUUM (FREEZE, ANALYZE)", e);
    pg_client_close(&c);
    return result < 0 ? err_prefix(e, "could not vacuum database \"%s\"", shown) : 0;
}

static int settle_all(const struct pg_dial *dial, struct pg_client *c, struct err *e)
{
    for (unsigned i = 0;; i++) {
        char sql[160], name[256];

        (void)snprintf(sql, sizeof(sql),
                       "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn "
                       "ORDER BY oid OFFSET %u LIMIT 1",
                       i);
        if (pg_client_value(c, sql, name, sizeof(name), e) < 0)
            return e->kind == ERR_NOT_FOUND ? 0 : -1;
        if (settle(dial, name, c->deadline, e) < 0)
            return -1;
    }
}

/*
 * Segments that exist are written again in place; one that must be created on a full volume is a
 * PANIC. So all of min_wal_size is used once here, for the checkpoint to recycle.
 */
static int preallocate(struct pg_client *c, const struct pg_server *s, struct err *e)
{
    char value[32];
    long segments;

    pg_setting_value(pg_setting_find("min_wal_size", s->install->major), s, value, sizeof(value));
    segments = strtol(value, NULL, 10) / WAL_SEGMENT_MB;
    for (long i = 0; i < segments; i++)
        if (pg_client_exec(c, "SELECT pg_create_restore_point('sealed'); SELECT pg_switch_wal()",
                           e) < 0)
            return err_prefix(e, "could not preallocate WAL");
    return 0;
}

int pg_template_seal(const struct pg_dial *dial, const struct pg_server *s, uint64_t deadline,
                     struct err *e)
{
    struct pg_client c;
    int result;

    if (dial_as(dial, PG_SETUP_ROLE, "postgres", deadline, &c, e) < 0)
        return err_prefix(e, "could not seal the template");
    result = settle_all(dial, &c, e);
    if (result == 0)
        result = preallocate(&c, s, e);
    if (result == 0)
        result = pg_client_exec(&c, "CHECKPOINT", e);
    pg_client_close(&c);
    return result < 0 ? err_prefix(e, "could not seal the template") : 0;
}

char *pg_template_name(char *at, size_t size, const struct pg_install *install, uint64_t capacity,
                       unsigned generation)
{
    (void)snprintf(at, size, "pg%d-%llu-%u", install->major, (unsigned long long)capacity,
                   generation);
    return at;
}
