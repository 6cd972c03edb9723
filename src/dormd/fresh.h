/*
 * fresh.h: a server whose data directory its owner has emptied. There is nothing in it to start;
 * instead of refusing for good it is made anew, and the volume as it was is kept to be undone.
 */
#pragma once

#include "dormd/hub.h"

/* ENGINE_EMPTY: who waits for it waits on. */
void fresh_begin(struct hub *h, const char *server);
