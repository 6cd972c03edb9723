/* identity.h: who this hub is, on this machine, for ever: its id, its secrets, its uids, its names.
 */
#pragma once

#include "base/err.h"
#include "dormd/hub.h"

/* The state directory, made if it is missing; refused when it is not ours alone to write. */
int identity_open_state(struct hub *h, struct err *e);
/* Id, run directory, secrets and uid range: made the first time, read from then on. */
int identity_settle(struct hub *h, struct err *e);
/* At purge: the machine forgets that this hub's uids are taken. */
void identity_forget(struct hub *h);
