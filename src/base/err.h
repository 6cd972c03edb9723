/*
 * err.h: one failure, carried from where it happened to the edge that reports it.
 *
 * A function that can fail takes `struct err *e` last and returns >= 0, or -1 with *e filled. The
 * kind alone decides what psql, a browser and a shell script are told, so they tell the same story.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*      kind         SQLSTATE  HTTP  exit */
#define ERR_KINDS(X)                                                                       \
    X(NONE, "00000", 200, 0)                                                               \
    X(INTERNAL, "XX000", 500, 70)  /* an invariant of ours does not hold */                \
    X(OS, "58030", 500, 71)        /* a system call failed: see os_errno */                \
    X(INPUT, "22023", 400, 64)     /* what was asked cannot be right */                    \
    X(CONFIG, "F0000", 400, 78)    /* the hub file is wrong */                             \
    X(NOT_FOUND, "3D000", 404, 66) /* no such user, server, ... (never: a file of ours) */ \
    X(EXISTS, "42710", 409, 65)    /* the name is taken */                                 \
    X(AUTH, "28P01", 401, 77)      /* not who they claim to be */                          \
    X(DENIED, "42501", 403, 77)    /* known, but not allowed */                            \
    X(BUSY, "57P03", 503, 75)      /* may succeed later: waking, stopping, locked */       \
    X(LIMIT, "53400", 429, 73)     /* a bound that the operator or we have set */          \
    X(NO_SPACE, "53100", 507, 73)  /* a volume, the pool or the host's disk is full */     \
    X(MISSING, "58000", 503, 69)   /* something this machine must have is not there */     \
    X(PEER, "08P01", 400, 76)      /* the other side broke the protocol, or left */

enum err_kind {
#define X(name, ...) ERR_##name,
    ERR_KINDS(X)
#undef X
        ERR_KIND_N
};

struct err {
    enum err_kind kind;
    int os_errno;     /* 0 when no system call is to blame */
    const char *file; /* where it was raised, for the log */
    int line;
    char msg[320];  /* what could not be done, to what, and why */
    char hint[240]; /* what to do next; may be empty */
};

/*
 * Each of these is -1, so that `return err_set(e, ERR_INPUT, "...")` is a whole failure path. They
 * are macros for that -1 alone: it tells compilers and analyzers which way the failure goes. The
 * arguments may point into *e.
 */

/* Fill e. */
#define err_set(e, kind, ...) (err_raise((e), (kind), 0, __FILE__, __LINE__, __VA_ARGS__), -1)
/* The same for a failed system call; pass errno itself. ": No space left on device" is appended. */
#define err_set_os(e, number, ...) \
    (err_raise((e), err_kind_of_errno(number), (number), __FILE__, __LINE__, __VA_ARGS__), -1)
/* Put the caller's words before what e already says. */
#define err_prefix(e, ...) (err_put_before((e), __VA_ARGS__), -1)
/* Say what to do next. */
#define err_hint(e, ...) (err_put_hint((e), __VA_ARGS__), -1)

void err_raise(struct err *e, enum err_kind kind, int os_errno, const char *file, int line,
               const char *fmt, ...) __attribute__((format(printf, 6, 7), cold));
void err_put_before(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), cold));
void err_put_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

enum err_kind err_kind_of_errno(int number);
const char *err_sqlstate(enum err_kind kind);
int err_http(enum err_kind kind);
int err_exit(enum err_kind kind);
