#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    char sqlstate[6];
    short http, exit_code;
} kinds[ERR_KIND_N] = {
#define X(name, sqlstate, http, exit_code) [ERR_##name] = {sqlstate, http, exit_code},
    ERR_KINDS(X)
#undef X
};

void err_raise(struct err *e, enum err_kind kind, int os_errno, const char *file, int line,
               const char *fmt, ...)
{
    struct err raised = {.kind = kind, .os_errno = os_errno, .file = file, .line = line};
    va_list ap;
    int n;

    /* not in place: the arguments may be the texts of an earlier failure in *e */
    va_start(ap, fmt);
    n = vsnprintf(raised.msg, sizeof(raised.msg), fmt, ap);
    va_end(ap);
    if (os_errno != 0 && n >= 0 && (size_t)n < sizeof(raised.msg))
        (void)snprintf(raised.msg + n, sizeof(raised.msg) - (size_t)n, ": %s", strerror(os_errno));
    *e = raised;
}

void err_put_before(struct err *e, const char *fmt, ...)
{
    enum { SIZE = sizeof(e->msg) };
    char whole[2 * SIZE + 2];
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    (void)vsnprintf(whole, SIZE, fmt, ap);
    va_end(ap);
    n = strlen(whole);
    (void)snprintf(whole + n, sizeof(whole) - n, ": %s", e->msg);
    whole[SIZE - 1] = '\0';
    memcpy(e->msg, whole, SIZE);
}

void err_put_hint(struct err *e, const char *fmt, ...)
{
    char hint[sizeof(e->hint)];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(hint, sizeof(hint), fmt, ap);
    va_end(ap);
    memcpy(e->hint, hint, sizeof(hint));
}

/* ENOENT is not NOT_FOUND: a file of ours that is missing is our failure, not the user's. */
enum err_kind err_kind_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case EMFILE:
    case ENFILE:
        return ERR_LIMIT;
    default:
        return ERR_OS;
    }
}

const char *err_sqlstate(enum err_kind kind)
{
    return kinds[kind].sqlstate;
}

int err_http(enum err_kind kind)
{
    return kinds[kind].http;
}

int err_exit(enum err_kind kind)
{
    return kinds[kind].exit_code;
}
