#include "find.h"

#include <string.h>

#include "base/str.h"
#include "dormd/people.h"

static bool is_theirs(struct call *c, const struct store_volume *v)
{
    struct store_account a;
    struct err e;

    return c->uid == 0 || (v->server[0] != '\0' && people_account(c->hub, v->server, &a, &e) == 0 &&
                           str_is(a.user.login, c->self));
}

bool find_volume(struct call *c, const char *claim, struct store_volume *ret)
{
    char shown[80];
    struct err e;

    if (claim == NULL)
        return false;
    if (store_volume_by_claim(c->hub->store, claim, ret, &e) == 0 && is_theirs(c, ret))
        return true;
    (void)err_set(&e, ERR_NOT_FOUND, "there is no volume \"%s\"",
                  str_show(shown, sizeof(shown), claim, strlen(claim)));
    (void)err_hint(&e, "dorm volume list");
    call_fail(c, &e);
    return false;
}

bool find_data(struct call *c, struct store_volume *ret)
{
    const char *name = call_need(c, "name");
    struct store_account a;
    struct err e;

    if (name == NULL)
        return false;
    if (people_server(c->hub, name, &a, &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    *ret = a.volume;
    return true;
}

bool find_snapshot(struct call *c, const struct store_volume *v, struct store_snapshot *ret)
{
    const char *wanted = call_need(c, "snapshot");
    char shown[80];
    struct err e;

    if (wanted == NULL)
        return false;
    if (store_snapshot_by_label(c->hub->store, v->id, wanted, ret, &e) == 0 ||
        (store_snapshot_by_id(c->hub->store, wanted, ret, &e) == 0 && str_is(ret->volume, v->id)))
        return true;
    (void)err_set(&e, ERR_NOT_FOUND, "volume \"%s\" has no snapshot \"%s\"", v->claim,
                  str_show(shown, sizeof(shown), wanted, strlen(wanted)));
    (void)err_hint(&e, "dorm snapshot list");
    call_fail(c, &e);
    return false;
}
