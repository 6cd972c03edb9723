/* identity.h: who this hub is, on this machine, for ever: its id, its secrets, its uids, its names.
 */
#pragma once

#include "base/err.h"
#include "dormd/hub.h"

/* The state directory, made if it is missing; refused when it is not ours alone to write. */
int identity_open_state(struct hub *h, struct err *e);

/* What a restore of the whole hub has in the state directory until it is finished. */
#define IDENTITY_BEGUN     "restore.begun"
#define IDENTITY_RESTORING "record.db.restoring"

/* The same where a hub is to come from a backup: refused when there is one. */
int identity_open_to_restore(struct hub *h, struct err *e);
/* It is finished: the record has its name. */
void identity_restored(const struct hub *h);
/* May the hub of this record, just restored, be on this machine? Not when it is there already. */
int identity_check_alone(struct hub *h, struct err *e);
/* Id, run directory, secrets and uid range: made the first time, read from then on. */
int identity_settle(struct hub *h, struct err *e);
/* At purge: the machine forgets that this hub's uids are taken. */
void identity_forget(struct hub *h);
