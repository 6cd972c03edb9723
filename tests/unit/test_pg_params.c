#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/params.h"
#include "t.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pg_install install = {.major = 15};
static struct err e;

static void what_postgresql_says_becomes_part_of_a_sentence(void)
{
    static const struct {
        const char *value, *said;
        enum pg_fault fault;
        const char *why;
    } cases[] = {
        {"8XB",
         "2026-11-21 16:42:35 GMT [9] FATAL:  invalid value for parameter \"work_mem\": \"8XB\"\n"
         "2026-11-21 16:42:35 GMT [9] HINT:  Valid units for this parameter are \"B\" and "
         "\"kB\".\n",
         PG_FAULT_VALUE, "is not valid; valid units for this parameter are \"B\" and \"kB\""},
        {"a,,b",
         "x FATAL:  invalid value for parameter \"search_path\": \"a,,b\"\n"
         "x DETAIL:  List syntax is invalid.\n",
         PG_FAULT_VALUE, "is not valid; list syntax is invalid"},
        {"Mars", "x FATAL:  invalid value for parameter \"TimeZone\": \"Mars\"\n", PG_FAULT_VALUE,
         "is not valid"},
        {"1",
         "x FATAL:  1 kB is outside the valid range for parameter \"work_mem\" (64 .. "
         "2147483647)\n",
         PG_FAULT_VALUE, "means 1 kB, which is outside the valid range (64 .. 2147483647)"},
        {"-1",
         "x FATAL:  -1 is outside the valid range for parameter \"max_connections\" (1 .. "
         "262143)\n",
         PG_FAULT_VALUE, "is outside the valid range (1 .. 262143)"},
        {"maybe", "x FATAL:  parameter \"jit\" requires a Boolean value\n", PG_FAULT_VALUE,
         "is not valid; write on or off"},
        {"1", "x FATAL:  unrecognized configuration parameter \"nosuch\"\n", PG_FAULT_NAME,
         "PostgreSQL 15 has no such setting"},
        {"1", "x FATAL:  parameter \"block_size\" cannot be changed\n", PG_FAULT_NAME,
         "cannot be set: PostgreSQL only shows it"},
        {"1", "x FATAL:  the moon\033[2J is wrong", PG_FAULT_VALUE,
         "is refused by PostgreSQL: the moon\\x1b[2J is wrong"},
        {"1", "", PG_FAULT_UNKNOWN, ""},
        {"1", "postgres: error while loading shared libraries: libx.so\n", PG_FAULT_UNKNOWN, ""},
        {"1", "x FATAL:  invalid value for parameter \"a\": \"1\"\nHINT:  \n", PG_FAULT_VALUE,
         "is not valid"},
    };
    char why[PG_FAULT_SIZE];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pg_param p = {"x", cases[i].value};

        T_EQ(pg_fault_parse(cases[i].said, false, &install, &p, why), cases[i].fault);
        T_STR(why, cases[i].why);
        T_EQ(pg_fault_parse(cases[i].said, true, &install, &p, why), PG_FAULT_NONE);
    }
}

static void names_are_what_stands_before_the_first_tab(void)
{
    char text[] = "work_mem\tuser\tX\njit\tuser\n\nno tab\n\tno name\n"
                  "wal_level\tpostmaster";
    const char *names[8];

    T_EQ(pg_names_parse(text, names, 8), 3);
    T_STR(names[0], "work_mem");
    T_STR(names[1], "jit");
    T_STR(names[2], "wal_level");
    T_EQ(pg_names_parse((char[]){"a\tb\nc\td\n"}, names, 1), 1);
    T_EQ(pg_names_parse((char[]){""}, names, 8), 0);
}

/* ---- the program itself ---- */

static char told[4096];

static void note(void *owner, size_t i, enum pg_fault fault, const char *why)
{
    size_t len = strlen(told);

    T_OK(owner == told);
    (void)snprintf(told + len, sizeof(told) - len, "%zu %s %s\n", i,
                   fault == PG_FAULT_NAME ? "name" : "value", why);
}

static int check(const struct pg_install *at, const struct pg_param *params, size_t n, int ms)
{
    told[0] = '\0';
    return pg_params_check(at, params, n, clock_ms() + (uint64_t)ms, note, told, &e);
}

