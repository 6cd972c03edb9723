/* setup.h: what dormd tells the gate to work with. */
#pragma once

#include "gate.h"

/* GATE_SETUP: all of it is taken, or nothing. Sessions that run keep what they began with. */
int setup_take(struct gate *g, const struct ipc_msg *msg, struct err *e);
/* Whether a connection from there may go without TLS. */
bool setup_plaintext_allowed(const struct gate *g, const struct addr *peer);
