/*
 * template.h: how a template is made: the data directory every new server of an image is cloned
 * from.
 *
 *   1. run pg_initdb_argv() in a sandbox with PG_VOLUME empty, write pg_user_conf_text() over
 *      PG_DATA/PG_USER_CONF
 *   2. start the server (struct pg_server with .building), wait for READY=1
 *   3. pg_template_fill()
 *   4. load datasets, each into a database that PG_SETUP_ROLE makes with owner PG_OWNER_ROLE
 *   5. pg_template_seal(), stop the server cleanly (SIGINT), unmount or sync, make read-only
 *
 * All clones share the system identifier: PostgreSQL gives no way to change it in a data directory.
 * It only matters to whoever streams between two clones of one template, which then looks possible.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "settings.h"

#define PG_OWNER_ROLE \
    "dorm_owner" /* the bootstrap superuser, and the user's database, until named */
#define PG_SETUP_ROLE "dorm_setup" /* gone once the owner has a name */

/* Counts what a template is made of: raise it when a step changes, and new clones get the new one.
 */
#define PG_TEMPLATE_GENERATION 1

int pg_initdb_argv(const struct pg_install *install, struct pg_words *ret, struct err *e);
/* What stands in the user's own postgresql.conf of a new server. */
const char *pg_user_conf_text(void);

/* Roles and the user's database. May be repeated. */
int pg_template_fill(const struct pg_dial *dial, uint64_t deadline, struct err *e);
/* Freeze, analyze, preallocate WAL, warm every database, checkpoint. Nothing may connect after it.
 */
int pg_template_seal(const struct pg_dial *dial, const struct pg_server *s, uint64_t deadline,
                     struct err *e);

/* "pg15-1073741824-1": safe as a file name. Into at least 64 bytes; returns at. */
char *pg_template_name(char *at, size_t size, const struct pg_install *install, uint64_t capacity,
                       unsigned generation);
