/* end.h: how a hub goes down: sessions told, servers asleep, gate gone; and, at purge, everything.
 */
#pragma once

#include "dormd/hub.h"

struct call;

enum end_how { END_KEEP, END_PURGE };

/* The loop quits when it is done; the call that asked for it is answered by end_finish. */
void end_hub(struct hub *h, enum end_how how, struct call *c);
/* After the loop: give the machine back what it lent us, and, at purge, remove the rest. */
int end_finish(struct hub *h, struct err *e);
