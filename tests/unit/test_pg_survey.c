/* What fills a volume: a real server with tables, WAL that a slot holds, and files of any kind. */
#include "pg/survey.h"

#include "pg/usage.h"
#include "t_pg.h"

#define MIB  ((size_t)1 << 20)
#define MADE "/var/lib/made"

static struct err e;
static char said[600];

static int survey_all(const char *who, const struct pg_dial *by, uint64_t inodes, size_t size)
{
    AUTO_CLOSE int pod = open(PG_VOLUME, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct pg_survey_ask ask = {.pod_fd = pod,
                                .way = by,
                                .superuser = who,
                                .deadline = clock_ms() + 20000,
                                .inodes = inodes};
    int result;

    memset(said, 'x', sizeof(said));
    memset(&e, 0, sizeof(e));
    result = pg_survey(&ask, said, size, &e);
    T_OK(memchr(said, '\0', size) != NULL);
    return result;
}

static int survey(void)
{
    int result = survey_all("postgres", &way, 0, sizeof(said));

    printf("# %s\n", said);
    return result;
}

static bool has(const char *part)
{
    if (strstr(said, part) != NULL)
        return true;
    printf("# \"%s\" is not in \"%s\"\n", part, said);
    return false;
}

static bool fill(const char *path, size_t size)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    return fd >= 0 && fallocate(fd, 0, 0, (off_t)size) == 0;
}

static bool fresh(void)
{
    return remove_tree(PG_VOLUME) && folder(PG_VOLUME) && copy_tree(MADE, PG_DATA);
}

static void sql(const char *database, const char *text)
{
    T_OK(!str_is(ask("postgres", database, text), "?"));
}

static void tables_log_and_files_are_named_largest_first(void)
{
    T_OK(fresh() && start());
    sql("postgres", "CREATE DATABASE alice");
    sql("alice", "SELECT pg_create_physical_replication_slot('forgotten', true)");
    sql("alice", "CREATE UNLOGGED TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, "
                 "160000)");
    sql("alice", "CREATE TABLE small AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)");
    sql("alice", "CHECKPOINT");
    T_OK(fill(PG_VOLUME "/x.bin", 120 * MIB) && fill(PG_VOLUME "/y.bin", 3 * MIB));
    T_EQ(survey(), 1);
    T_OK(strstr(said, "table public.big 17") == said);
    T_OK(has(" MiB in database \"alice\", files beside the database 123 MiB (largest: x.bin, 120 "
             "MiB), "));
    T_OK(has("table public.small 6"));
    T_OK(has("write-ahead log "));
    T_OK(has(" MiB (kept by the unused replication slot \"forgotten\")"));
}

/* Goes on with what the first left there. */
static void a_sentence_is_cut_at_a_whole_thing(void)
{
    char whole[sizeof(said)];
    size_t last = 0;

    T_EQ(survey_all("postgres", &way, 0, sizeof(said)), 1);
    memcpy(whole, said, sizeof(whole));
    for (size_t size = 1; size < 300; size += 3) {
        size_t len;

        (void)survey_all("postgres", &way, 0, size);
        len = strlen(said);
        T_OK(len < size && len >= last && strncmp(whole, said, len) == 0);
        T_OK(len == 0 || whole[len] == '\0' || strncmp(whole + len, ", ", 2) == 0);
        last = len;
    }
    T_STR(said, whole);
}

static void without_a_server_the_files_speak(void)
{
    stop(SIGINT);
    T_EQ(survey(), 1);
    T_OK(strstr(said, "tables 2") == said);
    T_OK(has("files beside the database 123 MiB (largest: x.bin, 120 MiB)"));
    T_OK(has("write-ahead log"));
    T_EQ(survey_all("postgres", NULL, 0, sizeof(said)), 1);
    T_OK(has("tables 2"));
}

static void the_number_of_files_is_told_when_it_matters(void)
{
    T_OK(fresh() && folder(PG_VOLUME "/many"));
    for (int i = 0; i < 5000; i++) {
        char path[100];

        (void)snprintf(path, sizeof(path), PG_VOLUME "/many/%d", i);
        T_OK(fill(path, 1));
    }
    T_EQ(survey_all("postgres", NULL, 8000, sizeof(said)), 1);
    T_OK(has(" files (most of them beside the database)"));
    T_OK(has("(largest: many/, 19 MiB)"));
    T_EQ(survey_all("postgres", NULL, 80000, sizeof(said)), 1);
    T_OK(strstr(said, " files (") == NULL);
}