static void the_installed_server_refuses_what_it_would_not_start_with(void)
{
    static const struct pg_param fine[] = {
        {"work_mem", "64 MB"},         {"statement_timeout", "5min"},
        {"wal_level", "logical"},      {"my.extension", "whatever"},
        {"zero_damaged_pages", "on"},  {"timezone", "Europe/Rome"},
        {"random_page_cost", "1.1e0"}, {"max_connections", "40"},
        {"application_name", "'; x"},  {"shared_preload_libraries", "nope"}};
    static const struct pg_param wrong[] = {{"worc_mem", "8MB"},    {"work_mem", "1"},
                                            {"jit", "perhaps"},     {"fsync", "off"},
                                            {"wal_level", "full"},  {"huge_pages", "on"},
                                            {"block_size", "8192"}, {"max_connections", "x"}};

    T_EQ(check(&install, fine, COUNT(fine), 60000), 0);
    T_STR(told, "");
    T_EQ(check(&install, fine, 0, 60000), 0);
    T_EQ(check(&install, wrong, COUNT(wrong), 60000), 0);
    T_OK(strstr(told, "0 name PostgreSQL ") == told &&
         strstr(told, " has no such setting; did you mean work_mem?\n") != NULL);
    T_OK(strstr(told, "\n1 value means 1 kB, which is outside the valid range (64") != NULL);
    T_OK(strstr(told, "\n2 value is not valid; write on or off\n") != NULL);
    T_OK(strstr(told, "\n3 ") == NULL);
    T_OK(strstr(told, "\n4 value is not valid; available values: minimal, replica, logical\n") !=
         NULL);
    T_OK(strstr(told, "\n5 name cannot be set here: are outside of the memory limit\n") != NULL);
    T_OK(strstr(told, "\n6 name cannot be set: PostgreSQL only shows it\n") != NULL);
    T_OK(strstr(told, "\n7 value is not valid\n") != NULL);
}

static void what_is_wrong_only_together_is_refused_as_well(void)
{
    static const struct pg_param minimal[] = {{"fsync", "on"}, {"wal_level", "Minimal"}};
    static const struct pg_param archiving[] = {
        {"wal_level", "minimal"}, {"max_wal_senders", "0"}, {"archive_mode", "on"}};
    static const struct pg_param possible[] = {{"wal_level", "minimal"}, {"max_wal_senders", "0"}};
    static const struct pg_param few[] = {{"max_connections", "3"}};
    static const struct pg_param enough[] = {{"max_connections", "4"}};

    T_EQ(check(&install, minimal, 2, 60000), 0);
    T_STR(told, "1 value needs max_wal_senders: 0 beside it\n");
    T_EQ(check(&install, archiving, 3, 60000), 0);
    T_STR(told, "0 value needs archive_mode: off beside it\n");
    T_EQ(check(&install, possible, 2, 60000), 0);
    T_STR(told, "");
    T_EQ(check(&install, few, 1, 60000), 0);
    T_STR(told, "0 value leaves nobody a connection: 3 are kept for the owner\n");
    T_EQ(check(&install, enough, 1, 60000), 0);
    T_STR(told, "");
}

static void what_cannot_be_run_or_does_not_end_is_not_checked(void)
{
    static const struct pg_param some[] = {{"work_mem", "1"}, {"ssl", "on"}};
    struct pg_install fake = {.major = 15};
    AUTO_FREE char *program = NULL;
    char dir[] = "/tmp/dorm-test-params-XXXXXX";
    uint64_t began = clock_ms();

    T_OK(mkdtemp(dir) != NULL && chmod(dir, 0755) == 0);
    (void)snprintf(fake.bin, sizeof(fake.bin), "%s", dir);
    T_EQ(check(&fake, some, 2, 5000), -1);
    T_OK(strstr(e.msg, "cannot be run") != NULL);
    T_STR(told, "1 name cannot be set here: a missing key stops the start; TLS ends before the "
                "server\n");
    program = mem_printf("%s/postgres", dir);
    T_EQ(fd_write_file(AT_FDCWD, program, 0755, (uid_t)-1, (gid_t)-1,
                       "#!/bin/sh\nexec /bin/sleep 1000\n", 31, &e),
         0);
    T_EQ(check(&fake, some, 1, 300), -1);
    T_OK(strstr(e.msg, "in time") != NULL);
    T_EQ(fd_write_file(AT_FDCWD, program, 0755, (uid_t)-1, (gid_t)-1,
                       "#!/bin/sh\nexec /bin/cat /dev/zero\n", 33, &e),
         0);
    T_EQ(check(&fake, some, 1, 20000), -1);
    T_OK(clock_ms() - began < 15000);
    T_EQ(unlink(program), 0);
    T_EQ(rmdir(dir), 0);
}

int main(void)
{
    T_RUN(what_postgresql_says_becomes_part_of_a_sentence);
    T_RUN(names_are_what_stands_before_the_first_tab);
    if (pg_find("", "postgres", &install, &e) == 0) {
        T_RUN(the_installed_server_refuses_what_it_would_not_start_with);
        T_RUN(what_is_wrong_only_together_is_refused_as_well);
    } else
        printf("ok # SKIP no PostgreSQL is installed\n");
    T_RUN(what_cannot_be_run_or_does_not_end_is_not_checked);
    return t_end();
}
