/* What a record survives: being killed, a full disk, wrong files, older and newer releases. */
#include "t.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "store/store-int.h"

static char dir[] = "/tmp/dorm-crash-XXXXXX", path[64];
static int dir_fd = -1;
static struct err e;

static void empty_dir(void)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;

    while (d != NULL && (entry = readdir(d)) != NULL)
        if (unlinkat(dirfd(d), entry->d_name, 0) < 0)
            (void)unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
    (void)closedir(d);
}

static struct store *open_store(void)
{
    struct store *s = NULL;

    if (store_open(path, &s, &e) < 0) {
        printf("Bail out! %s\n", e.msg);
        exit(1);
    }
    return s;
}

static int add(struct store *s, unsigned number)
{
    char login[32];
    struct store_user_new new = {.login = login,
                                 .uid_first = 1000,
                                 .uid_last = 4000000,
                                 .image = 17,
                                 .superuser = "x",
                                 .claim = login,
                                 .capacity = 1,
                                 .now = 1};

    (void)snprintf(login, sizeof(login), "user%u", number);
    return store_user_add(s, &new, NULL, &e);
}

static uint64_t users(struct store *s)
{
    struct store_counts n = {0};

    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users, n.servers);
    return n.users;
}

/* What the child found goes back as its exit code: the kind of failure, 0 for none. */
static int in_child(int (*fn)(void))
{
    int status = 0;
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        int found;

        t_failures = 0;
        found = fn();

        (void)fflush(stdout);
        _exit(found);
    }
    T_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int try_to_open(void)
{
    struct store *s = NULL;

    return store_open(path, &s, &e) < 0 ? (int)e.kind : 0;
}

static void a_second_process_is_told_that_the_record_is_in_use(void)
{
    struct store *s;

    empty_dir();
    s = open_store();
    T_EQ(in_child(try_to_open), ERR_BUSY);
    T_EQ(add(s, 1), 0);
    store_close(s);
    T_EQ(in_child(try_to_open), 0);
}

static void a_child_that_outlives_the_daemon_does_not_keep_the_next_one_out(void)
{
    struct store *s;
    int status;
    pid_t child;

    empty_dir();
    s = open_store();
    child = fork();
    if (child == 0)
        for (;;)
            (void)pause();
    store_close(s);
    T_EQ(in_child(try_to_open), 0);
    (void)kill(child, SIGKILL);
    T_EQ(waitpid(child, &status, 0), child);
}

static void a_new_record_is_private(void)
{
    static const char *const names[] = {"record.db", "record.db-wal", "record.db-shm",
                                        "record.db.lock", "copy.db"};
    mode_t before = umask(0);
    struct store *s;
    struct stat st;

    empty_dir();
    s = open_store();
    T_EQ(add(s, 1), 0);
    (void)snprintf(path, sizeof(path), "%s/copy.db", dir);
    T_EQ(store_backup(s, path, &e), 0);
    T_EQ(store_backup(s, path, &e), -1);
    T_EQ(e.kind, ERR_EXISTS);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        T_EQ(fstatat(dir_fd, names[i], &st, 0), 0);
        T_EQ(st.st_mode & 07777, 0600);
    }
    store_close(s);
    s = open_store(); /* the copy is a whole record */
    T_EQ(users(s), 1);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
    (void)snprintf(path, sizeof(path), "%s/record.db", dir);
    T_EQ(fchmodat(dir_fd, "record.db", 0644, 0), 0);
    store_close(open_store());
    T_EQ(fstatat(dir_fd, "record.db", &st, 0), 0);
    T_EQ(st.st_mode & 07777, 0600);
    (void)umask(before);
}

static char *content(int *ret_len)
{
    char *text = NULL;

    *ret_len = fd_read_file(dir_fd, "record.db", 1 << 24, &text, &e);
    return text;
}

/* Refused with these words, and not a byte of it changed. */
static void refused_untouched(enum err_kind kind, const char *words)
{
    struct store *s = NULL;
    int before_len, after_len;
    AUTO_FREE char *before = content(&before_len);
    AUTO_FREE char *after = NULL;

    T_EQ(store_open(path, &s, &e), -1);
    T_EQ(e.kind, kind);
    if (strstr(e.msg, words) == NULL || e.hint[0] == '\0') {
        printf("# \"%s\" (%s) lacks \"%s\"\n", e.msg, e.hint, words);
        t_failures++;
    }
    after = content(&after_len);
    T_OK(before_len == after_len && memcmp(before, after, (size_t)after_len) == 0);
}

