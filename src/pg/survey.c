#include "survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#include "usage.h"
#include "visit.h"

#define TABLES       3
#define THINGS_SHOWN 4
#define NAME_SHOWN   80
#define BYTES_MAX    (UINT64_C(1) << 60) /* a server can claim anything */

#define HEX(name) "pg_catalog.encode(pg_catalog.textsend(" name "::text), 'hex')"

static const char ask_database[] = "SELECT pg_catalog.concat(size, ' ', " HEX(
    "datname") ") FROM "
               "(SELECT datname, pg_catalog.pg_database_size(oid) AS size FROM "
               "pg_catalog.pg_database "
               "WHERE datallowconn ORDER BY 2 DESC LIMIT 1) d";

/* %s: the size of table c, whose TOAST table is t */
#define ASK_TABLES(size)                                                                       \
    "SELECT pg_catalog.string_agg(pg_catalog.concat(size, ' ', " HEX("nspname") ", ' ', " HEX( \
        "relname") "), ' ' ORDER BY size DESC) FROM (SELECT n.nspname, c.relname, " size       \
                   " AS size FROM pg_catalog.pg_class c "                                      \
                   "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "                 \
                   "LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid "               \
                   "WHERE c.relkind IN ('r', 'm') ORDER BY 3 DESC NULLS LAST LIMIT 3) s "      \
                   "WHERE size > 0"

/* The first waits for whoever has locked a table, the second believes the last VACUUM. */
static const char *const ask_tables[] = {
    ASK_TABLES("pg_catalog.pg_total_relation_size(c.oid)"),
    ASK_TABLES("(greatest(c.relpages, 0)::bigint + greatest(t.relpages, 0)) * "
               "pg_catalog.current_setting('block_size')::bigint"),
};

static const char ask_slot[] = "SELECT pg_catalog.concat(kept::bigint, ' ', n, ' ', " HEX(
    "slot_name") ") FROM "
                 "(SELECT slot_name, kept, pg_catalog.count(*) OVER () AS n FROM "
                 "(SELECT slot_name, pg_catalog.pg_wal_lsn_diff(CASE WHEN "
                 "pg_catalog.pg_is_in_recovery() "
                 "THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() "
                 "END, "
                 "restart_lsn) AS kept FROM pg_catalog.pg_replication_slots "
                 "WHERE NOT active AND restart_lsn IS NOT NULL) a WHERE kept > 16777216 "
                 "ORDER BY kept DESC LIMIT 1) s";

struct name {
    char bytes[200]; /* as the server has it, ended by NUL */
};

/* What the server says. */
struct told {
    bool has_database;
    uint64_t database_bytes;
    struct name database;
    size_t tables;
    struct {
        uint64_t bytes;
        struct name schema, name;
    } table[TABLES];
    uint64_t slots; /* unused ones that keep more than a segment */
    struct name slot;
};

/* The next word of *at, cut off there. */
static char *take_word(char **at)
{
    char *word = *at;

    word += strspn(word, " ");
    *at = word + strcspn(word, " ");
    if (**at != '\0')
        *(*at)++ = '\0';
    return word;
}

static bool take_number(char **at, uint64_t *ret)
{
    if (!str_u64(take_word(at), ret))
        return false;
    if (*ret > BYTES_MAX)
        *ret = BYTES_MAX;
    return true;
}

static bool take_name(char **at, struct name *ret)
{
    const char *hex = take_word(at);
    size_t n = strlen(hex) / 2;

    *ret = (struct name){0};
    return n > 0 && n < sizeof(ret->bytes) && str_hex(hex, ret->bytes, n);
}

static char *show(char at[NAME_SHOWN], const struct name *name)
{
    return str_show(at, NAME_SHOWN, name->bytes, strlen(name->bytes));
}

static int visit(const struct pg_survey_ask *ask, const char *database, struct pg_client *ret)
{
    struct err ignored;

    if (pg_visit(ask->way, ask->superuser, database, ask->deadline, ret, &ignored) < 0)
        return -1;
    /* a volume that is full is often one where somebody holds locks and waits */
    if (pg_client_exec(ret, "SET statement_timeout TO '5s'; SET lock_timeout TO '1s'", &ignored) ==
        0)
        return 0;
    pg_client_close(ret);
    return -1;
}

