/* open.c: the record as a file: taken by one process, recognised before it is touched, copied. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "store-int.h"

enum { BUSY_MS = 5000 };

/*
 * A process's lock, not an open file's: a child that was forked for slow work and outlives us must
 * not keep the next daemon out.
 */
static int take_lock(struct store *s, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s.lock", s->path);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", path);
    if (fcntl(s->lock_fd, F_SETLK, &whole) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return err_set_os(e, errno, "could not lock \"%s\"", path);
    if (fcntl(s->lock_fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK)
        (void)err_set(e, ERR_BUSY, "the record \"%s\" is in use by process %d", s->path,
                      (int)whole.l_pid);
    else
        (void)err_set(e, ERR_BUSY, "the record \"%s\" is in use by another process", s->path);
    return err_hint(e, "one dormd is enough: see \"dorm status\"");
}

static int not_ours(struct store *s, const char *why, struct err *e)
{
    (void)err_set(e, ERR_CONFIG, "\"%s\" is not a record of ours: %s", s->path, why);
    return err_hint(e, "it has been left as it is; move it away, or name another state directory");
}

/* Before SQLite sees it: a new empty file, or one that begins as its files do. */
static int look_at_file(struct store *s, struct err *e)
{
    static const char magic[16] = "SQLite format 3";
    AUTO_FREE char *log = mem_printf("%s-wal", s->path);
    AUTO_CLOSE int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    char head[sizeof(magic)];
    struct stat st, log_st;

    if (fd < 0)
        return err_set_os(e, errno, "could not open the record \"%s\"", s->path);
    if (fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at the record \"%s\"", s->path);
    if (!S_ISREG(st.st_mode))
        return not_ours(s, "it is no regular file", e);
    if (st.st_size == 0) {
        /* SQLite would take the file for new and drop the log, which may hold all there is */
        if (stat(log, &log_st) < 0 || log_st.st_size == 0)
            return 0;
        (void)err_set(e, ERR_OS, "the record \"%s\" is empty, but \"%s\" is not", s->path, log);
        return err_hint(e, "put a backup in its place (dorm backup list), or move both away");
    }
    if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        memcmp(head, magic, sizeof(magic)) != 0)
        return not_ours(s, "it is no SQLite database", e);
    if ((st.st_mode & 077) != 0 && fchmod(fd, st.st_mode & 0700) < 0)
        return err_set_os(e, errno, "could not make \"%s\" private", s->path);
    return 0;
}

static int recognise(struct store *s, const struct store_schema *schema, struct err *e)
{
    int version = 0;
    int64_t mark = 0, tables = 0;

    if (sql_number(s, "PRAGMA application_id", &mark, e) < 0 ||
        sql_number(s, "SELECT count(*) FROM sqlite_schema", &tables, e) < 0)
        return -1;
    if (mark != STORE_APPLICATION_ID && (mark != 0 || tables != 0))
        return not_ours(s, "it belongs to another program", e);
    return store_version(s, schema, &version, e);
}

static int pragma(struct store *s, const char *text, struct err *e)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(s, e);
}

static int set_up(struct store *s, struct err *e)
{
    sqlite3_stmt *st = NULL;
    bool logged;

    if (sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &st, NULL) != SQLITE_OK)
        return store_failed(s, e);
    if (sql_step(s, st, e) < 0) {
        (void)sqlite3_finalize(st);
        return -1;
    }
    logged = str_is((const char *)sqlite3_column_text(st, 0), "wal");
    (void)sqlite3_finalize(st);
    if (!logged) {
        (void)err_set(e, ERR_OS, "the record \"%s\" cannot have a write-ahead log there", s->path);
        return err_hint(e, "the state directory wants a local file system with shared memory");
    }
    return pragma(s,
                  "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
                  "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 16777216",
                  e);
}

