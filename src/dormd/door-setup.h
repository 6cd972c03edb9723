/* door-setup.h: what a gate needs before it may speak to anybody. For door.c alone. */
#pragma once

#include "dormd/hub.h"
#include "ipc/conn.h"

int door_send_setup(struct hub *h, struct ipc_conn *gate, struct err *e);
