#include "adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/str.h"

#include "name.h"
#include "ready.h"
#include "template.h"
#include "visit.h"

#define TOO_OPEN (S_IWGRP | S_IRWXO) /* PostgreSQL refuses to start with any of these */

static bool is_nothing(int dir_fd, const char *name, bool deep);

/* The first thing in a directory that is more than nothing; ret is "" when there is none. deep: an
 * empty data directory is nothing. */
static int first_in(int dir_fd, bool deep, char ret[NAME_MAX + 1], struct err *e)
{
    AUTO_CLOSE int fd = fd_open_beneath(dir_fd, ".", O_RDONLY | O_DIRECTORY, e);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (fd < 0)
        return -1;
    if (dir == NULL)
        return err_set_os(e, errno, "could not read a directory");
    fd = -1; /* dir's now */
    ret[0] = '\0';
    while ((errno = 0, entry = readdir(dir)) != NULL)
        if (!is_nothing(dirfd(dir), entry->d_name, deep))
            return str_copy(ret, NAME_MAX + 1, entry->d_name) ? 0 : -1;
    return errno == 0 ? 0 : err_set_os(e, errno, "could not read a directory");
}

/* A directory that is one and is not reached through a link, or -1 without a word. */
static int open_candidate(int dir_fd, const char *where)
{
    struct err ignored;

    return fd_open_beneath(dir_fd, where, O_RDONLY | O_DIRECTORY, &ignored);
}

