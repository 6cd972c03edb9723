/* talk.h: bytes to and from a server, until the client's deadline. */
#pragma once

#include "client.h"

int pg_send(const struct pg_client *c, const struct buf *b, struct err *e);
/* At least one more byte into c->in; counts c->taken. */
int pg_receive(struct pg_client *c, struct err *e);
