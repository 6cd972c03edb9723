/* quiet.h: how long nobody has spoken in a server, and the first word after dormd has asked. */
#pragma once

#include "session.h"

/* GATE_NAP: answer, and remember to tell. */
void quiet_asked(struct gate *g, const struct ipc_msg *msg);
/* A client or its server has said something, or a client has left. */
void quiet_over(struct session *s);
/* Whoever asked is gone, and thaws what it finds when it comes back. */
void quiet_forget(struct gate *g);
