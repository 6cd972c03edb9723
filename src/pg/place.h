/* place.h: where everything is inside a PostgreSQL sandbox. Fixed: no user's name is in a path. */
#pragma once

#define PG_VOLUME \
    "/var/lib/postgresql" /* what is bound there is the volume's part for PostgreSQL */
#define PG_DATA       "/var/lib/postgresql/data" /* PGDATA */
#define PG_DATA_NAME  "data"                     /* the same, below PG_VOLUME */
#define PG_SOCKET_DIR "/run/postgresql"
#define PG_SOCKET     "/run/postgresql/.s.PGSQL.5432"
#define PG_NOTIFY     "/run/dorm/notify" /* datagram socket on which the server says READY=1 */

/* Written by us, read-only in the sandbox. */
#define PG_CONF  "/etc/dorm/postgresql.conf" /* pg_conf_text() */
#define PG_HBA   "/etc/dorm/pg_hba.conf"     /* pg_hba_text() */
#define PG_IDENT "/etc/dorm/pg_ident.conf"   /* pg_ident_text() */

/* Owned by the user, below PG_DATA. */
#define PG_USER_CONF "postgresql.conf" /* included by PG_CONF; may be missing */
#define PG_AUTO_CONF                                                             \
    "postgresql.auto.conf" /* ALTER SYSTEM; set aside by the engine in safe mode \
                            */
