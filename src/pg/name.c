#include "name.h"

#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"

#include "client.h"
#include "template.h"

/* The bootstrap superuser's OID in every PostgreSQL. */
#define OWNER_OID "10"

int pg_name_check(const char *name, struct err *e)
{
    static const char *const taken[] = {PG_OWNER_ROLE, PG_SETUP_ROLE, "public", "none"};
    char shown[200];
    size_t len = strlen(name);

    str_show(shown, sizeof(shown), name, len);
    if (len == 0 || len > PG_NAME_MAX)
        return err_set(e, ERR_INPUT,
                       "\"%s\" cannot be the name of a superuser: it has %zu bytes, "
                       "not 1 to %d",
                       shown, len, PG_NAME_MAX);
    if (!str_utf8(name, len))
        return err_set(e, ERR_INPUT, "\"%s\" cannot be the name of a superuser: it is not UTF-8",
                       shown);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (str_is(name, taken[i]))
            return err_set(e, ERR_INPUT, "\"%s\" cannot be the name of a superuser: it is reserved",
                           shown);
    if (str_starts(name, "pg_"))
        return err_set(e, ERR_INPUT,
                       "\"%s\" cannot be the name of a superuser: PostgreSQL keeps "
                       "names that begin with pg_ for itself",
                       shown);
    return 0;
}

static int exec_buf(struct pg_client *c, struct buf *b, bool fits, struct err *e)
{
    int result = fits && buf_put_u8(b, 0) ? pg_client_exec(c, (const char *)buf_data(b), e)
                                          : err_set(e, ERR_INTERNAL, "a statement is too long");

    buf_done(b);
    return result;
}

/*
 * One Query message is one transaction unless it says otherwise. A session cannot drop its own
 * role, nor rename the one it is: hence it starts as the setup role and ends as the owner.
 */
static int rename_all(struct pg_client *c, const char *name, bool database, struct err *e)
{
    struct buf b;
    bool fits;

    buf_init(&b, 4096);
    fits = buf_printf(&b, "ALTER ROLE " PG_OWNER_ROLE " RENAME TO ") && pg_put_ident(&b, name);
    if (database)
        fits = fits && buf_printf(&b, "; ALTER DATABASE " PG_OWNER_ROLE " RENAME TO ") &&
               pg_put_ident(&b, name);
    fits = fits && buf_printf(&b, "; SET SESSION AUTHORIZATION ") && pg_put_ident(&b, name) &&
           buf_printf(&b, "; DROP ROLE " PG_SETUP_ROLE);
    return exec_buf(c, &b, fits, e);
}

/* The database's own name is taken by a dataset or is "postgres": the user has that one already. */
static int rename_role(struct pg_client *c, const char *name, struct err *e)
{
    /* before, not after: once the setup role is gone nobody would come back to finish */
    if (pg_client_exec(c, "DROP DATABASE IF EXISTS " PG_OWNER_ROLE, e) < 0)
        return -1;
    return rename_all(c, name, false, e);
}

/* A user may have made a role with our name: what counts is what the first superuser is called. */
static bool is_named(struct pg_client *c)
{
    struct err ignored;
    char role[256];

    return pg_client_value(c, "SELECT rolname FROM pg_catalog.pg_authid WHERE oid = " OWNER_OID,
                           role, sizeof(role), &ignored) == 0 &&
           !str_is(role, PG_OWNER_ROLE);
}

int pg_name_owner(int fd, const char *name, uint64_t deadline, struct err *e)
{
    struct pg_client c;
    int result;

    if (pg_name_check(name, e) < 0) {
        (void)close(fd);
        return -1;
    }
    if (pg_client_start(&c, fd, PG_SETUP_ROLE, "postgres", deadline, e) < 0) {
        if (str_is(c.sqlstate, "28000") || str_is(c.sqlstate, "28P01"))
            return 0;
        return err_prefix(e, "could not name the owner of a new server");
    }
    result = rename_all(&c, name, true, e) == 0 ? 1 : -1;
    if (result < 0 && str_is(c.sqlstate, "42P04"))
        result = rename_role(&c, name, e) == 0 ? 1 : -1;
    if (result < 0 && (str_is(c.sqlstate, "42704") || str_is(c.sqlstate, "42710")) && is_named(&c))
        result = 0;
    if (result < 0)
        (void)err_prefix(e, "could not name the owner of a new server");
    pg_client_close(&c);
    return result;
}
