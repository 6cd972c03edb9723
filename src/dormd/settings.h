/* settings.h: the PostgreSQL settings of a server, each with who says so: of `dorm server show`. */
#pragma once

#include "dormd/control.h"
#include "store/store.h"

/*
 * Rows of "parameters.<name>", value, from, note; then the call is done. Asks the server when it is
 * awake, in a child; of one that sleeps its file is read where its volume is mounted.
 */
void settings_show(struct call *c, const struct store_account *a);
