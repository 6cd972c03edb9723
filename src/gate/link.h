/* link.h: the connection to dormd, which may go away and come back while sessions go on. */
#pragma once

#include "gate.h"

/* Connect, now or as soon as dormd listens, and again whenever it has been away. */
void link_begin(struct gate *g);
void link_end(struct gate *g);
/* Another gate takes over: accept no more, but let no address go before it has them all. */
void gate_retire(struct gate *g);
/* Accept no more; the program ends with the last session. */
void gate_drain(struct gate *g);
