/* restart.h: dormd and the gate are replaced by what is installed; servers and sessions stay. */
#pragma once

struct call;

/* "programs": is what runs what is installed? */
void restart_look(struct call *c);
/* "restart": with gate, another gate takes over; without, dormd ends and the next one goes on. */
void restart_run(struct call *c);
