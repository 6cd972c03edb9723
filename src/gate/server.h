/* server.h: the user's server: asking dormd for it, and its first messages until it is ready. */
#pragma once

#include "session.h"

/* Authenticated: ask to be let in, and wait. */
void server_wait(struct session *s);
/* Ask dormd, again after it has been away. */
void server_wake(struct session *s);
/* GATE_READY: dormd has connected. Takes the descriptor. */
void server_ready(struct session *s, int *fd_take);
/* STAGE_STARTING: the client has read something, or left. */
void server_client_ready(struct session *s, uint32_t events);
/* GATE_NOTICE: what the wait is for. */
void server_notice(struct session *s, const char *text);
