#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/install.h"
#include "t.h"

static char root[] = "/tmp/dorm-test-pg-XXXXXX";
static struct pg_install all[PG_INSTALLS];
static struct err e;

/* root/path, with its directories; an executable script unless text is NULL. */
static void put(const char *path, const char *text)
{
    AUTO_FREE char *whole = mem_printf("%s/%s", root, path);

    for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(whole, 0755);
        *p = '/';
    }
    if (text == NULL)
        (void)unlink(whole);
    else
        T_EQ(fd_write_file(AT_FDCWD, whole, 0755, getuid(), getgid(), text, strlen(text), &e), 0);
}

static void server(const char *bin, const char *says)
{
    AUTO_FREE char *postgres = mem_printf("%s/postgres", bin);
    AUTO_FREE char *initdb = mem_printf("%s/initdb", bin);
    AUTO_FREE char *script = mem_printf("#!/bin/sh\n%s\n", says);

    put(postgres, script);
    put(initdb, "#!/bin/sh\n");
}

static void an_image_is_a_major_or_the_newest(void)
{
    int major = -1;

    T_EQ(pg_image_parse("postgres", &major, &e), 0);
    T_EQ(major, 0);
    T_EQ(pg_image_parse("postgres:15", &major, &e), 0);
    T_EQ(major, 15);
    T_EQ(pg_image_parse("postgres:14.5", &major, &e), 0);
    T_EQ(major, 14);
}

static void any_other_image_is_refused_with_a_hint(void)
{
    static const char *const wrong[] = {"",
                                        "mysql",
                                        "postgres:",
                                        "postgres:x",
                                        "postgres:15.",
                                        "postgres:15.x",
                                        "postgres:15.3.1",
                                        "postgres:15-alpine",
                                        "postgres:-15",
                                        "postgres: 15",
                                        "postgres15",
                                        "postgres:12",
                                        "postgres:19",
                                        "postgres:99999999999999999999",
                                        "Postgres:15"};
    int major = 7;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        e = (struct err){0};
        T_EQ(pg_image_parse(wrong[i], &major, &e), -1);
        T_EQ(e.kind, ERR_INPUT);
        T_OK(e.hint[0] != '\0');
    }
    T_EQ(major, 7);
}

static void versions_are_read_as_postgres_prints_them(void)
{
    char version[32];
    int major = 0;

    T_EQ(pg_version_parse("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n", &major, version,
                          sizeof(version)),
         0);
    T_EQ(major, 15);
    T_STR(version, "15.20");
    T_EQ(pg_version_parse("postgres (PostgreSQL) 18rc1", &major, version, sizeof(version)), 0);
    T_EQ(major, 18);
    T_STR(version, "18rc1");
    T_EQ(pg_version_parse("", &major, version, sizeof(version)), -1);
    T_EQ(pg_version_parse("postgres (PostgreSQL) ", &major, version, sizeof(version)), -1);
    T_EQ(pg_version_parse("postgres (PostgreSQL) devel", &major, version, sizeof(version)), -1);
    T_EQ(pg_version_parse("postgres (PostgreSQL) 99999999999999999999999", &major, version, 32),
         -1);
    T_EQ(pg_version_parse("postgres (PostgreSQL) 15.00000000000000000000000000000000000000", &major,
                          version, 32),
         -1);
}

static void without_any_server_the_package_is_named(void)
{
    struct pg_install found;

    T_EQ(pg_find(root, "postgres", &found, &e), -1);
    T_EQ(e.kind, ERR_MISSING);
    T_STR(e.hint, "apt-get install postgresql");
    T_EQ(pg_find(root, "postgres:15", &found, &e), -1);
    T_STR(e.hint, "apt-get install postgresql-15");
}

static void servers_are_listed_newest_first(void)
{
    server("usr/lib/postgresql/13/bin", "echo 'postgres (PostgreSQL) 13.4'");
    server("usr/lib/postgresql/15/bin", "echo 'postgres (PostgreSQL) 15.3'");
    server("usr/lib/postgresql/12/bin", "echo 'postgres (PostgreSQL) 12.1'");
    server("usr/pgsql-16/bin", "echo 'postgres (PostgreSQL) 16.1'");
    server("usr/pgsql-15/bin", "echo 'postgres (PostgreSQL) 15.99'");
    server("usr/local/pgsql/bin", "echo no");
    T_EQ(pg_list(root, all, &e), 3);
    T_EQ(all[0].major, 16);
    T_STR(all[1].version, "15.3"); /* the distribution's own before another of that major */
    T_EQ(all[2].major, 13);
}

static void an_image_finds_its_major(void)
{
    struct pg_install found = {0};

    T_EQ(pg_find(root, "postgres", &found, &e), 0);
    T_EQ(found.major, 16);
    T_EQ(pg_find(root, "postgres:13.99", &found, &e), 0);
    T_EQ(found.major, 13);
    T_OK(strstr(found.bin, "/usr/lib/postgresql/13/bin") != NULL);
}

static void what_is_missing_is_told_with_what_is_there(void)
{
    struct pg_install found;

    T_EQ(pg_find(root, "postgres:14", &found, &e), -1);
    T_EQ(e.kind, ERR_MISSING);
    T_STR(e.msg, "PostgreSQL 14 is not installed; installed: 16, 15, 13");
    T_STR(e.hint, "apt-get install postgresql-14, or write image: postgres:16");
}

static void a_directory_without_initdb_is_no_server(void)
{
    put("usr/pgsql-16/bin/initdb", NULL);
    T_EQ(pg_list(root, all, &e), 2);
    T_EQ(all[0].major, 15);
}

static void a_program_that_hangs_or_floods_is_left(void)
{
    uint64_t began = clock_ms();

    server("usr/pgsql-18/bin", "exec sleep 60");
    server("usr/pgsql-17/bin", "exec yes");
    T_EQ(pg_list(root, all, &e), 2);
    T_OK(clock_ms() - began < 20000);
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int main(void)
{
    if (mkdtemp(root) == NULL)
        return 1;
    T_RUN(an_image_is_a_major_or_the_newest);
    T_RUN(any_other_image_is_refused_with_a_hint);
    T_RUN(versions_are_read_as_postgres_prints_them);
    T_RUN(without_any_server_the_package_is_named);
    T_RUN(servers_are_listed_newest_first);
    T_RUN(an_image_finds_its_major);
    T_RUN(what_is_missing_is_told_with_what_is_there);
    T_RUN(a_directory_without_initdb_is_no_server);
    T_RUN(a_program_that_hangs_or_floods_is_left);
    (void)nftw(root, drop, 8, FTW_DEPTH | FTW_PHYS);
    return t_end();
}
