#include "barred.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "dormd/people.h"

static bool is_absent(const struct barred *b)
{
    return str_is(b->sqlstate, "3D000");
}

int barred_mend(struct hub *h, const struct barred *b, struct fleet_waiter *w, struct err *e)
{
    struct store_account a;

    if (people_account(h, b->server, &a, e) < 0)
        return -1;
    /* other roles and databases are theirs to look after */
    if (!str_is(b->role, a.server.superuser))
        return err_set(e, ERR_INPUT, "it is not the owner");
    if (is_absent(b) && !str_is(b->database, a.server.superuser))
        return err_set(e, ERR_NOT_FOUND, "it is another database");
    return fleet_mend(h->fleet, b->server, w, e);
}

bool barred_lowly(struct hub *h, const char *server, const char *role)
{
    struct store_account a;
    struct err ignored;

    return people_account(h, server, &a, &ignored) == 0 && str_is(role, a.server.superuser) &&
           fleet_mend_later(h->fleet, server);
}

void barred_explain(struct hub *h, const struct barred *b, const struct err *tried, struct err *ret)
{
    struct store_account a;
    struct err ignored;

    (void)err_set(ret, tried->kind, "%s", b->message);
    if (b->hint[0] != '\0' || people_account(h, b->server, &a, &ignored) < 0) {
        (void)err_hint(ret, "%s", b->hint);
        return;
    }
    if (tried->kind == ERR_NOT_FOUND)
        (void)err_hint(ret, "psql -d %s is your own database, and \\l lists all.",
                       a.server.superuser);
    else if (tried->kind == ERR_INPUT)
        (void)err_hint(ret, "Log in as %s to put it right.", a.server.superuser);
    else if (tried->kind == ERR_LIMIT)
        (void)err_hint(ret,
                       "another database may still work: psql -d postgres; or go back to a "
                       "snapshot: dorm snapshot list %s; or begin anew: dorm server reset %s",
                       a.server.name, a.server.name);
    else
        (void)err_hint(ret,
                       "who is still in it can put it right; or let it sleep, and it is looked "
                       "after when you connect again: dorm server stop %s",
                       a.server.name);
}
