/*
 * door.h: listeners and who is let in front of the login.
 *
 * Strangers are bounded twice, in all and per source. Where one of the bounds is reached, whoever
 * has taken longest over the login makes room, if that is long; else newcomers wait in the kernel.
 */
#pragma once

#include "gate.h"

/* GATE_LISTEN: begin to accept here. Takes the descriptor; kind is kept for dormd's successor. */
int door_open(struct gate *g, const char *kind, int *fd_take, struct err *e);
/* GATE_UNLISTEN: the listeners of that kind are closed. */
void door_shut(struct gate *g, const char *kind);
/* Accept no more, ever; who knocks waits for whoever has the same listeners. */
void door_rest(struct gate *g);
/* Accept no more, give the addresses free. */
void door_close(struct gate *g);
size_t door_count(struct gate *g);
/* Tell a new dormd of every listener. */
void door_report(struct gate *g);
/* A session has ended or logged in: those who wait may come. */
void door_resume(struct gate *g);
