#include "ready.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/str.h"

#define DATAGRAM_MAX 4096

struct line {
    const char *at;
    size_t len;
};

/* The line that begins at text, without its end, cut off from text. False: none is left. */
static bool line_next(struct line *text, struct line *ret)
{
    const char *end;

    if (text->len == 0)
        return false;
    end = memchr(text->at, '\n', text->len);
    ret->at = text->at;
    ret->len = end == NULL ? text->len : (size_t)(end - text->at);
    text->len -= ret->len + (end == NULL ? 0 : 1);
    text->at += ret->len + (end == NULL ? 0 : 1);
    return true;
}

static bool line_is(const struct line *l, const char *word)
{
    return l->len == strlen(word) && memcmp(l->at, word, l->len) == 0;
}

bool pg_notify_parse(const void *datagram, size_t len, struct pg_notify *ret)
{
    static const char status[] = "STATUS=";
    struct line text = {datagram, len}, l;
    struct pg_notify n = {0};
    bool known = false;

    if (len > DATAGRAM_MAX)
        return false;
    while (line_next(&text, &l)) {
        bool is_status =
            l.len >= sizeof(status) - 1 && memcmp(l.at, status, sizeof(status) - 1) == 0;

        n.ready |= line_is(&l, "READY=1");
        n.stopping |= line_is(&l, "STOPPING=1");
        n.reloading |= line_is(&l, "RELOADING=1");
        if (is_status)
            str_show(n.status, sizeof(n.status), l.at + sizeof(status) - 1,
                     l.len - (sizeof(status) - 1));
        known |= is_status;
    }
    if (!known && !n.ready && !n.stopping && !n.reloading)
        return false;
    *ret = n;
    return true;
}

int pg_data_check(int data_fd, int major, struct err *e)
{
    AUTO_CLOSE int fd = fd_open_beneath(data_fd, "PG_VERSION", O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
    char text[16], shown[64];
    uint64_t found;
    ssize_t n;

    if (fd < 0 && e->os_errno == ENOENT)
        return err_set(e, ERR_CONFIG,
                       "this is no data directory of PostgreSQL: it has no PG_VERSION");
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return err_set_os(e, errno, "could not read PG_VERSION");
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    str_show(shown, sizeof(shown), text, strlen(text));
    if (!str_u64(text, &found))
        return err_set(e, ERR_CONFIG, "PG_VERSION of the data directory says \"%s\", not a number",
                       shown);
    if (found == (uint64_t)major)
        return 0;
    (void)err_set(e, ERR_CONFIG, "the data are of PostgreSQL %s and do not work with PostgreSQL %d",
                  shown, major);
    return err_hint(e, "write image: postgres:%s into the hub file", shown);
}

static const char *find(const struct line *l, const char *word)
{
    return l->at == NULL || l->len == 0 ? NULL : memmem(l->at, l->len, word, strlen(word));
}

/* What stands after "FATAL:  " or "PANIC:  ", if the line says why the server itself gave up. */
static bool reason_of(const struct line *l, struct line *ret)
{
    static const char *const others[] = {"the database system is", "terminating "};
    const char *at = find(l, "FATAL:  ");

    if (at == NULL)
        at = find(l, "PANIC:  ");
    if (at == NULL)
        return false;
    at += 8;
    *ret = (struct line){at, l->len - (size_t)(at - l->at)};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (ret->len >= strlen(others[i]) && memcmp(ret->at, others[i], strlen(others[i])) == 0)
            return false; /* told to a client, or to a process that had to follow */
    return true;
}

/* "LOG:  invalid value for ...", which "configuration file contains errors" leaves unsaid. */
static bool remark_of(const struct line *l, struct line *ret)
{
    const char *at = find(l, "LOG:  ");

    if (at == NULL)
        return false;
    at += 6;
    *ret = (struct line){at, l->len - (size_t)(at - l->at)};
    return true;
}

enum err_kind pg_start_failure(const void *log, size_t len, char *ret, size_t size)
{
    struct line text = {log, len}, l, last = {"", 0}, remark = {"", 0}, reason = {"", 0};
    bool full = false;

    while (line_next(&text, &l)) {
        struct line r;

        if (l.len == 0)
            continue;
        last = l;
        full |=
            find(&l, "No space left on device") != NULL || find(&l, "Disk quota exceeded") != NULL;
        if (reason_of(&l, &r))
            reason = find(&r, "contains errors") != NULL && remark.len > 0 ? remark : r;
        else
            (void)remark_of(&l, &remark);
    }
    if (reason.len == 0)
        reason = last;
    if (reason.len == 0)
        (void)snprintf(ret, size, "%s", "the server ended without a word");
    else
        str_show(ret, size, reason.at, reason.len);
    return full ? ERR_NO_SPACE : ERR_INTERNAL;
}
