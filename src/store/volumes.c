/* volumes.c: volumes found and listed, and names for their claims. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

static int one_volume(struct store *s, enum query q, const char *what, const char *key,
                      struct store_volume *ret_volume, struct err *e)
{
    STMT st = sql_one(s, q, what, key, e);

    return st == NULL ? -1 : row_volume(st, 0, ret_volume, e);
}

int store_volume_by_id(struct store *s, const char *id, struct store_volume *ret_volume,
                       struct err *e)
{
    return one_volume(s, Q_VOLUME_BY_ID, "volume with the id", id, ret_volume, e);
}

int store_volume_of(struct store *s, const char *server_id, struct store_volume *ret_volume,
                    struct err *e)
{
    return one_volume(s, Q_VOLUME_OF, "volume of the server", server_id, ret_volume, e);
}

int store_volumes_of_user(struct store *s, const char *user_id, store_volume_fn fn, void *arg,
                          struct err *e)
{
    STMT st = sql_get(s, Q_VOLUMES_OF_USER, e);
    struct store_volume v;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", user_id);
    while ((r = sql_step(s, st, e)) == 1)
        if ((answer = row_volume(st, 0, &v, e)) != 0 || (answer = fn(arg, &v, e)) != 0)
            return answer;
    return r;
}

int store_volume_by_claim(struct store *s, const char *claim, struct store_volume *ret_volume,
                          struct err *e)
{
    return one_volume(s, Q_VOLUME_BY_CLAIM, "volume", claim, ret_volume, e);
}

int store_volumes(struct store *s, const char *component, store_volume_row_fn fn, void *arg,
                  struct err *e)
{
    STMT st = sql_get(s, Q_VOLUMES, e);
    char server[STORE_NAME_SIZE], login[STORE_LOGIN_SIZE];
    struct store_volume v;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "s", component == NULL ? "" : component);
    while ((r = sql_step(s, st, e)) == 1) {
        if (row_volume(st, 0, &v, e) < 0)
            return -1;
        if (!row_text(st, VOLUME_WIDTH, server, sizeof(server)) ||
            !row_text(st, VOLUME_WIDTH + 1, login, sizeof(login)))
            return row_damaged("server with the volume", st, 0, e);
        if ((answer = fn(arg, &v, server, login, e)) != 0)
            return answer;
    }
    return r;
}

int store_volumes_removed(struct store *s, int64_t before, store_volume_fn fn, void *arg,
                          struct err *e)
{
    STMT st = sql_get(s, Q_VOLUMES_REMOVED, e);
    struct store_volume v;
    int r, answer;

    if (st == NULL)
        return -1;
    sql_bind(st, "i", before);
    while ((r = sql_step(s, st, e)) == 1)
        if ((answer = row_volume(st, 0, &v, e)) != 0 || (answer = fn(arg, &v, e)) != 0)
            return answer;
    return r;
}

/* 1 or 0. */
static int claim_taken(struct store *s, const char *claim, struct err *e)
{
    STMT st = sql_get(s, Q_VOLUME_BY_CLAIM, e);

    if (st == NULL)
        return -1;
    sql_bind(st, "s", claim);
    return sql_step(s, st, e);
}

int volume_free_claim(struct store *s, char claim[STORE_CLAIM_SIZE], struct err *e)
{
    char tail[16];
    size_t room, len = strlen(claim);
    unsigned number = 2;
    int taken = claim_taken(s, claim, e);

    for (; taken == 1; number++) {
        room = STORE_CLAIM_SIZE - 1 - (size_t)snprintf(tail, sizeof(tail), "-%u", number);
        /* not in the middle of a character */
        for (len = len < room ? len : room; len > 0 && ((unsigned char)claim[len] & 0xc0) == 0x80;)
            len--;
        (void)snprintf(claim + len, STORE_CLAIM_SIZE - len, "%s", tail);
        taken = claim_taken(s, claim, e);
    }
    return taken;
}