static void sql(const char *text)
{
    sqlite3 *db = NULL;

    T_EQ(sqlite3_open(path, &db), SQLITE_OK);
    T_EQ(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void a_file_that_is_not_ours_is_left_alone(void)
{
    static const char letter[] = "Dear diary, this is no database at all.\n";

    empty_dir();
    T_EQ(fd_write_file(dir_fd, "record.db", 0600, getuid(), getgid(), letter, sizeof(letter), &e),
         0);
    refused_untouched(ERR_CONFIG, "no SQLite database");
    T_EQ(fd_write_file(dir_fd, "record.db", 0600, getuid(), getgid(), "x", 1, &e), 0);
    refused_untouched(ERR_CONFIG, "no SQLite database");
    empty_dir();
    sql("CREATE TABLE recipes (name TEXT)");
    refused_untouched(ERR_CONFIG, "another program");
    sql("PRAGMA application_id = 7");
    refused_untouched(ERR_CONFIG, "another program");
}

static void a_record_of_a_newer_release_is_left_alone(void)
{
    empty_dir();
    store_close(open_store());
    sql("PRAGMA journal_mode = DELETE; PRAGMA user_version = 99");
    refused_untouched(ERR_MISSING, "made by a newer dormd");
    T_OK(strstr(e.hint, "install the newer release again") != NULL);
}

static void a_damaged_record_is_refused(void)
{
    struct store *s;
    int len;
    AUTO_FREE char *text = NULL;

    empty_dir();
    s = open_store();
    T_EQ(store_begin(s, &e), 0);
    for (unsigned i = 0; i < 500; i++)
        T_EQ(add(s, i), 0);
    T_EQ(store_commit(s, &e), 0);
    store_close(s);
    text = content(&len);
    T_OK(len > 100000);
    memset(text + 40960, 0xa5, 8192);
    T_EQ(fd_write_file(dir_fd, "record.db", 0600, getuid(), getgid(), text, (size_t)len, &e), 0);
    refused_untouched(ERR_OS, "damaged");
    T_EQ(fd_write_file(dir_fd, "record.db", 0600, getuid(), getgid(), text, 5000, &e), 0);
    refused_untouched(ERR_OS, "damaged");
    T_EQ(fd_write_file(dir_fd, "record.db", 0600, getuid(), getgid(), "", 0, &e), 0);
    T_EQ(fd_write_file(dir_fd, "record.db-wal", 0600, getuid(), getgid(), "x", 1, &e), 0);
    refused_untouched(ERR_OS, "is empty, but");
}

static void an_empty_file_of_a_crashed_first_start_becomes_a_record(void)
{
    struct store *s;

    empty_dir();
    T_EQ(fd_write_file(dir_fd, "record.db", 0600, getuid(), getgid(), "", 0, &e), 0);
    s = open_store();
    T_EQ(add(s, 1), 0);
    store_close(s);
}

static void an_older_record_is_brought_up_to_date_and_a_copy_is_kept(void)
{
    const char *steps[] = {store_schema.steps[0], store_schema.steps[1],
                           "ALTER TABLE users ADD COLUMN phone TEXT",
                           "CREATE TABLE half (x); CREATE TABLE users (wrong)"};
    struct store_schema three = {steps, 3}, four = {steps, 4};
    struct store *s;
    int64_t n = 0;

    empty_dir();
    s = open_store();
    T_EQ(add(s, 1), 0);
    store_close(s);
    T_EQ(store_open_as(path, &four, &s, &e), -1);
    T_OK(strstr(e.msg, "from version 2 to 4: step 4") != NULL);
    T_EQ(store_open_as(path, &three, &s, &e), 0); /* the failed attempt left the old one */
    T_EQ(sql_number(s, "SELECT count(phone) + count(*) FROM users", &n, &e), 0);
    T_EQ(n, 1);
    store_close(s);
    T_EQ(store_open_as(path, &three, &s, &e), 0); /* nothing to do any more */
    store_close(s);
    refused_untouched(ERR_MISSING, "its version is 3, this one knows 2");
    (void)snprintf(path, sizeof(path), "%s/record.db.v2", dir);
    s = open_store();
    T_EQ(users(s), 1);
    store_close(s);
    (void)snprintf(path, sizeof(path), "%s/record.db", dir);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    (void)getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    (void)setrlimit(RLIMIT_FSIZE, &limit);
}

/* Adds until nothing more fits, one at a time; then goes on when there is room. */
static int fill_one_by_one(void)
{
    struct store *s;
    unsigned n = 0;

    (void)signal(SIGXFSZ, SIG_IGN);
    s = open_store();
    limit_files(800000);
    while (n < 10000 && add(s, n) == 0)
        n++;
    T_EQ(e.kind, ERR_NO_SPACE);
    T_OK(strstr(e.msg, "could not write the record") != NULL);
    T_OK(n > 5 && n < 10000);
    T_EQ(add(s, n), -1);
    T_EQ(users(s), n);
    limit_files(RLIM_INFINITY);
    T_EQ(add(s, n), 0);
    store_close(s);
    s = open_store();
    T_EQ(users(s), n + 1);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
    return t_failures;
}

/* The same in a batch: nothing of it stays, and it cannot be committed as if nothing had been. */
static int fill_in_a_batch(void)
{
    struct store *s;
    unsigned n = 1;

    (void)signal(SIGXFSZ, SIG_IGN);
    s = open_store();
    T_EQ(add(s, 0), 0);
    T_EQ(sqlite3_exec(s->db, "PRAGMA cache_size = 10", NULL, NULL, NULL), SQLITE_OK);
    limit_files(800000);
    T_EQ(store_begin(s, &e), 0);
    while (n < 10000 && add(s, n) == 0)
        n++;
    T_EQ(e.kind, ERR_NO_SPACE);
    limit_files(RLIM_INFINITY);
    if (sqlite3_get_autocommit(s->db)) {
        T_EQ(add(s, n), -1);
        T_EQ(e.kind, ERR_BUSY);
        T_EQ(store_commit(s, &e), -1);
    } else {
        store_rollback(s);
    }
    T_EQ(users(s), 1);
    T_EQ(add(s, 1), 0);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
    return t_failures;
}

static void a_full_disk_is_said_and_costs_nothing_that_was_acknowledged(void)
{
    empty_dir();
    T_EQ(in_child(fill_one_by_one), 0);
    empty_dir();
    T_EQ(in_child(fill_in_a_batch), 0);
}

enum { SKIPPED = 77 };

static int open_read_only(void)
{
    struct store *s;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", dir, "tmpfs", 0, "size=4m") < 0)
        return SKIPPED;
    s = open_store();
    T_EQ(add(s, 1), 0);
    store_close(s);
    T_EQ(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    T_EQ(store_open(path, &s, &e), -1);
    T_EQ(e.os_errno, EROFS);
    T_EQ(mount(NULL, dir, NULL, MS_REMOUNT, "size=256k"), 0);
    s = open_store();
    for (unsigned i = 2; i < 10000 && add(s, i) == 0; i++)
        ;
    T_EQ(e.kind, ERR_NO_SPACE);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
    return t_failures;
}

static void a_read_only_and_a_really_full_file_system_are_said(void)
{
    int r;

    empty_dir();
    r = in_child(open_read_only);
    if (r == SKIPPED)
        printf("# skipped: mounting a small file system needs root\n");
    else
        T_EQ(r, 0);
}

static _Noreturn void add_for_ever(int tell, unsigned from)
{
    struct store *s = open_store();

    for (unsigned i = from;; i++)
        if (add(s, i) < 0 || write(tell, &i, sizeof(i)) != (ssize_t)sizeof(i))
            _exit(1);
}

static void what_was_acknowledged_before_a_kill_is_there_and_nothing_is_half(void)
{
    unsigned told = 0;

    empty_dir();
    for (int round = 0; round < 20; round++) {
        struct store *s;
        int tell[2], status;
        unsigned wanted = told + 1 + (unsigned)round % 7, last = told;
        pid_t pid;

        T_EQ(pipe2(tell, O_CLOEXEC), 0);
        (void)fflush(stdout);
        pid = fork();
        if (pid == 0)
            add_for_ever(tell[1], told);
        (void)close(tell[1]);
        while (last < wanted && read(tell[0], &last, sizeof(last)) == (ssize_t)sizeof(last))
            ;
        (void)kill(pid, SIGKILL);
        T_EQ(waitpid(pid, &status, 0), pid);
        T_OK(WIFSIGNALED(status));
        while (read(tell[0], &last, sizeof(last)) == (ssize_t)sizeof(last))
            ;
        (void)close(tell[0]);
        s = open_store();
        told = (unsigned)users(s);
        T_OK(told == last + 1 || told == last + 2); /* one may have been kept but not told */
        T_EQ(store_check(s, &e), 0);
        store_close(s);
    }
}

int main(void)
{
    if (mkdtemp(dir) == NULL || (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return EXIT_FAILURE;
    (void)snprintf(path, sizeof(path), "%s/record.db", dir);
    T_RUN(a_second_process_is_told_that_the_record_is_in_use);
    T_RUN(a_child_that_outlives_the_daemon_does_not_keep_the_next_one_out);
    T_RUN(a_new_record_is_private);
    T_RUN(a_file_that_is_not_ours_is_left_alone);
    T_RUN(a_record_of_a_newer_release_is_left_alone);
    T_RUN(a_damaged_record_is_refused);
    T_RUN(an_empty_file_of_a_crashed_first_start_becomes_a_record);
    T_RUN(an_older_record_is_brought_up_to_date_and_a_copy_is_kept);
    T_RUN(a_full_disk_is_said_and_costs_nothing_that_was_acknowledged);
    T_RUN(a_read_only_and_a_really_full_file_system_are_said);
    T_RUN(what_was_acknowledged_before_a_kill_is_there_and_nothing_is_half);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
