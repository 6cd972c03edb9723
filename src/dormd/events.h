/*
 * events.h: what happened to the hub, for whoever asks afterwards, or looks on.
 *
 * The newest are in memory; they are also appended to a file in the state directory, which becomes
 * "events.1" when it is large, so that they outlive dormd. Nothing is synced: an event is a help to
 * memory, not a record.
 */
#pragma once

#include <stdint.h>

#include "base/list.h"
#include "base/rand.h"
#include "dormd/hub.h"

/*    kind    as it is shown and asked for */
#define EVENT_KINDS(X)                                                                     \
    X(HUB, "hub")       /* it came up, went down, took a new file */                       \
    X(GATE, "gate")     /* the front door was started, or ended */                         \
    X(WAKE, "wake")     /* a server takes connections */                                   \
    X(NAP, "nap")       /* it is frozen, its clients connected */                          \
    X(SLEEP, "sleep")   /* it has ended, as intended or not */                             \
    X(FAIL, "fail")     /* it could not be woken */                                        \
    X(MEMORY, "memory") /* a statement or program of it took too much */                   \
    X(DISK, "disk")     /* its volume is nearly full, or it was put to sleep for others */ \
    X(DEED, "deed")     /* something that can be undone, or its undoing */                 \
    X(BACKUP, "backup") /* one was made, or was not */                                     \
    X(USER, "user")     /* added, removed, disabled, enabled, a new password */

enum event_kind {
#define X(kind, name) EVENT_##kind,
    EVENT_KINDS(X)
#undef X
        EVENT_KIND_N
};

struct event {
    int64_t at; /* seconds since 1970 */
    enum event_kind kind;
    char server[ID_SIZE]; /* "" when it is about none */
    char *name;           /* owned: what people call that server, or a user's login, or "" */
    char *text;           /* owned; fit to print */
};

struct events;

/* Reads what earlier ones have left. Never fails: without its file it keeps to memory. */
struct events *events_open(struct hub *h);
void events_free(struct events *ev);

/* server and name may be NULL: the name is then that of the server. text is escaped here. A server
 * that causes many is cut short. */
void event_add(struct hub *h, enum event_kind kind, const char *server, const char *name,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));

typedef void (*event_fn)(void *arg, const struct event *e);
/* Those that are still known, oldest first. */
void events_each(const struct events *ev, event_fn fn, void *arg);
/* How many of a kind this dormd has seen. */
uint64_t events_count(const struct events *ev, enum event_kind kind);

/* Lives in whoever looks on. */
struct event_watcher {
    struct list node;
    void (*seen)(struct event_watcher *w, const struct event *e);
};
void events_watch(struct events *ev, struct event_watcher *w);
void events_unwatch(struct event_watcher *w);

const char *event_kind_name(enum event_kind kind);
/* False: there is no such kind. */
bool event_kind_of(const char *name, enum event_kind *ret_kind);
