/* demo.h: the user everybody meets first, so that the first minute ends at a psql prompt. */
#pragma once

#include "base/err.h"
#include "dormd/hub.h"

/* Make it at the very first start, never again. */
int demo_first_time(struct hub *h, struct err *e);
/* Write the passfile, readable by this OS user alone. NULL when there is no demo user (any more).
 */
char *demo_passfile(struct hub *h, uid_t reader, struct err *e);
bool demo_is_there(struct hub *h);
