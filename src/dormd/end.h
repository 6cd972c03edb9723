/* end.h: how a hub goes down: sessions told, servers asleep, gate gone; and, at purge, everything.
 */
#pragma once

#include "dormd/hub.h"

enum end_how { END_KEEP, END_PURGE };

/* The loop quits when it is done. A second call changes nothing. */
void end_hub(struct hub *h, enum end_how how);
/* After the loop: give the machine back what it lent us, and, at purge, remove the rest. */
int end_finish(struct hub *h, struct err *e);