static int open_it(struct store *s, const struct store_schema *schema, struct err *e)
{
    if (take_lock(s, e) < 0 || look_at_file(s, e) < 0)
        return -1;
    if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        if (s->db == NULL)
            return err_set_os(e, ENOMEM, "could not open the record \"%s\"", s->path);
        return store_failed(s, e);
    }
    (void)sqlite3_extended_result_codes(s->db, 1);
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* what turns out not to be ours keeps even its log when we close it */
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (recognise(s, schema, e) < 0 || store_look(s, e) < 0 || set_up(s, e) < 0)
        return -1;
    if (store_migrate(s, schema, e) < 0 || pragma(s, "PRAGMA foreign_keys = ON", e) < 0)
        return -1;
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return 0;
}

int store_open_as(const char *path, const struct store_schema *schema, struct store **ret_store,
                  struct err *e)
{
    struct store *s = mem_new(sizeof(*s));

    s->path = mem_copy(path);
    s->lock_fd = -1;
    if (open_it(s, schema, e) < 0) {
        store_close(s);
        return -1;
    }
    *ret_store = s;
    return 0;
}

int store_open(const char *path, struct store **ret_store, struct err *e)
{
    return store_open_as(path, &store_schema, ret_store, e);
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    store_rollback(s);
    for (int i = 0; i < QUERY_N; i++)
        (void)sqlite3_finalize(s->cached[i]);
    (void)sqlite3_close(s->db);
    close_fd(&s->lock_fd); /* last: the next one may come in from here on */
    free(s->path);
    free(s);
}

int store_look(struct store *s, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int r = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK
                ? sql_step(s, st, e)
                : store_failed(s, e);
    const char *answer = r == 1 ? (const char *)sqlite3_column_text(st, 0) : NULL;

    if (answer == NULL)
        answer = "no answer";
    if (r >= 0 && !str_is(answer, "ok")) {
        char shown[160];

        r = err_set(e, ERR_OS, "the record \"%s\" is damaged: %s", s->path,
                    str_show(shown, sizeof(shown), answer, strlen(answer)));
        (void)err_hint(e, "it has been left as it is; put a copy from a backup in its "
                          "place, and keep the damaged file");
    }
    (void)sqlite3_finalize(st);
    return r < 0 ? -1 : 0;
}

int store_check(struct store *s, struct err *e)
{
    int64_t strays = 0;

    if (store_look(s, e) < 0 ||
        sql_number(s, "SELECT count(*) FROM pragma_foreign_key_check", &strays, e) < 0)
        return -1;
    if (strays != 0)
        return err_set(e, ERR_INTERNAL, "%lld rows of the record \"%s\" belong to nothing",
                       (long long)strays, s->path);
    return 0;
}

/* SQLite does not sync what VACUUM INTO writes, and would make it readable to all. */
static int copy_into(struct store *s, const char *part, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    sqlite3_stmt *st = NULL;
    int r;

    if (unlink(part) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not replace \"%s\"", part);
    fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_os(e, errno, "could not create \"%s\"", part);
    if (sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &st, NULL) != SQLITE_OK)
        return store_failed(s, e);
    sql_bind(st, "s", part);
    r = sql_step(s, st, e);
    (void)sqlite3_finalize(st);
    if (r < 0)
        return -1;
    return fsync(fd) < 0 ? err_set_os(e, errno, "could not sync \"%s\"", part) : 0;
}

static int sync_folder_of(const char *path, struct err *e)
{
    AUTO_FREE char *folder = mem_copy(path);
    char *slash = strrchr(folder, '/');
    AUTO_CLOSE int fd = -1;

    if (slash != NULL)
        slash[slash == folder ? 1 : 0] = '\0';
    fd = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync the directory of \"%s\"", path);
    return 0;
}

int store_backup(struct store *s, const char *path, struct err *e)
{
    AUTO_FREE char *part = mem_printf("%s.part", path);

    if (copy_into(s, part, e) < 0) {
        (void)unlink(part);
        return err_prefix(e, "could not copy the record to \"%s\"", path);
    }
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
        int number = errno;

        (void)unlink(part);
        if (number == EEXIST)
            return err_set(e, ERR_EXISTS, "\"%s\" is there already", path);
        return err_set_os(e, number, "could not name \"%s\"", path);
    }
    return sync_folder_of(path, e);
}
