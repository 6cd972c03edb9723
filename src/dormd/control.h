/* control.h: commands come in here, one per connection; the kernel says whose they are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "dormd/fleet.h"
#include "dormd/hub.h"
#include "ipc/conn.h"

struct control;
struct job_spec;

struct call {
    struct hub *hub;
    struct ipc_conn conn;
    uid_t uid;
    char self[32];           /* who calls, when not root: the login of an OS user, or "" */
    char *words[IPC_FIELDS]; /* owned: verb, key, value, key, value, ... */
    size_t words_n;
    struct fleet_waiter waiter;   /* for verbs that wait for a server */
    void *state;                  /* of the verb; freed with the call */
    void (*gone)(struct call *c); /* called before that; may be NULL */
    bool over, job;               /* answered; a job works for it */
};

enum verb_who {
    VERB_ROOT, /* the operator */
    VERB_SELF, /* also an OS user, about themselves: "name" and "login" are then theirs */
};

struct verb {
    const char *name;
    enum verb_who who;
    void (*run)(struct call *c);
};

/* Every verb there is, ended by a NULL name. */
extern const struct verb verbs_user[], verbs_server[], verbs_volume[], verbs_snapshot[],
    verbs_hub[], verbs_backup[], verbs_top[], verbs_tool[], verbs_events[], verbs_logs[];

struct control *control_open(struct hub *h, struct err *e);
void control_free(struct control *c);

/* The value of a key, or NULL. */
const char *call_arg(const struct call *c, const char *key);
/* The value of a key that must be there; fails the call and returns NULL when it is not. */
const char *call_need(struct call *c, const char *key);

void call_say(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void call_remark(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define call_columns(c, ...) call_texts((c), IPC_COLUMNS, (const char *const[]){__VA_ARGS__, NULL})
#define call_row(c, ...)     call_texts((c), IPC_ROW, (const char *const[]){__VA_ARGS__, NULL})
void call_texts(struct call *c, enum ipc_type type, const char *const *texts);
/* Keep it until call_finish, even if who asked has left: for an answer that comes at the very end.
 */
void call_hold(struct call *c);
void call_finish(struct call *c, const struct err *e); /* e is NULL on success */
/* The last word, either way. */
void call_done(struct call *c);
void call_fail(struct call *c, const struct err *e);

/*
 * Let a child answer what would block: run() may use the call_... functions above except the last
 * two; the call is done or failed with what run() returns.
 */
void call_job(struct call *c, const char *what, int (*run)(void *call, struct err *e));
