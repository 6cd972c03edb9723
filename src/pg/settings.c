#include "settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

#include "place.h"

#define MIB (1024ull * 1024)

/* clang-format off */
static const struct pg_setting table[] = {
    /* reach it: whatever its owner writes, the server is where the hub looks for it */
    {"data_directory", PG_DATA, PG_FORCED, 0, 0, "where the volume is"},
    {"config_file", PG_CONF, PG_FORCED, 0, 0, "a deleted postgresql.conf does not stop a start"},
    {"hba_file", PG_HBA, PG_FORCED, 0, 0, "who may log in is decided before the server is reached"},
    {"ident_file", PG_IDENT, PG_FORCED, 0, 0, "goes with hba_file"},
    {"external_pid_file", "/run/postgresql/pid", PG_FORCED, 0, 0,
     "one that cannot be written is complained of at every start, and none at all, too"},
    {"listen_addresses", "127.0.0.1,::1", PG_FORCED, 0, 0, "of the sandbox, for programs in it: no network ends there"},
    {"port", "5432", PG_FORCED, 0, 0, "is part of the socket's name"},
    {"unix_socket_directories", PG_SOCKET_DIR, PG_FORCED, 0, 0, "where the hub connects"},
    {"unix_socket_group", "", PG_FORCED, 0, 0, "a group that does not exist stops the start"},
    {"unix_socket_permissions", "0700", PG_FORCED, 0, 0, "for the sandbox's own user only"},
    {"ssl", "off", PG_FORCED, 0, 0, "a missing key stops the start; TLS ends before the server"},
    {"db_user_namespace", "off", PG_FORCED, 0, 16, "would give every role another name at login"},
    {"pre_auth_delay", "0", PG_FORCED, 0, 0, "would hold up every login"},
    {"post_auth_delay", "0", PG_FORCED, 0, 0, "would hold up every login"},
    {"superuser_reserved_connections", "3", PG_FORCED, 0, 0, "the owner and the hub get in when it is full"},
    {"reserved_connections", "0", PG_FORCED, 16, 0, "more than max_connections stops the start"},
    /* its log is read from stderr */
    {"logging_collector", "off", PG_FORCED, 0, 0, "log files would fill the volume"},
    {"log_destination", "stderr", PG_FORCED, 0, 0, "where the hub reads why a start failed"},
    /* memory that a sandbox can bound */
    {"huge_pages", "off", PG_FORCED, 0, 0, "are outside of the memory limit"},
    {"shared_memory_type", "mmap", PG_FORCED, 0, 0, "System V segments outlive their server"},
    {"dynamic_shared_memory_type", "posix", PG_FORCED, 0, 0, "/dev/shm has a size, the volume is not used"},
    /* computed from memory and capacity */
    {"shared_buffers", NULL, PG_SIZED, 0, 0, "one that does not fit stops the start"},
    {"max_connections", NULL, PG_SIZED, 0, 0, "too many do not fit, too few lock the hub out"},
    {"max_wal_size", NULL, PG_SIZED, 0, 0, "WAL must not fill the volume"},
    {"min_wal_size", NULL, PG_SIZED, 0, 0, "segments kept for reuse cannot fail on a full volume"},
    {"wal_recycle", "on", PG_SIZED, 0, 0, "a segment that must be created on a full volume is a PANIC"},
    {"wal_init_zero", "on", PG_SIZED, 0, 0, "as wal_recycle: a segment has its blocks before it is used"},
    /* the user's to change */
    {"max_slot_wal_keep_size", NULL, PG_DEFAULT, 0, 0, "a forgotten slot must not fill the volume"},
    {"maintenance_work_mem", NULL, PG_DEFAULT, 0, 0, "follows the memory limit"},
    {"effective_cache_size", NULL, PG_DEFAULT, 0, 0, "follows the memory limit"},
    {"max_parallel_workers_per_gather", NULL, PG_DEFAULT, 0, 0, "parallel plans are slower on one processor"},
    {"max_parallel_maintenance_workers", NULL, PG_DEFAULT, 0, 0, "as above"},
    {"autovacuum_max_workers", "2", PG_DEFAULT, 0, 0, "one server, one user"},
    {"max_logical_replication_workers", "0", PG_DEFAULT, 0, 0, "its launcher is a process in every idle server"},
    {"io_method", "sync", PG_DEFAULT, 18, 0, "its workers are three processes in every idle server"},
    {"max_files_per_process", "200", PG_DEFAULT, 0, 0, "a start tries every one of them"},
    {"jit", "off", PG_DEFAULT, 0, 0, "compiling costs more than it gives on small data, and loads LLVM"},
    {"recovery_init_sync_method", "syncfs", PG_DEFAULT, 14, 0, "one call instead of one for each file after a crash"},
    {"log_line_prefix", "%m [%p] %q%u@%d ", PG_DEFAULT, 0, 0, "who and where"},
    {"log_checkpoints", "off", PG_DEFAULT, 0, 0, "news to nobody here"},
    {"log_timezone", "UTC", PG_DEFAULT, 0, 0, "one clock for all logs"},
    {"timezone", "UTC", PG_DEFAULT, 0, 0, "the same everywhere; a session sets its own"},
    {"datestyle", "iso, mdy", PG_DEFAULT, 0, 0, "as initdb would write it"},
    {"default_text_search_config", "pg_catalog.english", PG_DEFAULT, 0, 0, "as initdb would write it"},
    {"lc_messages", "C.UTF-8", PG_DEFAULT, 0, 0, "as initdb would write it"},
    {"lc_monetary", "C.UTF-8", PG_DEFAULT, 0, 0, "as initdb would write it"},
    {"lc_numeric", "C.UTF-8", PG_DEFAULT, 0, 0, "as initdb would write it"},
    {"lc_time", "C.UTF-8", PG_DEFAULT, 0, 0, "as initdb would write it"},
};
/* clang-format on */
#define TABLE_N (sizeof(table) / sizeof(table[0]))

