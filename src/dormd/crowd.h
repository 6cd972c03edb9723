/* crowd.h: what of this machine all servers together may have, as the hub file says. */
#pragma once

#include "dormd/hub.h"

/* At start, before the first server, and whenever the hub file has been read again. */
int crowd_settle(struct hub *h, struct err *e);
