#include "demo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "dormd/people.h"
#include "store/store.h"

#define DEMO_LOGIN    "demo"
#define DEMO_PASSFILE "demo.pgpass"

int demo_first_time(struct hub *h, struct err *e)
{
    char made[8];
    struct store_account account;
    int known = store_setting_get(h->store, "demo.made", made, sizeof(made), e);

    if (known != 0)
        return known < 0 ? -1 : 0;
    if (people_add(h, DEMO_LOGIN, "", "Demo", STORE_USER, &account, e) < 0 &&
        e->kind != ERR_EXISTS) {
        if (e->kind != ERR_CONFIG)
            return -1;
        log_err(NULL, LOG_WARN_, e); /* a hub whose volumes are made by hand has none for it */
        return 0;
    }
    return store_setting_set(h->store, "demo.made", "yes", e);
}

bool demo_is_there(struct hub *h)
{
    struct store_user user;
    struct err e;

    return store_user_by_login(h->store, DEMO_LOGIN, &user, &e) == 0;
}

char *demo_passfile(struct hub *h, uid_t reader, struct err *e)
{
    struct store_user user;
    char password[PASSWORD_SIZE];
    AUTO_FREE char *line = NULL;
    int r;

    if (store_user_by_login(h->store, DEMO_LOGIN, &user, e) < 0 || user.counter == 0) {
        (void)unlinkat(h->state_fd, DEMO_PASSFILE, 0);
        return NULL;
    }
    people_password(h, &user, password);
    line = mem_printf("*:%u:*:" DEMO_LOGIN ":%s\n", h->port, password);
    r = fd_write_file(h->state_fd, DEMO_PASSFILE, 0600, reader, (gid_t)-1, line, strlen(line), e);
    explicit_bzero(password, sizeof(password));
    explicit_bzero(line, strlen(line));
    return r < 0 ? NULL : mem_printf("%s/" DEMO_PASSFILE, h->state_dir);
}
