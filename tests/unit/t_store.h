/* t_store.h: a record in a directory of its own, and users to put into it. */
#pragma once

#include "t.h"

#include <dirent.h>
#include <unistd.h>

#include "store/store-int.h"

static char dir[] = "/tmp/dorm-store-XXXXXX";
static struct err e;

static inline const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *at = path[turn++ % 4];

    (void)snprintf(at, sizeof(path[0]), "%s/%s", dir, name);
    return at;
}

static inline void empty_dir(void)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;

    while (d != NULL && (entry = readdir(d)) != NULL)
        (void)unlinkat(dirfd(d), entry->d_name, 0);
    (void)closedir(d);
}

static inline struct store *reopen(struct store *s)
{
    struct store *fresh = NULL;

    store_close(s);
    if (store_open(in_dir("record.db"), &fresh, &e) < 0) {
        printf("Bail out! %s\n", e.msg);
        exit(1);
    }
    return fresh;
}

static inline struct store *new_store(void)
{
    empty_dir();
    return reopen(NULL);
}

static inline struct store_user_new wish(const char *login)
{
    return (struct store_user_new){.login = login,
                                   .display = "Zoë \xf0\x9f\x90\xad",
                                   .uid_first = 200000,
                                   .uid_last = 265535,
                                   .image = 17,
                                   .superuser = login,
                                   .claim = login,
                                   .class = "standard",
                                   .template = "empty",
                                   .capacity = 1u << 30,
                                   .now = 1000};
}

static inline struct store_account add(struct store *s, const char *login)
{
    struct store_user_new new = wish(login);
    struct store_account a = {0};

    if (store_user_add(s, &new, &a, &e) < 0) {
        printf("# could not add %s: %s\n", login, e.msg);
        t_failures++;
    }
    return a;
}

#define FAILS(call, want_kind, word)                                                   \
    do {                                                                               \
        e = (struct err){0};                                                           \
        T_EQ((call), -1);                                                              \
        T_EQ(e.kind, want_kind);                                                       \
        if (strstr(e.msg, (word)) == NULL) {                                           \
            printf("# %s:%d: \"%s\" lacks \"%s\"\n", __FILE__, __LINE__, e.msg, word); \
            t_failures++;                                                              \
        }                                                                              \
    } while (0)
