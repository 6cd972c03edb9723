/* sql.c: statements by name, SQLite's complaints in our words, and changes that hold or do not. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/str.h"

#include "store-int.h"

const struct query_row store_queries[QUERY_N] = {
#define X(name, reach, text) [Q_##name] = {#name, reach, text},
    QUERIES(X)
#undef X
};

static int failed_on_disk(struct store *s, int number, struct err *e)
{
    /* EFBIG is a file size limit: for who reads this it is the same as a full disk */
    if (number == 0 || number == ENOSPC || number == EDQUOT || number == EFBIG) {
        (void)err_set(e, ERR_NO_SPACE, "could not write the record \"%s\": %s", s->path,
                      strerror(number == 0 ? ENOSPC : number));
        return err_hint(e, "free some space where it lies; nothing that was acknowledged is lost");
    }
    return err_set_os(e, number, "could not read or write the record \"%s\"", s->path);
}

int store_failed(struct store *s, struct err *e)
{
    int code = sqlite3_errcode(s->db), number = sqlite3_system_errno(s->db);

    switch (code & 0xff) {
    case SQLITE_FULL:
        return failed_on_disk(s, 0, e);
    case SQLITE_IOERR:
        return failed_on_disk(s, number == 0 ? EIO : number, e);
    case SQLITE_NOMEM:
        return err_set_os(e, ENOMEM, "could not use the record \"%s\"", s->path);
    case SQLITE_READONLY:
        (void)err_set_os(e, EROFS, "could not write the record \"%s\"", s->path);
        return err_hint(e, "is its file system mounted read-only, or full of errors? see dmesg");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        (void)err_set(e, ERR_BUSY, "the record \"%s\" is locked by another program", s->path);
        return err_hint(e, "is it open in sqlite3? close that and try again");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        (void)err_set(e, ERR_OS, "the record \"%s\" is damaged: %s", s->path,
                      sqlite3_errmsg(s->db));
        return err_hint(e, "it has been left as it is; put a backup in its place "
                           "(dorm backup list), and keep the damaged file");
    default:
        return err_set(e, ERR_INTERNAL, "could not use the record \"%s\": %s", s->path,
                       sqlite3_errmsg(s->db));
    }
}

sqlite3_stmt *sql_get(struct store *s, enum query q, struct err *e)
{
    sqlite3_stmt **st = &s->cached[q];

    if (*st == NULL && sqlite3_prepare_v3(s->db, store_queries[q].text, -1,
                                          SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK) {
        (void)store_failed(s, e);
        return NULL;
    }
    if (sqlite3_stmt_busy(*st)) {
        (void)err_set(e, ERR_INTERNAL, "the record is being listed and was asked the same again");
        return NULL;
    }
    return *st;
}

void sql_done(sqlite3_stmt **st)
{
    if (*st == NULL)
        return;
    (void)sqlite3_reset(*st); /* repeats the failure of the last step, which was reported then */
    (void)sqlite3_clear_bindings(*st);
}

static void bind(sqlite3_stmt *st, const char *kinds, va_list ap)
{
    for (int i = 0; kinds[i] != '\0'; i++) {
        int r = kinds[i] == 's'
                    ? sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1, SQLITE_STATIC)
                    : sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));

        assert(r == SQLITE_OK); /* else the table and its caller disagree, or memory is gone */
    }
}

void sql_bind(sqlite3_stmt *st, const char *kinds, ...)
{
    va_list ap;

    va_start(ap, kinds);
    bind(st, kinds, ap);
    va_end(ap);
}

int sql_step(struct store *s, sqlite3_stmt *st, struct err *e)
{
    switch (sqlite3_step(st)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return store_failed(s, e);
    }
}

sqlite3_stmt *sql_one(struct store *s, enum query q, const char *what, const char *key,
                      struct err *e)
{
    STMT st = sql_get(s, q, e);
    int r;

    if (st == NULL)
        return NULL;
    sql_bind(st, "s", key);
    r = sql_step(s, st, e);
    if (r == 0)
        (void)store_nobody(what, key, e);
    return r == 1 ? take_ptr(st) : NULL;
}

int sql_run(struct store *s, struct err *e, enum query q, const char *kinds, ...)
{
    STMT st = sql_get(s, q, e);
    va_list ap;

    if (st == NULL)
        return -1;
    va_start(ap, kinds);
    bind(st, kinds, ap);
    va_end(ap);
    return sql_step(s, st, e) < 0 ? -1 : sqlite3_changes(s->db);
}

int sql_number(struct store *s, const char *text, int64_t *ret_number, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int r = sqlite3_prepare_v2(s->db, text, -1, &st, NULL) == SQLITE_OK ? sql_step(s, st, e)
                                                                        : store_failed(s, e);

    if (r >= 0)
        *ret_number = r == 1 ? sqlite3_column_int64(st, 0) : 0;
    (void)sqlite3_finalize(st);
    return r < 0 ? -1 : 0;
}

/*
 * SQLite gives up the whole transaction when the disk is full or fails. In a batch what follows
 * would then be kept although what went before is gone, so nothing more is taken until it is ended.
 */
int op_begin(struct store *s, struct err *e)
{
    if (s->batch && sqlite3_get_autocommit(s->db)) {
        (void)err_set(e, ERR_BUSY, "a change before this one failed and undid all of them");
        return err_hint(e, "see the failure before this one, then start again");
    }
    return sql_run(s, e, Q_SAVE, "");
}

int op_end(struct store *s, int r, struct err *e)
{
    struct err ignored;

    if (r >= 0 && sql_run(s, e, Q_KEEP, "") >= 0)
        return r;
    if (sqlite3_get_autocommit(s->db))
        return -1;
    (void)sql_run(s, &ignored, Q_UNDO, "");
    (void)sql_run(s, &ignored, Q_KEEP, "");
    if (!s->batch && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return -1;
}

int store_changed(struct store *s, const char *what, const char *id, int changed, struct err *e)
{
    return op_end(s, changed == 0 ? store_nobody(what, id, e) : changed, e) < 0 ? -1 : 0;
}

int store_text_check(const char *what, const char *s, size_t size, struct err *e)
{
    size_t len = strnlen(s, size);

    if (len == size)
        return err_set(e, ERR_INPUT, "the %s is longer than %zu bytes", what, size - 1);
    if (!str_utf8(s, len))
        return err_set(e, ERR_INPUT, "the %s is not valid UTF-8", what);
    return 0;
}

const char *store_ref(const char *id)
{
    return id[0] == '\0' ? NULL : id;
}

int store_begin(struct store *s, struct err *e)
{
    assert(!s->batch);
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        return store_failed(s, e);
    s->batch = true;
    return 0;
}

int store_commit(struct store *s, struct err *e)
{
    int r;

    assert(s->batch);
    if (sqlite3_get_autocommit(s->db))
        r = err_set(e, ERR_BUSY, "one of the changes failed and undid all of them");
    else
        r = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(s, e);
    if (r < 0)
        store_rollback(s);
    s->batch = false;
    return r;
}

void store_rollback(struct store *s)
{
    if (s->batch && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->batch = false;
    s->uid_next = s->uid_first; /* uids given out since store_begin are free again */
}
