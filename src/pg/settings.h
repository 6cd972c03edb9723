/*
 * settings.h: with which settings a server runs, and who may change each of them.
 *
 * A superuser can write anything into postgresql.auto.conf and postgresql.conf. What the hub needs
 * to reach, bound and stop a server is therefore on the command line, where it wins over both.
 * Everything else is a default in a file of ours, read before theirs, and theirs to change.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "install.h"

enum pg_rank {
    PG_FORCED, /* on the command line; neither the user nor the hub file can change it */
    PG_SIZED,  /* on the command line, computed from the limits; the hub file can change it */
    PG_DEFAULT /* in PG_CONF; ALTER SYSTEM, postgresql.conf and the hub file can change it */
};

struct pg_setting {
    const char *name;
    const char *value; /* NULL: computed, see pg_setting_value() */
    enum pg_rank rank;
    int since, until; /* majors; 0: all */
    const char *reason;
};

struct pg_param {
    const char *name, *value; /* borrowed */
};

struct pg_server {
    const struct pg_install *install; /* borrowed */
    uint64_t memory;                  /* limit in bytes; 0: none */
    uint64_t capacity;                /* of the volume in bytes; 0: not known */
    unsigned cpus;                    /* whole processors it may use; 0 and 1: no parallel plans */
    const struct pg_param *params;    /* the hub's own, borrowed */
    size_t param_n;
    bool ip4_only; /* this host has no IPv6 */
    bool safe;     /* a second try after a failed start: the user's postgresql.conf is not read */
    bool building; /* a template is being made: no fsync; whoever seals it must sync the file system
                    */
};

/* Words for execve: NULL-terminated, all owned. */
struct pg_words {
    char **at;
    size_t n;
};
void pg_words_add(struct pg_words *w, char *word); /* takes word */
void pg_words_done(struct pg_words *w);

/* The table, for `dorm config show` and the documentation. */
const struct pg_setting *pg_settings(size_t *ret_n);
/* NULL when the name is in no table of ours. Names are compared as PostgreSQL does: ASCII
 * case-blind. */
const struct pg_setting *pg_setting_find(const char *name, int major);
/* The value for this server, into ret (at least 64 bytes). */
void pg_setting_value(const struct pg_setting *t, const struct pg_server *s, char *ret,
                      size_t size);

/* ERR_CONFIG when the hub file may not set this: not a setting's name, or one of PG_FORCED. */
int pg_param_check(const struct pg_param *p, struct err *e);

/* argv of the server, and its whole environment. On failure *ret is empty. */
int pg_server_argv(const struct pg_server *s, struct pg_words *ret, struct err *e);
void pg_server_env(const struct pg_install *install, struct pg_words *ret);
/* With which every client in the pod finds the server by itself. */
void pg_client_env(const char *superuser, struct pg_words *words);

/* Contents of PG_CONF, PG_HBA and PG_IDENT. The caller frees the first. */
char *pg_conf_text(const struct pg_server *s);
const char *pg_hba_text(void);
const char *pg_ident_text(void);
