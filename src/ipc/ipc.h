/*
 * ipc.h: what our processes say to each other, one message per SEQPACKET datagram.
 *
 * One table is the protocol: name and the kinds of its fields, u = 64-bit number, s = text without
 * NUL, b = bytes, * = any number of texts, last. A message that does not fit its row is refused
 * whole, so a handler sees only well-formed fields; what they mean it checks itself, as if they
 * came from a stranger. (+fd) marks messages that carry a descriptor.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf;

#define IPC_MESSAGES(X)                                                                            \
    /* dorm -> dormd */                                                                            \
    X(CALL, "s*") /* verb, then key, value, key, value, ... */                                     \
    /* dormd -> dorm: COLUMNS, ROW ... , SAY ... in any number, then DONE or FAIL */               \
    X(COLUMNS, "*")                                                                                \
    X(ROW, "*")                                                                                    \
    X(SAY, "us") /* 0: result, 1: remark or progress; text */                                      \
    X(DONE, "")                                                                                    \
    X(FAIL, "uss") /* enum err_kind, message, hint */                                              \
    /* dormd -> dorm, of a program beside a server: TOOL, its STREAMs, in the end EXIT and DONE */ \
    X(TOOL, "s")   /* its id, to ask for it after dormd has been away */                           \
    X(STREAM, "u") /* (+fd) our side of its stdin, stdout, stderr: 0, 1, 2; or of a terminal: 3 */ \
    X(EXIT, "u")   /* its status as a shell has it; UINT64_MAX: nobody knows */                    \
    /* gate -> dormd */                                                                            \
    X(GATE_HELLO, "uuu")     /* protocol version, pid, how many GATE_LISTENER follow */            \
    X(GATE_LISTENER, "s")    /* (+fd) kind: a listener it still has from an earlier dormd */       \
    X(GATE_HELD, "us")       /* session, server: one that outlived the earlier dormd */            \
    X(GATE_LOGIN, "usssu")   /* session, user as typed, database, address, OS uid or UINT64_MAX */ \
    X(GATE_WAKE, "us")       /* session, server: it is authenticated and wants in */               \
    X(GATE_CLOSED, "us")     /* session, server */                                                 \
    X(GATE_CANCEL, "us")     /* ticket, server: a connection to cancel on; never wakes */          \
    X(GATE_QUIET, "suu")     /* server, GATE_NAP's number, ms since anybody last spoke in it */    \
    X(GATE_STIR, "s")        /* server: a client of it speaks, the first since GATE_NAP */         \
    X(GATE_BARRED, "usssss") /* session, role, database; SQLSTATE, message and hint with which the \
                                server did not let them in: GATE_READY or GATE_FAIL follows */     \
    X(GATE_LOWLY, "us")      /* session, role: it is in, and is no superuser */                    \
    /* dormd -> gate */                                                                            \
    X(GATE_SETUP, "bbb*") /* certificate PEM, key PEM, mock key, networks allowed without TLS */   \
    X(GATE_LISTEN, "s")   /* (+fd) kind: "tcp", "unix", or "pod:" and the id of a tool */          \
    X(GATE_UNLISTEN, "s") /* kind: close those listeners */                                        \
    X(GATE_WHO,                                                                                    \
      "uussssss") /* session, enum ipc_verdict, server, role, database, verifier, message, hint */ \
    X(GATE_READY, "u")   /* (+fd) session or ticket: connected to the server */                    \
    X(GATE_FAIL, "usss") /* session or ticket, SQLSTATE, message, hint */                          \
    X(GATE_NOTICE, "us") /* session, what it is waiting for */                                     \
    X(GATE_KICK, "usss") /* session, SQLSTATE, message, hint: end it */                            \
    X(GATE_NAP, "su")    /* server, number: how quiet is it? And say when somebody speaks again */ \
    X(GATE_TELL, "uss")  /* session, message, hint: told between two messages of its server */     \
    X(GATE_DRAIN, "")    /* accept no more; exit when the last session has ended */                \
    /* rows keep their place, new ones come last: a gate and the dormd after it must understand    \
     * each other */                                                                               \
    X(GATE_RETIRE, "")  /* dormd -> gate: another one takes over. Accept no more; keep the         \
                           listeners until GATE_DRAIN, in case dormd dies meanwhile */             \
    X(GATE_RETIRED, "") /* gate -> dormd: done, another may start. To a new dormd, before HELLO */ \
    X(GATE_STRAY, "")   /* (+fd) gate -> dormd -> gates that have retired: a request to cancel a   \
                           session that is not one of mine waits to be read there */

enum ipc_type {
#define X(name, fields) IPC_##name,
    IPC_MESSAGES(X)
#undef X
        IPC_N
};

/* What dormd answers about a login. Refusals are told only to who has proved the password. */
enum ipc_verdict {
    IPC_WHO_NOBODY,   /* no such user: go through the motions, then fail */
    IPC_WHO_PASSWORD, /* known: let them prove the password against the verifier */
    IPC_WHO_TRUSTED,  /* the kernel vouches for them: no password */
};

#define IPC_VERSION 1u

enum { IPC_MAX = 65536, IPC_FIELDS = 64 };

struct ipc_field {
    const char *at; /* borrowed from the datagram; always followed by a NUL */
    size_t len;
    uint64_t number;
};

struct ipc_msg {
    enum ipc_type type;
    size_t n;
    struct ipc_field field[IPC_FIELDS];
};

/* Pure: read one datagram. The fields point into it. */
int ipc_parse(const void *data, size_t len, struct ipc_msg *ret_msg, struct err *e);

/*
 * Append one message. Arguments follow the row: u uint64_t, s const char *, b const void * and
 * size_t, * const char *const * and size_t. False when it would be larger than IPC_MAX.
 */
bool ipc_format(struct buf *b, enum ipc_type type, ...) __attribute__((warn_unused_result));
bool ipc_vformat(struct buf *b, enum ipc_type type, va_list ap) __attribute__((warn_unused_result));

const char *ipc_name(enum ipc_type type);
