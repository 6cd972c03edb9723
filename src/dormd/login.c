#include "login.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "dormd/people.h"
#include "dormd/tools.h"

enum { TYPED_MAX = STORE_EMAIL_SIZE + STORE_NAME_SIZE };

/*
 * "alice", "alice@school.edu": the owner. "alice.reader": another role of her server, with her
 * password. "alice~old": another server of hers. An e-mail has dots of its own and no role.
 */
static bool split(const char *typed, char *login, size_t login_size, char *role, size_t role_size,
                  char *server, size_t server_size)
{
    const char *tilde = strchr(typed, '~');
    const char *dot = tilde != NULL || strchr(typed, '@') != NULL ? NULL : strchr(typed, '.');
    char copy[TYPED_MAX];

    role[0] = server[0] = '\0';
    if (!str_copy(copy, sizeof(copy), typed))
        return false;
    if (tilde != NULL) {
        copy[tilde - typed] = '\0';
        if (tilde[1] == '\0' || !str_copy(server, server_size, tilde + 1))
            return false;
    }
    if (dot != NULL) {
        copy[dot - typed] = '\0';
        if (dot[1] == '\0' || !str_copy(role, role_size, dot + 1))
            return false;
    }
    return str_copy(login, login_size, copy);
}

/* A program beside the server is its owner's: superuser as the owner, or whatever role they say. */
static int find_beside(struct hub *h, const struct login_ask *ask, struct login_answer *ret,
                       struct err *e)
{
    struct store_account *a = &ret->account;

    ret->role[0] = '\0';
    if (!tools_serve(h->tools, ask->pod))
        return 0;
    if (people_account(h, ask->pod, a, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return str_is(ask->user, a->user.login) || str_copy(ret->role, sizeof(ret->role), ask->user);
}

static bool vouched(const struct login_ask *ask, const char *login)
{
    char name[STORE_LOGIN_SIZE];

    if (ask->pod != NULL)
        return true;
    if (ask->os_uid == UINT64_MAX)
        return false;
    /* root owns the machine, hence every disk on it: a password would protect nothing */
    return ask->os_uid == 0 ||
           (people_os_name((uid_t)ask->os_uid, name, sizeof(name)) && str_is(name, login));
}

/* A server of somebody else is as good as none: its name tells nothing. */
static int find_server(struct hub *h, const char *name, struct store_account *a, struct err *e)
{
    if (name[0] == '\0')
        return store_server_of(h->store, a->user.id, &a->server, e);
    if (store_server_by_name(h->store, name, &a->server, e) < 0)
        return -1;
    return str_is(a->server.owner, a->user.id) ? 0 : err_set(e, ERR_NOT_FOUND, "not theirs");
}

static int find(struct hub *h, const struct login_ask *ask, struct login_answer *ret, struct err *e)
{
    char login[TYPED_MAX], server[STORE_NAME_SIZE];
    struct store_account *a = &ret->account;

    if (!split(ask->user, login, sizeof(login), ret->role, sizeof(ret->role), server,
               sizeof(server)))
        return 0;
    if (people_find(h, login, &a->user, e) < 0 || find_server(h, server, a, e) < 0 ||
        store_volume_of(h->store, a->server.id, &a->volume, e) < 0)
        return e->kind == ERR_NOT_FOUND ? 0 : -1;
    return 1;
}

int login_who(struct hub *h, const struct login_ask *ask, struct login_answer *ret, struct err *e)
{
    struct store_account *a = &ret->account;
    int known;

    *ret = (struct login_answer){.verdict = IPC_WHO_NOBODY};
    known = ask->pod != NULL ? find_beside(h, ask, ret, e) : find(h, ask, ret, e);
    if (known <= 0)
        return known;
    if (people_verifier(h, &a->user, e) < 0)
        return -1;
    ret->verdict = vouched(ask, a->user.login) ? IPC_WHO_TRUSTED : IPC_WHO_PASSWORD;
    if (ret->role[0] == '\0')
        (void)snprintf(ret->role, sizeof(ret->role), "%s", a->server.superuser);
    /* clients that are given no database ask for one named like the user they were told */
    if (str_is(ask->database, ask->user) ||
        !str_copy(ret->database, sizeof(ret->database), ask->database))
        (void)snprintf(ret->database, sizeof(ret->database), "%s", a->server.superuser);
    if (a->user.disabled) {
        (void)err_set(&ret->refusal, ERR_DENIED, "user \"%s\" is disabled", a->user.login);
        (void)err_hint(&ret->refusal, "Ask whoever runs this hub.");
    }
    return 0;
}