static bool has_version(int data_fd)
{
    struct stat st;

    return fstatat(data_fd, "PG_VERSION", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The data directory below dir_fd: >= 0 and *ret_where; or -1 when there is none. */
static int find(int dir_fd, const char **ret_where)
{
    static const char *const places[] = {"data", ".", "pgdata"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        AUTO_CLOSE int fd = open_candidate(dir_fd, places[i]);

        if (fd < 0 || !has_version(fd))
            continue;
        *ret_where = places[i];
        return take_fd(&fd);
    }
    return -1;
}

/* An initdb that did not come far leaves an empty "data". */
static bool is_nothing(int dir_fd, const char *name, bool deep)
{
    AUTO_CLOSE int fd = -1;
    char inside[NAME_MAX + 1];
    struct err ignored;

    if (str_is(name, ".") || str_is(name, "..") || str_is(name, "lost+found"))
        return true;
    if (!deep || (!str_is(name, "data") && !str_is(name, "pgdata")))
        return false;
    fd = open_candidate(dir_fd, name);
    return fd >= 0 && first_in(fd, false, inside, &ignored) == 0 && inside[0] == '\0';
}

static int nothing_found(int dir_fd, struct err *e)
{
    char name[NAME_MAX + 1], shown[200];

    if (first_in(dir_fd, true, name, e) < 0)
        return -1;
    if (name[0] == '\0')
        return 0;
    str_show(shown, sizeof(shown), name, strlen(name));
    (void)err_set(e, ERR_CONFIG, "the volume is not empty and holds no PostgreSQL data: %s", shown);
    return err_hint(e, "give it a directory that is empty, or one with a data directory of "
                       "PostgreSQL at its root, in data or in pgdata");
}

static int check_mode(const struct stat *st, struct err *e)
{
    if ((st->st_mode & TOO_OPEN) == 0)
        return 0;
    (void)err_set(e, ERR_CONFIG,
                  "the data directory has mode %04o: PostgreSQL does not start where others than "
                  "its owner may write, or those outside of its group may read",
                  st->st_mode & 07777);
    return err_hint(e, "chmod 0700 the data directory");
}

/* Another major's data are whole, too: say that first. */
static int look_inside(int data_fd, int major, struct pg_found *ret, struct err *e)
{
    struct pg_control control;
    struct stat st;

    if (pg_data_check(data_fd, major, e) < 0 || pg_control_read(data_fd, &control, e) < 0)
        return -1;
    if (fstat(data_fd, &st) < 0)
        return err_set_os(e, errno, "could not look at the data directory");
    if (check_mode(&st, e) < 0)
        return -1;
    ret->uid = st.st_uid;
    ret->gid = st.st_gid;
    ret->state = control.state;
    ret->locked = fstatat(data_fd, "postmaster.pid", &st, AT_SYMLINK_NOFOLLOW) == 0;
    return 0;
}

int pg_adopt_look(int dir_fd, int major, struct pg_found *ret, struct err *e)
{
    const char *where = NULL;
    AUTO_CLOSE int data = find(dir_fd, &where);
    struct pg_found found = {0};

    if (data < 0)
        return nothing_found(dir_fd, e);
    (void)snprintf(found.where, sizeof(found.where), "%s", where);
    if (look_inside(data, major, &found, e) < 0)
        return str_is(where, ".") ? err_prefix(e, "in the volume")
                                  : err_prefix(e, "in \"%s\" of the volume", where);
    *ret = found;
    return 1;
}

/* A statement that names somebody. */
struct words {
    struct buf b;
    bool fits;
};

static void words_begin(struct words *w, const char *sql)
{
    buf_init(&w->b, 4096);
    w->fits = buf_put(&w->b, sql, strlen(sql));
}

static void words_ident(struct words *w, const char *name, const char *after)
{
    w->fits = w->fits && pg_put_ident(&w->b, name) && buf_put(&w->b, after, strlen(after));
}

static void words_literal(struct words *w, const char *text, const char *after)
{
    w->fits = w->fits && pg_put_literal(&w->b, text) && buf_put(&w->b, after, strlen(after));
}

/* The statement, or NULL when it did not fit. */
static const char *words_end(struct words *w)
{
    w->fits = w->fits && buf_put_u8(&w->b, 0);
    return w->fits ? (const char *)buf_data(&w->b) : NULL;
}

static int words_run(struct words *w, struct pg_client *c, struct err *e)
{
    const char *sql = words_end(w);
    int result = sql != NULL ? pg_client_exec(c, sql, e)
                             : err_set(e, ERR_INTERNAL, "a statement is too long");

    buf_done(&w->b);
    return result;
}

enum test { NO_ROW, NO, YES };

static int words_test(struct words *w, struct pg_client *c, struct err *e)
{
    const char *sql = words_end(w);
    struct err why = {0};
    char value[8];
    int result = sql != NULL ? pg_client_value(c, sql, value, sizeof(value), &why)
                             : err_set(&why, ERR_INTERNAL, "a statement is too long");

    buf_done(&w->b);
    if (result == 0)
        return str_is(value, "t") ? YES : NO;
    if (why.kind == ERR_NOT_FOUND)
        return NO_ROW;
    *e = why;
    return -1;
}

static int settle_role(struct pg_client *c, const char *name, struct err *e)
{
    struct words w;
    int is;

    words_begin(&w, "SELECT rolsuper AND rolcanlogin FROM pg_catalog.pg_authid WHERE rolname =");
    words_literal(&w, name, "");
    is = words_test(&w, c, e);
    if (is < 0 || is == YES)
        return is < 0 ? -1 : 0;
    words_begin(&w, is == NO_ROW ? "CREATE ROLE " : "ALTER ROLE ");
    words_ident(&w, name, " LOGIN SUPERUSER");
    return words_run(&w, c, e) < 0 ? -1 : 1;
}

/*
 * From template0: copying template1 fails while somebody is in it, and since PostgreSQL 15 also
 * where its data were sorted by another version of the C library.
 */
static int settle_database(struct pg_client *c, const char *name, struct err *e)
{
    struct words w;
    int is;

    words_begin(&w, "SELECT r.rolname = d.datname FROM pg_catalog.pg_database d LEFT JOIN "
                    "pg_catalog.pg_authid r ON r.oid = d.datdba WHERE d.datname =");
    words_literal(&w, name, "");
    is = words_test(&w, c, e);
    if (is < 0 || is == YES)
        return is < 0 ? -1 : 0;
    words_begin(&w, is == NO_ROW ? "CREATE DATABASE " : "ALTER DATABASE ");
    words_ident(&w, name, is == NO_ROW ? " TEMPLATE template0 OWNER " : " OWNER TO ");
    words_ident(&w, name, "");
    return words_run(&w, c, e) < 0 ? -1 : 1;
}

static bool is_superuser(struct pg_client *c)
{
    char value[8];
    struct err ignored;

    return pg_client_value(c, "SELECT pg_catalog.current_setting('is_superuser')", value,
                           sizeof(value), &ignored) == 0 &&
           str_is(value, "on");
}

/* A superuser who can log in, by the word of a role that is none. */
static bool ask_superuser(struct pg_client *c, char ret[PG_NAME_MAX + 1])
{
    struct err ignored;

    return pg_client_value(c,
                           "SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin "
                           "ORDER BY oid LIMIT 1",
                           ret, PG_NAME_MAX + 1, &ignored) == 0;
}

/* 1: in as a superuser. 0: not as this role, perhaps as *ret_other ("" if not). */
static int enter_as(const struct pg_dial *way, const char *role, uint64_t deadline,
                    struct pg_client *ret, char ret_other[PG_NAME_MAX + 1], struct err *e)
{
    ret_other[0] = '\0';
    if (pg_visit(way, role, NULL, deadline, ret, e) < 0)
        return str_starts(ret->sqlstate, "28") ? 0 : -1;
    if (is_superuser(ret))
        return 1;
    (void)ask_superuser(ret, ret_other);
    pg_client_close(ret);
    return 0;
}

static int enter(const struct pg_dial *way, const char *superuser, uint64_t deadline,
                 struct pg_client *ret, struct err *e)
{
    const char *const roles[] = {superuser, "postgres", PG_SETUP_ROLE, PG_OWNER_ROLE};
    char other[PG_NAME_MAX + 1], again[PG_NAME_MAX + 1], shown[100];

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        int in = enter_as(way, roles[i], deadline, ret, other, e);

        if (in == 0 && other[0] != '\0')
            in = enter_as(way, other, deadline, ret, again, e);
        if (in != 0)
            return in < 0 ? -1 : 0;
    }
    str_show(shown, sizeof(shown), superuser, strlen(superuser));
    (void)err_set(e, ERR_CONFIG,
                  "neither \"%s\" nor postgres can log in to these data as a superuser", shown);
    return err_hint(e,
                    "run postgres --single -D <data directory> postgres as the owner of the "
                    "files, and enter: CREATE ROLE \"%s\" LOGIN SUPERUSER",
                    shown);
}

int pg_adopt_roles(const struct pg_dial *way, const char *superuser, uint64_t deadline,
                   struct err *e)
{
    struct pg_client c;
    int role, database = 0;

    if (pg_name_check(superuser, e) < 0)
        return -1;
    if (enter(way, superuser, deadline, &c, e) < 0)
        return err_prefix(e, "could not make you known to the PostgreSQL data");
    role = settle_role(&c, superuser, e);
    if (role >= 0)
        role = INJECT("pg.adopt.role", e) < 0 ? -1 : role;
    if (role >= 0)
        database = settle_database(&c, superuser, e);
    pg_client_close(&c);
    if (role < 0 || database < 0)
        return err_prefix(e, "could not make you known to the PostgreSQL data");
    return role == 1 || database == 1;
}
