/* A server whose own owner cannot log in, put right in single-user mode. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#include "client.h"
#include "mend.h"
#include "name.h"
#include "place.h"

#define SAYS "dorm mends " /* before each of the words */

/* Roles and databases both, so that nobody has to ask which of them it was. */
#define BARS "LIKE '%\\_preload\\_libraries=%'"

int pg_mend_argv(const struct pg_server *s, struct pg_words *ret, struct err *e)
{
    static const char *const off[] = {
        "shared_preload_libraries=",
        "session_preload_libraries=",
        "local_preload_libraries=",
        "archive_mode=off",
        "default_transaction_read_only=off",
        "log_min_messages=fatal", /* what is there already cannot be made: no news */
    };
    struct pg_words server, w = {0};

    *ret = w;
    if (pg_server_argv(s, &server, e) < 0)
        return -1;
    for (size_t i = 0; i < server.n; i++) {
        pg_words_add(&w, mem_copy(server.at[i]));
        if (i == 0)
            pg_words_add(&w, mem_copy("--single"));
    }
    pg_words_done(&server);
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        pg_words_add(&w, mem_copy("-c"));
        pg_words_add(&w, mem_copy(off[i]));
    }
    pg_words_add(&w, mem_copy("template1"));
    *ret = w;
    return 0;
}

/* Each line is a statement, and one that fails is followed by the next. %s of each is the role. */
static const char *const lines[] = {
    "SELECT '" SAYS "role' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_authid WHERE rolname = %L "
    "AND rolsuper AND rolcanlogin)",
    "SELECT '" SAYS "database' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname "
    "= %L)",
    "SELECT '" SAYS "closed' WHERE EXISTS (SELECT FROM pg_catalog.pg_database WHERE NOT "
    "datallowconn AND datname IN (%L, 'postgres', 'template1'))",
    "SELECT '" SAYS "libraries' WHERE EXISTS (SELECT FROM pg_catalog.pg_db_role_setting WHERE "
    "pg_catalog.array_to_string(setconfig, ' ') " BARS ")",
    /* the first superuser owns what is not anybody's: without it little works */
    "INSERT INTO pg_catalog.pg_authid (oid, rolname, rolsuper, rolinherit, rolcreaterole, "
    "rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit) SELECT 10, %L, true, "
    "true, true, true, true, true, true, -1 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_authid "
    "WHERE oid = 10 OR rolname = %L)",
    "CREATE ROLE %I",
    "ALTER ROLE %I LOGIN SUPERUSER",
    "CREATE DATABASE %I TEMPLATE template0 OWNER %I",
    "UPDATE pg_catalog.pg_database SET datallowconn = true WHERE datname IN (%L, 'postgres', "
    "'template1')",
    "DELETE FROM pg_catalog.pg_db_role_setting WHERE pg_catalog.array_length(setconfig, 1) = 1 "
    "AND setconfig[1] " BARS,
    "UPDATE pg_catalog.pg_db_role_setting SET setconfig = ARRAY(SELECT x FROM "
    "pg_catalog.unnest(setconfig) x WHERE NOT x " BARS ") WHERE "
    "pg_catalog.array_to_string(setconfig, ' ') " BARS,
};

static bool put_line(struct buf *b, const char *line, const char *name)
{
    bool fits = true;

    for (const char *p = line; *p != '\0' && fits; p++)
        if (p[0] == '%' && (p[1] == 'L' || p[1] == 'I'))
            fits = *++p == 'L' ? pg_put_literal(b, name) : pg_put_ident(b, name);
        else
            fits = buf_put(b, p, 1);
    return fits && buf_put(b, "\n", 1);
}

int pg_mend_sql(const char *superuser, struct buf *ret, struct err *e)
{
    if (pg_name_check(superuser, e) < 0)
        return -1;
    if (strchr(superuser, '\n') != NULL)
        return err_set(e, ERR_INPUT, "a role with a line break in its name cannot be mended");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!put_line(ret, lines[i], superuser))
            return err_set(e, ERR_INTERNAL, "a statement is too long");
    return 0;
}

bool pg_mend_said(const char *superuser, const void *printed, size_t len, struct pg_mended *m)
{
    static const struct {
        const char *word, *before, *after; /* the name stands between, if there is an after */
    } words[] = {
        {"role\"", "role \"", "\" was no superuser who can log in, and is one again"},
        {"database\"", "database \"", "\" was gone: there is an empty one"},
        {"closed\"", "databases that let nobody in take connections again", NULL},
        {"libraries\"", "..._preload_libraries of roles and databases were unset", NULL},
    };
    bool any = false;

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char looked_for[64];
        size_t n = strlen(m->said);

        (void)snprintf(looked_for, sizeof(looked_for), "= \"" SAYS "%s", words[i].word);
        if (memmem(printed, len, looked_for, strlen(looked_for)) == NULL)
            continue;
        any = true;
        (void)snprintf(m->said + n, sizeof(m->said) - n, "%s%s%s%s", n > 0 ? "; " : "",
                       words[i].before, words[i].after == NULL ? "" : superuser,
                       words[i].after == NULL ? "" : words[i].after);
    }
    return any;
}
