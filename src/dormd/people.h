/* people.h: from names to users and their servers, and the passwords that are never stored. */
#pragma once

#include "base/err.h"
#include "dormd/disks.h"
#include "dormd/fleet.h"
#include "dormd/hub.h"
#include "store/store.h"

enum { PASSWORD_SIZE = 21 };

/* By login or e-mail. ERR_NOT_FOUND with the way to the list. */
int people_find(struct hub *h, const char *name, struct store_user *ret_user, struct err *e);
int people_server(struct hub *h, const char *name, struct store_account *ret, struct err *e);

/*
 * The generated password of a user: derived from the hub's key, so that ten thousand of them cost
 * nothing until each is used, and nobody can read them out of the record.
 */
void people_password(const struct hub *h, const struct store_user *u, char ret[PASSWORD_SIZE]);
/*
 * The verifier of the user's password, made at the first need and kept from then on. It gets into
 * the record a little later: a first login must not wait for the disk.
 */
int people_verifier(struct hub *h, struct store_user *u, struct err *e);
/* Write what waits to be written. */
void people_flush(struct hub *h);
/* A password of their own. */
int people_set_password(struct hub *h, struct store_user *u, const char *password, struct err *e);
/* Another generated one. */
int people_renew_password(struct hub *h, struct store_user *u, struct err *e);

int people_add(struct hub *h, const char *login, const char *email, const char *display,
               enum store_role role, struct store_account *ret, struct err *e);

/* What the fleet must know to wake it. Borrows from account and the hub file. */
struct people_want {
    struct fleet_want want;
    const char **parameters; /* owned */
    struct disks disks;
};
/* Is what is in the server gone when it sleeps? */
bool people_ephemeral(const struct hub *h, const struct store_account *a);
int people_want_init(struct people_want *w, struct hub *h, const struct store_account *a,
                     struct err *e);
void people_want_done(struct people_want *w);
/* Everything about a server by its id, removed or not. */
int people_account(struct hub *h, const char *server_id, struct store_account *ret, struct err *e);

/* The name of an OS user in /etc/passwd. False: none. */
bool people_os_name(uid_t uid, char *at, size_t size);

/* The words to type, for a user. */
char *people_psql_line(const struct hub *h, const struct store_account *a, const char *passfile);
