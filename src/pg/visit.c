#include "visit.h"

#include <string.h>

#include "base/str.h"

/* SET ROLE first: a role can be told to become another one when it logs in. */
static const char prelude[] = "SET ROLE NONE; "
                              "SET search_path TO pg_catalog, pg_temp; "
                              "SET default_transaction_read_only TO off; "
                              "SET default_transaction_isolation TO 'read committed'; "
                              "SET client_encoding TO 'SQL_ASCII'; "
                              "SET statement_timeout TO 0; "
                              "SET lock_timeout TO 0";

static int visit_one(const struct pg_dial *way, const char *role, const char *database,
                     uint64_t deadline, struct pg_client *ret, struct err *e)
{
    int fd;

    *ret = (struct pg_client){.fd = -1};
    fd = way->dial(way->of, e);
    if (fd < 0)
        return -1;
    if (pg_client_start(ret, fd, role, database, deadline, e) < 0)
        return -1;
    if (pg_client_exec(ret, prelude, e) == 0)
        return 0;
    pg_client_close(ret);
    return -1;
}

/* The role may get in elsewhere: this database is not there, takes no connections, is broken. */
static bool is_of_database(const char *sqlstate)
{
    return sqlstate[0] != '\0' && !str_starts(sqlstate, "28") && !str_starts(sqlstate, "57P") &&
           !str_starts(sqlstate, "53300");
}

int pg_visit(const struct pg_dial *way, const char *role, const char *database, uint64_t deadline,
             struct pg_client *ret, struct err *e)
{
    const char *const tries[] = {role, "postgres", "template1"};

    if (database != NULL)
        return visit_one(way, role, database, deadline, ret, e);
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        if (visit_one(way, role, tries[i], deadline, ret, e) == 0)
            return 0;
        if (!is_of_database(ret->sqlstate))
            return -1;
    }
    return -1;
}