static void nothing_is_followed_or_opened(void)
{
    T_OK(fresh() && folder(PG_VOLUME "/loop") && fill("/var/lib/foreign", 200 * MIB));
    T_EQ(mkfifo(PG_VOLUME "/fifo", 0600), 0);
    T_EQ(symlink(".", PG_VOLUME "/loop/self"), 0);
    T_EQ(symlink("..", PG_VOLUME "/loop/up"), 0);
    T_EQ(symlink("/var/lib", PG_VOLUME "/out"), 0);
    T_EQ(symlink("/var/lib/foreign", PG_VOLUME "/file"), 0);
    T_EQ(symlink("/var/lib", PG_DATA "/pg_tblspc/1"), 0);
    T_OK(fill(PG_VOLUME "/twice", 4 * MIB));
    for (int i = 0; i < 9; i++) {
        char path[100];

        (void)snprintf(path, sizeof(path), PG_VOLUME "/twice%d", i);
        T_EQ(link(PG_VOLUME "/twice", path), 0);
    }
    T_EQ(mkdir(PG_VOLUME "/mounted", 0755), 0);
    T_EQ(mount("tmpfs", PG_VOLUME "/mounted", "tmpfs", 0, NULL), 0);
    T_OK(fill(PG_VOLUME "/mounted/x", 50 * MIB));
    T_EQ(survey_all("postgres", NULL, 0, sizeof(said)), 1);
    printf("# %s\n", said);
    T_OK(has("files beside the database 4 MiB (largest: twice"));
    T_EQ(umount(PG_VOLUME "/mounted"), 0);
    T_EQ(rename(PG_DATA, "/var/lib/data"), 0);
    T_EQ(symlink("/var/lib/data", PG_DATA), 0);
    T_EQ(survey_all("postgres", NULL, 0, sizeof(said)), 1);
    T_OK(strstr(said, "files beside the database 4") == said);
    T_OK(remove_tree("/var/lib/data"));
}

static void a_deep_tree_has_an_end(void)
{
    AUTO_CLOSE int at = -1;

    T_OK(fresh());
    at = open(PG_VOLUME, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 2000; i++) {
        int next;

        T_EQ(mkdirat(at, "d", 0700), 0);
        next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close_fd(&at);
        at = next;
    }
    T_OK(fill(PG_VOLUME "/d/x", 30 * MIB));
    T_EQ(survey_all("postgres", NULL, 0, sizeof(said)), 1);
    T_OK(has("files beside the database at least 30 MiB (largest: d/, 30 MiB)"));
}

