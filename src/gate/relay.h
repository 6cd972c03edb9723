/* relay.h: bytes between a client and its server, until one of them ends it. */
#pragma once

#include "session.h"

/* The server is ready for queries: what it said so far is in `out`, login->back holds the rest. */
void relay_begin(struct session *s);
void relay_client_ready(struct session *s, uint32_t events);
void relay_server_ready(struct session *s, uint32_t events);
/* GATE_TELL: a notice, as soon as the server is between two messages. */
void relay_tell(struct session *s, const char *message, const char *hint);
/* Poll the server's connection for these; for none at all it is not polled. */
void relay_want_server(struct session *s, uint32_t events);
/* The event function of every server's connection. */
void server_io_ready(struct loop_io *io, uint32_t events);
