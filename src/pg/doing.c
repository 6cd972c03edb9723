#include "doing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "visit.h"

/*
 * Of several things the smallest number is told. A session whose state is not tracked has a
 * transaction when it holds the lock on its own; prepared transactions are on the disk, and sleep
 * does them no harm. Workers of PostgreSQL itself that live for ever are no work; of others, what
 * they do counts, not that they are there.
 */
static const char question[] =
    "SELECT pg_catalog.concat(coalesce((SELECT min(CASE "
    "WHEN a.backend_type = 'walsender' THEN 3 "
    "WHEN a.backend_type = 'client backend' AND a.state = 'idle' THEN NULL "
    "WHEN a.backend_type = 'client backend' AND a.state LIKE 'idle in transaction%' THEN 2 "
    "WHEN a.backend_type = 'client backend' AND a.state = 'disabled' THEN "
    "CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.locktype = "
    "'virtualxid' AND l.mode = 'ExclusiveLock') THEN 2 END "
    "WHEN a.backend_type = 'client backend' THEN 1 "
    "WHEN a.backend_type = 'autovacuum worker' THEN 4 "
    "WHEN a.backend_type = 'parallel worker' OR a.backend_type LIKE 'logical replication % worker' "
    "THEN 5 "
    "WHEN a.backend_type IN ('autovacuum launcher', 'logical replication launcher', 'background "
    "writer', 'checkpointer', 'walwriter', 'archiver', 'walsummarizer', 'io worker') THEN NULL "
    "WHEN a.state = 'active' OR a.xact_start IS NOT NULL THEN 5 END) "
    "FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid()), 0), ' ', "
    "(coalesce(pg_catalog.current_setting('idle_session_timeout', true), '0') <> '0' OR EXISTS "
    "(SELECT FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c "
    "WHERE c LIKE 'idle_session_timeout=%' AND c !~ '=0+[a-z]*$'))::int)";

static const char *const words[PG_DOING_N] = {
#define X(name, text) [PG_DOING_##name] = text,
    PG_DOINGS(X)
#undef X
};

bool pg_doing_parse(const char *text, enum pg_doing *ret_doing, bool *ret_timed)
{
    if (strlen(text) != 3 || text[0] < '0' || text[0] >= '0' + PG_DOING_N || text[1] != ' ' ||
        (text[2] != '0' && text[2] != '1'))
        return false;
    *ret_doing = (enum pg_doing)(text[0] - '0');
    *ret_timed = text[2] == '1';
    return true;
}

int pg_doing(const struct pg_dial *way, const char *superuser, uint64_t deadline,
             enum pg_doing *ret_doing, bool *ret_timed, struct err *e)
{
    struct pg_client c;
    char text[16];
    int r;

    if (pg_visit(way, superuser, NULL, deadline, &c, e) < 0)
        return -1;
    r = pg_client_exec(&c, "SET lock_timeout TO '1s'; SET statement_timeout TO '2s'", e);
    if (r == 0)
        r = pg_client_value(&c, question, text, sizeof(text), e);
    pg_client_close(&c);
    if (r == 0 && !pg_doing_parse(text, ret_doing, ret_timed))
        r = err_set(e, ERR_PEER, "the server says nothing sensible of what it does");
    return r;
}

const char *pg_doing_words(enum pg_doing doing)
{
    assert(doing < PG_DOING_N);
    return words[doing];
}
