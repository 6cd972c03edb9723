/* What a server's log says of a backend that the kernel has killed. */
#include "pg/greedy.h"
#include "t.h"

#define KILLED                                                                                 \
    "2026-11-21 16:00:00.1 UTC [2] LOG:  server process (PID 77) was terminated by signal 9: " \
    "Killed\n"
#define DOING "2026-11-21 16:00:00.1 UTC [2] DETAIL:  Failed process was running: "

static bool find(const char *log, char query[40])
{
    size_t place;

    (void)snprintf(query, 40, "untouched");
    return pg_greedy_killed(log, strlen(log), &place, query, 40);
}

static void the_query_is_one_printable_line(void)
{
    char query[40];

    T_OK(find(KILLED DOING "SELECT\t 'a' ||\r 'b\x1b[31m';  \nmore\n", query));
    T_STR(query, "SELECT 'a' || 'b\\x1b[31m'");
    T_OK(find(KILLED DOING "select 0123456789 0123456789 0123456789 0123456789\n", query));
    T_EQ(strlen(query), 39);
    T_STR(query + 36, "...");
}

static void the_last_kill_counts(void)
{
    char query[40];

    T_OK(find(KILLED DOING "select 1\n" KILLED DOING "select 2\n", query));
    T_STR(query, "select 2");
    T_OK(find(KILLED DOING "select 1\n" KILLED "no more\n", query));
    T_STR(query, "");
}

static void other_ends_are_none(void)
{
    char query[40];

    T_OK(!find("", query));
    T_OK(!find("LOG:  server process (PID 77) was terminated by signal 11\n" DOING "x\n", query));
    T_OK(!find(DOING "select 1\n", query));
    T_STR(query, "untouched");
}

int main(void)
{
    T_RUN(the_query_is_one_printable_line);
    T_RUN(the_last_kill_counts);
    T_RUN(other_ends_are_none);
    return t_end();
}
