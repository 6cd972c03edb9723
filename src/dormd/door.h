/*
 * door.h: dormd's side of the gate: starts it, gives it listeners and certificate, answers its
 * questions, and counts who is in. What the gate says is checked as if a stranger had said it. It
 * proves passwords, so one that was taken over can reach every server, but nothing else of this
 * machine.
 */
#pragma once

#include "base/err.h"
#include "dormd/hub.h"

struct door;

/* Take over the gate that is still alive, or open the listeners and start one. */
struct door *door_open(struct hub *h, struct err *e);
void door_free(struct door *d); /* the gate goes on */
/* For a start that failed: a gate that was started for it must not stay behind. NULL is fine. */
void door_kill(struct door *d);
/* No more sessions; those that are in are ended; done when the gate is gone. */
void door_close(struct door *d, void (*done)(void *owner), void *owner);
/* The certificate has changed. */
int door_new_certificate(struct door *d, struct err *e);
/* Who waits for it to wake hears this; who has waited very long, that they need not. */
void door_slow(struct door *d, const char *server, const struct err *why);
/* End every session of a server, with words. */
void door_kick(struct door *d, const char *server, const struct err *why);
/* The same as PostgreSQL says it when it shuts down: clients know that they may connect again. */
void door_dismiss(struct door *d, const char *server, const struct err *why);
/* A notice for every session of a server, between two messages of whatever goes on in it. */
void door_tell(struct door *d, const char *server, const struct err *what);
/* Ask how quiet a server is. */
void door_ask_quiet(struct door *d, const char *server, uint64_t number);
size_t door_sessions(const struct door *d);
/* Of these, in gates that have been replaced. */
size_t door_sessions_retired(const struct door *d);
/* The process that accepts; 0: there is none. */
pid_t door_gate(const struct door *d);
/*
 * Start the gate that is installed now in place of the one that accepts. That one keeps its
 * sessions and ends with the last. done is called once, when the new one accepts, or with what
 * prevented it.
 */
int door_replace(struct door *d, void (*done)(void *owner, const struct err *e), void *owner,
                 struct err *e);
/* A listener of a pod, for the gate that is there now; tools.h has it for the next. */
void door_listen(struct door *d, const char *kind, int fd);
void door_unlisten(struct door *d, const char *kind);