void pg_words_add(struct pg_words *w, char *word)
{
    w->at = mem_resize(w->at, (w->n + 2) * sizeof(*w->at));
    w->at[w->n++] = word;
    w->at[w->n] = NULL;
}

void pg_words_done(struct pg_words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->at[i]);
    free(w->at);
    *w = (struct pg_words){0};
}

const struct pg_setting *pg_settings(size_t *ret_n)
{
    *ret_n = TABLE_N;
    return table;
}

static bool is_of(const struct pg_setting *t, int major)
{
    return (t->since == 0 || major >= t->since) && (t->until == 0 || major <= t->until);
}

const struct pg_setting *pg_setting_find(const char *name, int major)
{
    for (size_t i = 0; i < TABLE_N; i++)
        if (strcasecmp(table[i].name, name) == 0 && is_of(&table[i], major))
            return &table[i];
    return NULL;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* WAL may pass max_wal_size for a while: 3/16 of the volume stays under a quarter of it. Whole
 * segments; below two of them PostgreSQL does not start. */
static uint64_t wal_max_mb(const struct pg_server *s)
{
    return s->capacity == 0 ? 1024 : clamp(s->capacity / 16 * 3 / MIB / 16 * 16, 32, 1024);
}

static uint64_t memory_mb(const struct pg_server *s)
{
    return s->memory == 0 ? 512 : s->memory / MIB;
}

static uint64_t helpers(const struct pg_server *s)
{
    return s->cpus < 2 ? 0 : clamp(s->cpus - 1, 1, 2);
}

/* Each page of shared_buffers costs a start its part of a table: 16 to 32 MB start alike, 64 MB
 * takes 2 ms longer, 128 MB 4. */
static uint64_t shared_buffers(const struct pg_server *s)
{
    return clamp(memory_mb(s) / 16, 16, 128);
}
static uint64_t max_connections(const struct pg_server *s)
{
    return clamp(memory_mb(s) / 5, 20, 100); /* about what an idle backend may grow to */
}
static uint64_t min_wal_size(const struct pg_server *s)
{
    return clamp(wal_max_mb(s) / 3 / 16 * 16, 32, 80);
}
static uint64_t slot_keep(const struct pg_server *s)
{
    return wal_max_mb(s);
}
static uint64_t maintenance(const struct pg_server *s)
{
    return clamp(memory_mb(s) / 16, 16, 64);
}
static uint64_t cache(const struct pg_server *s)
{
    return clamp(memory_mb(s) / 2, 32, 1 << 20);
}

static const struct {
    const char *name, *unit;
    uint64_t (*compute)(const struct pg_server *s);
} computed[] = {
    {"shared_buffers", "MB", shared_buffers},
    {"max_connections", "", max_connections},
    {"max_wal_size", "MB", wal_max_mb},
    {"min_wal_size", "MB", min_wal_size},
    {"max_slot_wal_keep_size", "MB", slot_keep},
    {"maintenance_work_mem", "MB", maintenance},
    {"effective_cache_size", "MB", cache},
    {"max_parallel_workers_per_gather", "", helpers},
    {"max_parallel_maintenance_workers", "", helpers},
};

void pg_setting_value(const struct pg_setting *t, const struct pg_server *s, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", t->value == NULL ? "" : t->value);
    for (size_t i = 0; t->value == NULL && i < sizeof(computed) / sizeof(computed[0]); i++)
        if (str_is(computed[i].name, t->name))
            (void)snprintf(ret, size, "%llu%s", (unsigned long long)computed[i].compute(s),
                           computed[i].unit);
}

/* PostgreSQL reads "-" in a name on its command line as "_": neither gets past the table so. */
static bool is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.");

    return n > 0 && n <= 63 && name[n] == '\0' && !isdigit((unsigned char)name[0]) &&
           name[0] != '.';
}