static void ask_about_tables(const struct pg_survey_ask *ask, struct told *t)
{
    char text[TABLES * 900], *at = text;
    struct pg_client c;
    struct err ignored;
    int result = -1;

    if (visit(ask, t->database.bytes, &c) < 0)
        return;
    for (size_t i = 0; result < 0 && i < sizeof(ask_tables) / sizeof(ask_tables[0]); i++)
        result = pg_client_value(&c, ask_tables[i], text, sizeof(text), &ignored);
    pg_client_close(&c);
    while (result == 0 && t->tables < TABLES && take_number(&at, &t->table[t->tables].bytes) &&
           take_name(&at, &t->table[t->tables].schema) && take_name(&at, &t->table[t->tables].name))
        t->tables++;
}

static void ask_server(const struct pg_survey_ask *ask, struct told *t)
{
    char text[900], *at = text;
    struct pg_client c;
    struct err ignored;
    uint64_t kept;

    if (ask->way == NULL || visit(ask, NULL, &c) < 0)
        return;
    if (pg_client_value(&c, ask_slot, text, sizeof(text), &ignored) < 0 ||
        !take_number(&at, &kept) || !take_number(&at, &t->slots) || !take_name(&at, &t->slot))
        t->slots = 0;
    at = text;
    t->has_database = pg_client_value(&c, ask_database, text, sizeof(text), &ignored) == 0 &&
                      take_number(&at, &t->database_bytes) && take_name(&at, &t->database);
    pg_client_close(&c);
    if (t->has_database)
        ask_about_tables(ask, t);
}

struct thing {
    uint64_t bytes;
    bool cut;         /* at least so many */
    bool in_database; /* which one is said once */
    char before[2 * NAME_SHOWN + 40], after[NAME_SHOWN + 100];
};

struct things {
    struct thing at[TABLES + USAGE_N + 2];
    size_t n;
};

static struct thing *add(struct things *s, uint64_t bytes, bool cut)
{
    struct thing *t = &s->at[s->n++];

    *t = (struct thing){.bytes = bytes, .cut = cut};
    return t;
}

static void add_named(struct things *s, const struct usage_part_sum *sum, const char *what)
{
    struct thing *t = add(s, sum->bytes, sum->cut);

    (void)snprintf(t->before, sizeof(t->before), "%s", what);
}

static char *size_of(char at[32], uint64_t bytes)
{
    char text[24], *unit;

    str_size(text, sizeof(text), bytes);
    unit = text + strcspn(text, "KMGTPE");
    (void)snprintf(at, 32, "%.*s %s%s", (int)(unit - text), text, unit,
                   *unit == '\0' ? "bytes" : "B");
    return at;
}

static void add_wal(struct things *s, const struct usage_part_sum *sum, const struct told *told)
{
    struct thing *t = add(s, sum->bytes, sum->cut);
    char slot[NAME_SHOWN];

    (void)snprintf(t->before, sizeof(t->before), "write-ahead log");
    if (told->slots == 1)
        (void)snprintf(t->after, sizeof(t->after), " (kept by the unused replication slot \"%s\")",
                       show(slot, &told->slot));
    else if (told->slots > 1)
        (void)snprintf(t->after, sizeof(t->after),
                       " (kept by the unused replication slot \"%s\" and %" PRIu64 " more)",
                       show(slot, &told->slot), told->slots - 1);
}

