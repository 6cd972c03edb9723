#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "pg/ready.h"
#include "t.h"

#define NOTIFY(text) pg_notify_parse((text), sizeof(text) - 1, &n)

static void a_server_that_is_ready_says_so(void)
{
    struct pg_notify n = {0};

    T_OK(NOTIFY("READY=1"));
    T_OK(n.ready && !n.stopping);
    T_OK(NOTIFY("MAINPID=7\nREADY=1\nSTATUS=all is \033[31mwell\n"));
    T_OK(n.ready);
    T_STR(n.status, "all is \\x1b[31mwell");
    T_OK(NOTIFY("STOPPING=1\n"));
    T_OK(n.stopping && !n.ready && n.status[0] == '\0');
    T_OK(NOTIFY("RELOADING=1\nMONOTONIC_USEC=1"));
    T_OK(n.reloading);
}

static void nothing_like_it_is_taken_for_it(void)
{
    struct pg_notify n = {.stopping = true};
    char large[5000];

    T_OK(!NOTIFY(""));
    T_OK(!NOTIFY("READY=10"));
    T_OK(!NOTIFY("XREADY=1"));
    T_OK(!NOTIFY("READY=1\r\n"));
    T_OK(!NOTIFY("READY=1\0"));
    T_OK(!NOTIFY("STATUS"));
    T_OK(!NOTIFY("\n\n\n"));
    memset(large, '\n', sizeof(large));
    memcpy(large, "READY=1", 7);
    T_OK(!pg_notify_parse(large, sizeof(large), &n));
    T_OK(n.stopping && !n.ready); /* untouched */
}

static char dir[] = "/tmp/dorm-test-pg-XXXXXX";
static int data_fd = -1;

static int check(const char *version, struct err *e)
{
    if (fd_write_file(data_fd, "PG_VERSION", 0600, getuid(), getgid(), version, strlen(version),
                      e) < 0)
        return -2;
    return pg_data_check(data_fd, 15, e);
}

static void data_of_another_major_is_refused_in_words(void)
{
    struct err e = {0};

    T_EQ(check("15\n", &e), 0);
    T_EQ(check("15", &e), 0);
    T_EQ(check("14\n", &e), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_STR(e.msg, "the data are of PostgreSQL 14 and do not work with PostgreSQL 15");
    T_OK(strstr(e.hint, "postgres:14") != NULL);
}

static void a_hostile_version_file_is_refused(void)
{
    struct err e = {0};

    T_EQ(check("", &e), -1);
    T_EQ(check("15\033[2J", &e), -1);
    T_OK(strchr(e.msg, '\033') == NULL);
    T_EQ(check("151515151515151515151515151515151515", &e), -1);
    T_EQ(check("15 \n", &e), -1);
    T_EQ(unlinkat(data_fd, "PG_VERSION", 0), 0);
    T_EQ(pg_data_check(data_fd, 15, &e), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_EQ(symlinkat("/etc/passwd", data_fd, "PG_VERSION"), 0);
    T_EQ(pg_data_check(data_fd, 15, &e), -1);
    T_EQ(unlinkat(data_fd, "PG_VERSION", 0), 0);
    T_EQ(mkfifoat(data_fd, "PG_VERSION", 0600), 0);
    T_EQ(pg_data_check(data_fd, 15, &e), -1); /* and does not wait for a writer */
    T_EQ(unlinkat(data_fd, "PG_VERSION", 0), 0);
}

static const char *why(const char *log, enum err_kind want)
{
    static char text[120];

    T_EQ(pg_start_failure(log, strlen(log), text, sizeof(text)), want);
    return text;
}

static void the_fatal_line_is_the_reason(void)
{
    T_STR(why("2026-01-01 UTC [1] LOG:  starting PostgreSQL 15\n"
              "2026-01-01 UTC [1] FATAL:  could not access file \"nope\": No such file\n"
              "2026-01-01 UTC [1] LOG:  database system is shut down\n",
              ERR_INTERNAL),
          "could not access file \"nope\": No such file");
    T_STR(why("x FATAL:  could not load root\nx FATAL:  the database system is starting up\n"
              "x FATAL:  terminating connection due to administrator command\n",
              ERR_INTERNAL),
          "could not load root");
}

static void a_broken_setting_is_named(void)
{
    T_STR(why("LOG:  invalid value for parameter \"work_mem\": \"a lot\"\n"
              "FATAL:  configuration file \"/x\" contains errors\n",
              ERR_INTERNAL),
          "invalid value for parameter \"work_mem\": \"a lot\"");
    T_STR(why("FATAL:  configuration file \"/x\" contains errors\n", ERR_INTERNAL),
          "configuration file \"/x\" contains errors");
}

static void a_full_volume_has_its_own_kind(void)
{
    T_STR(why("PANIC:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device\n"
              "LOG:  startup process was terminated by signal 6: Aborted\n",
              ERR_NO_SPACE),
          "could not write to file \"pg_wal/xlogtemp.7\": No space left on device");
}

static void without_a_fatal_line_the_last_one_is_told(void)
{
    T_STR(why("postgres: error while loading shared libraries: libx.so\n\n", ERR_INTERNAL),
          "postgres: error while loading shared libraries: libx.so");
    T_STR(why("", ERR_INTERNAL), "the server ended without a word");
    T_STR(why("\n\n\n", ERR_INTERNAL), "the server ended without a word");
    T_STR(why("FATAL:  ", ERR_INTERNAL), "FATAL:  ");
}

static void what_a_user_wrote_into_the_log_is_escaped(void)
{
    char long_line[4000];

    T_STR(why("FATAL:  \033]0;x\007 \xff\n", ERR_INTERNAL), "\\x1b]0;x\\x07 \\xff");
    memset(long_line, 'a', sizeof(long_line));
    memcpy(long_line, "PANIC:  ", 8);
    long_line[sizeof(long_line) - 1] = '\0';
    T_EQ(strlen(why(long_line, ERR_INTERNAL)) < 120, 1);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return 1;
    data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_RUN(a_server_that_is_ready_says_so);
    T_RUN(nothing_like_it_is_taken_for_it);
    T_RUN(data_of_another_major_is_refused_in_words);
    T_RUN(a_hostile_version_file_is_refused);
    T_RUN(the_fatal_line_is_the_reason);
    T_RUN(a_broken_setting_is_named);
    T_RUN(a_full_volume_has_its_own_kind);
    T_RUN(without_a_fatal_line_the_last_one_is_told);
    T_RUN(what_a_user_wrote_into_the_log_is_escaped);
    close_fd(&data_fd);
    (void)rmdir(dir);
    return t_end();
}