int pg_param_check(const struct pg_param *p, struct err *e)
{
    char shown[100];

    str_show(shown, sizeof(shown), p->name, strlen(p->name));
    if (!is_name(p->name))
        return err_set(e, ERR_CONFIG, "\"%s\" is not the name of a PostgreSQL setting", shown);
    if (strlen(p->value) > 1000)
        return err_set(e, ERR_CONFIG, "the value of %s is longer than 1000 bytes", shown);
    for (size_t i = 0; i < TABLE_N; i++)
        if (table[i].rank == PG_FORCED && strcasecmp(table[i].name, p->name) == 0) {
            (void)err_set(e, ERR_CONFIG, "%s cannot be set here: %s", shown, table[i].reason);
            return err_hint(e, "remove %s from parameters", shown);
        }
    return 0;
}

static void add_setting(struct pg_words *w, const char *name, const char *value)
{
    pg_words_add(w, mem_copy("-c"));
    pg_words_add(w, mem_printf("%s=%s", name, value));
}

static void add_rank(struct pg_words *w, const struct pg_server *s, enum pg_rank rank)
{
    for (size_t i = 0; i < TABLE_N; i++) {
        char value[100];

        if (table[i].rank != rank || !is_of(&table[i], s->install->major))
            continue;
        pg_setting_value(&table[i], s, value, sizeof(value));
        add_setting(w, table[i].name, value);
    }
}

/* Of two values for one setting the later one counts: sizes, then the hub's own, then the forced.
 */
int pg_server_argv(const struct pg_server *s, struct pg_words *ret, struct err *e)
{
    struct pg_words w = {0};

    *ret = w;
    for (size_t i = 0; i < s->param_n; i++)
        if (pg_param_check(&s->params[i], e) < 0)
            return -1;
    pg_words_add(&w, mem_printf("%s/postgres", s->install->bin));
    pg_words_add(&w, mem_copy("-D"));
    pg_words_add(&w, mem_copy(PG_DATA));
    add_rank(&w, s, PG_SIZED);
    for (size_t i = 0; i < s->param_n; i++)
        add_setting(&w, s->params[i].name, s->params[i].value);
    add_rank(&w, s, PG_FORCED);
    if (s->ip4_only)
        add_setting(&w, "listen_addresses", "127.0.0.1"); /* it would complain at every start */
    if (s->building) {
        add_setting(&w, "listen_addresses", "");
        add_setting(&w, "fsync", "off");
        add_setting(&w, "autovacuum", "off"); /* would still be in a database when it is sealed */
    }
    *ret = w;
    return 0;
}

void pg_server_env(const struct pg_install *install, struct pg_words *ret)
{
    struct pg_words w = {0};

    pg_words_add(&w, mem_printf("PATH=%s:/usr/local/bin:/usr/bin:/bin", install->bin));
    pg_words_add(&w, mem_copy("HOME=" PG_VOLUME));
    pg_words_add(&w, mem_copy("PGDATA=" PG_DATA));
    pg_words_add(&w, mem_copy("LANG=C.UTF-8"));
    pg_words_add(&w, mem_copy("LC_ALL=C.UTF-8"));
    pg_words_add(&w, mem_copy("NOTIFY_SOCKET=" PG_NOTIFY));
    /* a backend is killed before the postmaster is */
    pg_words_add(&w, mem_copy("PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj"));
    pg_words_add(&w, mem_copy("PG_OOM_ADJUST_VALUE=500"));
    *ret = w;
}

void pg_client_env(const char *superuser, struct pg_words *words)
{
    pg_words_add(words, mem_copy("PGHOST=localhost"));
    pg_words_add(words, mem_copy("PGPORT=5432"));
    pg_words_add(words, mem_printf("PGUSER=%s", superuser));
    pg_words_add(words, mem_printf("PGDATABASE=%s", superuser));
}

char *pg_conf_text(const struct pg_server *s)
{
    char *text = mem_copy("# The hub's defaults; written anew at every start.\n");

    for (size_t i = 0; i < TABLE_N; i++) {
        char value[100], *longer;

        if (table[i].rank != PG_DEFAULT || !is_of(&table[i], s->install->major))
            continue;
        pg_setting_value(&table[i], s, value, sizeof(value));
        longer = mem_printf("%s%s = '%s'\n", text, table[i].name, value);
        free(text);
        text = longer;
    }
    if (!s->safe) {
        char *longer = mem_printf("%sinclude_if_exists '" PG_DATA "/" PG_USER_CONF "'\n", text);

        free(text);
        text = longer;
    }
    return text;
}

const char *pg_hba_text(void)
{
    return "local all all trust\n"
           "local replication all trust\n"
           "host all all 127.0.0.1/32 trust\n"
           "host replication all 127.0.0.1/32 trust\n"
           "host all all ::1/128 trust\n"
           "host replication all ::1/128 trust\n";
}

const char *pg_ident_text(void)
{
    return "# no maps: see pg_hba.conf\n";
}
