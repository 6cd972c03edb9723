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
/* End every session of a server, with words. */
void door_kick(struct door *d, const char *server, const struct err *why);
size_t door_sessions(const struct door *d);
