/*
 * cancel.h: CancelRequest. A key is the gate's own; with the right one, the server of that session
 * and of no other gets a request with its own key. A wrong one is closed without a word.
 */
#pragma once

#include "session.h"

/* Of no session of ours: dormd asks the gates that have retired, if there are any. */
void cancel_begin(struct session *s, uint32_t pid, const uint8_t *key, size_t key_len);
/* Ask dormd for a connection, again after it has been away. */
void cancel_ask(struct session *s);
/* GATE_READY for a request to cancel. Takes the descriptor. */
void cancel_ready(struct session *s, int *fd_take);
/* GATE_STRAY: one that came to another gate, to be read like any client's. */
void cancel_take_stray(struct gate *g, int *fd_take);