static void a_million_files_are_not_counted_to_the_end(void)
{
    AUTO_CLOSE int pod = open(PG_VOLUME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct usage u;
    uint64_t files = 0;

    T_EQ(usage_count(pod, 100, clock_ms() + 10000, &u, &e), 0);
    for (int i = 0; i < USAGE_N; i++)
        files += u.part[i].files;
    T_OK(files <= 100 && files >= 70);
    T_OK(u.part[USAGE_TABLES].cut && u.part[USAGE_BESIDE].files > 0);
    T_EQ(usage_count(pod, 300000, 0, &u, &e), 0);
    T_OK(u.part[USAGE_TABLES].cut && u.part[USAGE_WAL].cut && u.part[USAGE_BESIDE].cut);
    T_EQ(usage_count(-1, 100, clock_ms() + 10000, &u, &e), -1);
}

static void temporary_files_and_foreign_ones_among_the_data_are_told(void)
{
    T_OK(fresh());
    T_OK(folder(PG_DATA "/base/pgsql_tmp") &&
         fill(PG_DATA "/base/pgsql_tmp/pgsql_tmp1.0", 40 * MIB));
    T_OK(fill(PG_DATA "/dump.sql", 60 * MIB));
    T_EQ(survey_all("postgres", NULL, 0, sizeof(said)), 1);
    T_OK(strstr(said, "files beside the database 60 MiB (largest: data/dump.sql, 60 MiB), "
                      "temporary files of queries 40 MiB, ") == said);
}

static void hostile_names_stay_within_the_sentence(void)
{
    T_OK(fresh() && start());
    sql("postgres", "CREATE DATABASE \"a\x1b[31m\xe2\x80\xae b\"");
    sql("a\x1b[31m\xe2\x80\xae b", "CREATE SCHEMA \"s\n\"");
    sql("a\x1b[31m\xe2\x80\xae b",
        "CREATE TABLE \"s\n\".\"t', \\ \x07\" AS SELECT repeat('x', 1000) FROM "
        "generate_series(1, 60000)");
    T_OK(fill(PG_VOLUME "/\x1b]0;x\x07\xff", 100 * MIB));
    T_EQ(survey(), 1);
    T_OK(has("files beside the database 100 MiB (largest: \\x1b]0;x\\x07\\xff, 100 MiB)"));
    T_OK(has("table s\\x0a.t', \\\\ \\x07 6"));
    T_OK(has(" MiB in database \"a\\x1b[31m\\xe2\\x80\\xae b\""));
    stop(SIGINT);
}

/* The table is locked: what the last VACUUM knew has to do. */
static void whoever_redefines_or_locks_does_not_mislead(void)
{
    struct pg_client holder;

    T_OK(fresh() && start());
    sql("postgres", "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)");
    sql("postgres", "VACUUM ANALYZE big");
    sql("postgres", "CREATE SCHEMA evil; CREATE FUNCTION evil.concat(VARIADIC \"any\") RETURNS "
                    "text LANGUAGE internal AS 'text_concat'; "
                    "CREATE FUNCTION evil.gt(bigint, integer) RETURNS bool LANGUAGE sql AS "
                    "'SELECT false'; CREATE OPERATOR evil.> (FUNCTION = evil.gt, LEFTARG = bigint, "
                    "RIGHTARG = integer); ALTER ROLE postgres SET search_path TO evil, pg_catalog; "
                    "ALTER ROLE postgres SET row_security TO off");
    T_EQ(survey(), 1);
    T_OK(has("table public.big 6"));
    T_EQ(pg_client_start(&holder, dial(NULL, &e), "postgres", "postgres", soon(), &e), 0);
    T_EQ(pg_client_exec(&holder, "BEGIN; LOCK TABLE public.big", &e), 0);
    T_EQ(survey(), 1);
    T_OK(has("table public.big 6"));
    pg_client_close(&holder);
    T_EQ(survey_all("nobody", &way, 0, sizeof(said)), 1);
    T_OK(strstr(said, "tables 8") == said || strstr(said, "tables 9") == said);
    stop(SIGINT);
}

/* A server that answers nothing: the deadline is kept, and the files speak. */
static void a_server_that_is_silent_costs_no_more_than_the_deadline(void)
{
    AUTO_CLOSE int pod = open(PG_VOLUME, O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint64_t began = clock_ms();
    struct pg_survey_ask ask = {
        .pod_fd = pod, .way = &way, .superuser = "postgres", .deadline = began + 700};

    T_OK(start());
    T_EQ(kill(postmaster, SIGSTOP), 0);
    T_EQ(pg_survey(&ask, said, sizeof(said), &e), 1);
    T_OK(clock_ms() - began < 3000);
    T_OK(strstr(said, "tables ") != NULL);
    T_EQ(kill(postmaster, SIGCONT), 0);
    stop(SIGINT);
}

int main(void)
{
    const char *why = t_pg_begin();

    if (why != NULL) {
        printf("1..0 # SKIP NOT TESTED with a real PostgreSQL: %s\n", why);
        return 0;
    }
    T_OK(run_initdb("postgres") && copy_tree(PG_DATA, MADE));
    T_RUN(tables_log_and_files_are_named_largest_first);
    T_RUN(a_sentence_is_cut_at_a_whole_thing);
    T_RUN(without_a_server_the_files_speak);
    T_RUN(the_number_of_files_is_told_when_it_matters);
    T_RUN(nothing_is_followed_or_opened);
    T_RUN(a_deep_tree_has_an_end);
    T_RUN(a_million_files_are_not_counted_to_the_end);
    T_RUN(temporary_files_and_foreign_ones_among_the_data_are_told);
    T_RUN(hostile_names_stay_within_the_sentence);
    T_RUN(whoever_redefines_or_locks_does_not_mislead);
    T_RUN(a_server_that_is_silent_costs_no_more_than_the_deadline);
    return t_end();
}