static void add_beside(struct things *s, const struct usage *u)
{
    struct thing *t = add(s, u->part[USAGE_BESIDE].bytes, u->part[USAGE_BESIDE].cut);
    char name[NAME_SHOWN], size[32];

    (void)snprintf(t->before, sizeof(t->before), "files beside the database");
    if (u->largest.name[0] != '\0')
        (void)snprintf(t->after, sizeof(t->after), " (largest: %s%s, %s)",
                       str_show(name, sizeof(name), u->largest.name, strlen(u->largest.name)),
                       u->largest.is_dir ? "/" : "", size_of(size, u->largest.bytes));
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* The three tables, what else is in their database, and the other databases. */
static void add_tables(struct things *s, const struct told *told,
                       const struct usage_part_sum *files)
{
    uint64_t rest = told->database_bytes;
    struct thing *t;

    if (!told->has_database) {
        add_named(s, files, "tables");
        return;
    }
    for (size_t i = 0; i < told->tables; i++) {
        char schema[NAME_SHOWN], name[NAME_SHOWN];

        t = add(s, told->table[i].bytes, false);
        t->in_database = true;
        (void)snprintf(t->before, sizeof(t->before), "table %s.%s",
                       show(schema, &told->table[i].schema), show(name, &told->table[i].name));
        rest = minus(rest, told->table[i].bytes);
    }
    t = add(s, rest, false);
    t->in_database = true;
    (void)snprintf(t->before, sizeof(t->before), told->tables > 0 ? "other tables" : "tables");
    t = add(s, minus(files->bytes, told->database_bytes), files->cut);
    (void)snprintf(t->before, sizeof(t->before), "other databases");
}

static int larger_first(const void *a, const void *b)
{
    const struct thing *x = a, *y = b;

    return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

/* Whole or not at all. */
static bool put(char *ret, size_t size, const char *text)
{
    size_t len = strlen(ret);

    if (len + strlen(text) + (len > 0 ? 2 : 0) >= size)
        return false;
    (void)snprintf(ret + len, size - len, "%s%s", len > 0 ? ", " : "", text);
    return true;
}

static bool put_thing(char *ret, size_t size, const struct thing *t, const struct name *database)
{
    char text[sizeof(t->before) + sizeof(t->after) + NAME_SHOWN + 80], of[NAME_SHOWN], bytes[32];
    int n = snprintf(text, sizeof(text), "%s %s%s%s", t->before, t->cut ? "at least " : "",
                     size_of(bytes, t->bytes), t->after);

    if (database != NULL)
        (void)snprintf(text + n, sizeof(text) - (size_t)n, " in database \"%s\"",
                       show(of, database));
    return put(ret, size, text);
}

static void put_files(char *ret, size_t size, const struct usage *u, uint64_t files, bool cut)
{
    char text[120];

    (void)snprintf(text, sizeof(text), "%s%" PRIu64 " files%s", cut ? "at least " : "", files,
                   u->part[USAGE_BESIDE].files > files / 2   ? " (most of them beside the database)"
                   : u->part[USAGE_TABLES].files > files / 2 ? " (most of them of tables)"
                                                             : "");
    (void)put(ret, size, text);
}

static void write_down(const struct pg_survey_ask *ask, const struct usage *u,
                       const struct told *told, char *ret, size_t size)
{
    struct things s = {0};
    uint64_t bytes = 0, files = 0;
    bool cut = false, many, said = false;

    add_tables(&s, told, &u->part[USAGE_TABLES]);
    add_wal(&s, &u->part[USAGE_WAL], told);
    add_named(&s, &u->part[USAGE_TEMP], "temporary files of queries");
    add_named(&s, &u->part[USAGE_OWN], "what else PostgreSQL keeps");
    add_beside(&s, u);
    for (size_t i = 0; i < USAGE_N; i++) {
        bytes += u->part[i].bytes;
        files += u->part[i].files;
        cut |= u->part[i].cut;
    }
    bytes = bytes > 0 ? bytes : told->database_bytes;
    many = ask->inodes > 0 && files > ask->inodes / 2;
    qsort(s.at, s.n, sizeof(s.at[0]), larger_first);
    for (size_t i = 0; i < s.n && i < THINGS_SHOWN - (many ? 1 : 0); i++) {
        bool first = s.at[i].in_database && !said;

        if (s.at[i].bytes == 0 || s.at[i].bytes < bytes / 50 ||
            !put_thing(ret, size, &s.at[i], first ? &told->database : NULL))
            break;
        said |= first;
    }
    if (many)
        put_files(ret, size, u, files, cut);
}

int pg_survey(const struct pg_survey_ask *ask, char *ret, size_t size, struct err *e)
{
    uint64_t now = clock_ms();
    struct usage usage = {0};
    struct told told = {0};
    int counted =
        usage_count(ask->pod_fd, PG_SURVEY_ENTRIES,
                    now < ask->deadline ? now + (ask->deadline - now) / 2 : now, &usage, e);

    ask_server(ask, &told);
    if (counted < 0 && !told.has_database)
        return err_prefix(e, "could not find out what fills the volume");
    ret[0] = '\0';
    write_down(ask, &usage, &told, ret, size);
    return ret[0] != '\0';
}
