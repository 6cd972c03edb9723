/* A data directory as its owner can leave it, and what of that is put right. */
#include "pg/mend.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"
#include "pg/place.h"
#include "t.h"

static char top[64];
static int pod = -1, data = -1;
static struct err e;
static struct pg_mended m;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static bool put(const char *name, const char *text)
{
    int fd = openat(data, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    close_fd(&fd);
    return done;
}

static bool has(const char *name)
{
    return faccessat(data, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is(const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(data, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char found[64] = "";

    return fd >= 0 && read(fd, found, sizeof(found) - 1) >= 0 && strcmp(found, text) == 0;
}

static void end(void)
{
    close_fd(&pod);
    close_fd(&data);
    if (top[0] != '\0')
        (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void begin(void)
{
    end();
    (void)snprintf(top, sizeof(top), "/tmp/t-mend-XXXXXX");
    T_OK(mkdtemp(top) != NULL);
    pod = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    T_EQ(mkdirat(pod, PG_DATA_NAME, 0700), 0);
    data = openat(pod, PG_DATA_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    T_EQ(mkdirat(data, "base", 0700) | mkdirat(data, "base/1", 0700) |
             mkdirat(data, "global", 0700),
         0);
    T_OK(put("PG_VERSION", "15\n") && put("base/1/PG_VERSION", "15\n") &&
         put("global/pg_control", "x"));
    memset(&m, 0, sizeof(m));
    memset(&e, 0, sizeof(e));
}

static void what_holds_a_file_is_not_empty(void)
{
    begin();
    T_EQ(pg_is_emptied(pod, &e), 0);
    T_EQ(unlinkat(data, "PG_VERSION", 0) | unlinkat(data, "base/1/PG_VERSION", 0), 0);
    T_EQ(pg_is_emptied(pod, &e), 0);
    T_EQ(unlinkat(data, "global/pg_control", 0), 0);
    T_EQ(pg_is_emptied(pod, &e), 1);
    T_EQ(symlinkat("/etc", data, "base/2"), 0); /* a link is something, wherever it leads */
    T_EQ(pg_is_emptied(pod, &e), 0);
    begin();
    T_EQ(renameat(pod, PG_DATA_NAME, pod, "old"), 0);
    T_EQ(pg_is_emptied(pod, &e), -1);
    T_EQ(e.kind, ERR_MISSING);
    T_EQ(symlinkat("old", pod, PG_DATA_NAME), 0);
    T_EQ(pg_is_emptied(pod, &e), 0);
}

static void no_data_directory_at_all_is_empty(void)
{
    begin();
    T_EQ(nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    T_EQ(mkdir(top, 0700), 0);
    close_fd(&pod);
    pod = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    T_EQ(pg_is_emptied(pod, &e), 1);
}

static void what_would_be_waited_for_is_set_aside(void)
{
    begin();
    T_EQ(mkfifoat(data, "postgresql.auto.conf", 0600), 0);
    T_EQ(mkfifoat(data, "postgresql.conf", 0600), 0);
    T_EQ(mkfifoat(data, "postmaster.pid", 0600), 0);
    T_EQ(symlinkat("/dev/zero", data, "backup_label"), 0); /* PostgreSQL's to refuse */
    T_EQ(pg_mend_data(data, 15, &m, &e), 0);
    T_OK(has("postgresql.auto.conf.aside") && !has("postgresql.auto.conf"));
    T_OK(has("postgresql.conf.aside") && !has("postgresql.conf") && !has("postmaster.pid"));
    T_OK(strstr(m.said, "postgresql.auto.conf was no file and was set aside") != NULL);
    T_OK(has("pg_notify") && has("pg_logical/snapshots") && !has("pg_xact") && !has("pg_wal"));
    memset(&m, 0, sizeof(m));
    T_EQ(pg_mend_data(data, 15, &m, &e), 0);
    T_STR(m.said, "");
}

/* A pod does not reach what everybody may write on the host; whoever mends for it does. */
static void nothing_is_made_or_moved_behind_a_link(void)
{
    begin();
    T_EQ(mkdirat(pod, "host", 0777) | mkfifoat(pod, "host/pg_control", 0600), 0);
    T_EQ(unlinkat(data, "global/pg_control", 0) | unlinkat(data, "global", AT_REMOVEDIR), 0);
    T_EQ(symlinkat("../host", data, "global") | symlinkat("../host", data, "pg_logical"), 0);
    T_EQ(pg_mend_data(data, 15, &m, &e), 0);
    T_OK(has("pg_notify") && has("../host/pg_control"));
    T_OK(!has("../host/pg_control.aside") && !has("../host/mappings"));
}

static void the_version_is_written_again_where_it_is_known(void)
{
    begin();
    T_EQ(unlinkat(data, "PG_VERSION", 0), 0);
    T_EQ(pg_mend_data(data, 14, &m, &e), 0);
    T_OK(!has("PG_VERSION"));
    T_EQ(pg_mend_data(data, 15, &m, &e), 0);
    T_OK(is("PG_VERSION", "15\n"));
    T_EQ(unlinkat(data, "PG_VERSION", 0), 0);
    T_EQ(symlinkat("/etc/passwd", data, "PG_VERSION"), 0);
    T_EQ(pg_mend_data(data, 15, &m, &e), 0);
    T_OK(is("PG_VERSION", "15\n") && has("PG_VERSION.aside"));
}

static void settings_are_set_aside_if_there_are_any_and_come_back(void)
{
    char aside[PG_ASIDE_SIZE], second[PG_ASIDE_SIZE];

    begin();
    T_EQ(pg_set_aside(data, "postgresql.auto.conf", aside, &e), 0);
    T_OK(put("postgresql.auto.conf", "# Do not edit\n\n  # nor this\n"));
    T_EQ(pg_set_aside(data, "postgresql.auto.conf", aside, &e), 0);
    T_OK(put("postgresql.auto.conf", "# Do not edit\nssl = on\n"));
    T_EQ(pg_set_aside(data, "postgresql.auto.conf", aside, &e), 1);
    T_STR(aside, "postgresql.auto.conf.aside");
    T_OK(put("postgresql.auto.conf", "work_mem = '1MB'"));
    T_EQ(pg_set_aside(data, "postgresql.auto.conf", second, &e), 1);
    T_STR(second, "postgresql.auto.conf.aside.2");
    T_OK(is(aside, "# Do not edit\nssl = on\n"));
    T_EQ(pg_put_back(data, "postgresql.auto.conf", aside, &e), 0);
    T_OK(is("postgresql.auto.conf", "# Do not edit\nssl = on\n"));
    T_EQ(pg_put_back(data, "postgresql.auto.conf", second, &e), 0); /* the other stays */
    T_OK(is("postgresql.auto.conf", "# Do not edit\nssl = on\n") && has(second));
}

static void modes_are_put_right(void)
{
    struct stat st;

    begin();
    T_EQ(fchmod(data, 0777), 0);
    T_EQ(chmod(top, 0), 0);
    T_EQ(pg_mend_entrance(pod, PG_DATA_NAME, &m, &e), 0);
    T_EQ(fstat(data, &st), 0);
    T_EQ(st.st_mode & 07777, 0700);
    T_EQ(fstat(pod, &st), 0);
    T_EQ(st.st_mode & 07777, 0700);
    T_EQ(pg_mend_modes(data, &m, &e), 0);
    T_EQ(fchmodat(data, "base/1/PG_VERSION", 0, 0) | fchmodat(data, "base/1", 0, 0), 0);
    T_EQ(pg_mend_modes(data, &m, &e), 1);
    T_EQ(fstatat(data, "base/1/PG_VERSION", &st, 0), 0);
    T_EQ(st.st_mode & 07777, 0600);
}

static void a_link_is_followed_no_further_than_beside(void)
{
    static const char *const wrong[] = {"../x", "/etc", "nothing", "data", "."};

    begin();
    T_EQ(renameat(pod, PG_DATA_NAME, pod, "mine"), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        T_EQ(symlinkat(wrong[i], pod, PG_DATA_NAME), 0);
        T_EQ(pg_mend_entrance(pod, PG_DATA_NAME, &m, &e), -1);
        T_EQ(unlinkat(pod, PG_DATA_NAME, 0), 0);
    }
    T_EQ(symlinkat("mine", pod, PG_DATA_NAME), 0);
    T_EQ(pg_mend_entrance(pod, PG_DATA_NAME, &m, &e), 0);
    T_STR(m.said, "the data directory was a link, and is in its place again");
    T_EQ(faccessat(pod, "mine", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    T_OK(has("PG_VERSION"));
}

static void names_are_quoted_and_what_is_said_is_understood(void)
{
    static const char said[] = "PostgreSQL stand-alone backend 15\nbackend> \t 1: ?column? = "
                               "\"dorm mends role\"\t(typeid = 25)\n";
    struct buf sql;

    begin();
    buf_init(&sql, 16384);
    T_EQ(pg_mend_sql("o'b\"x", &sql, &e), 0);
    T_OK(memmem(buf_data(&sql), buf_len(&sql), "\nCREATE ROLE \"o'b\"\"x\"\n", 22) != NULL);
    T_OK(memmem(buf_data(&sql), buf_len(&sql), "'o''b\"x'", 8) != NULL);
    buf_done(&sql);
    buf_init(&sql, 16384);
    T_EQ(pg_mend_sql("a\nDROP", &sql, &e), -1);
    buf_done(&sql);
    T_OK(!pg_mend_said("alice", "nothing", 7, &m));
    T_OK(pg_mend_said("alice", said, sizeof(said) - 1, &m));
    T_STR(m.said, "role \"alice\" was no superuser who can log in, and is one again");
}

int main(void)
{
    T_RUN(what_holds_a_file_is_not_empty);
    T_RUN(no_data_directory_at_all_is_empty);
    T_RUN(what_would_be_waited_for_is_set_aside);
    T_RUN(nothing_is_made_or_moved_behind_a_link);
    T_RUN(the_version_is_written_again_where_it_is_known);
    T_RUN(settings_are_set_aside_if_there_are_any_and_come_back);
    T_RUN(modes_are_put_right);
    T_RUN(a_link_is_followed_no_further_than_beside);
    T_RUN(names_are_quoted_and_what_is_said_is_understood);
    end();
    return t_end();
}
