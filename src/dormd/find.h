/* find.h: from what was typed to the volume or snapshot that is meant. Each fails the call itself.
 */
#pragma once

#include "dormd/control.h"
#include "store/store.h"

/* The volume named by the key "volume". An OS user finds only those of their own server. */
bool find_volume(struct call *c, const char *claim, struct store_volume *ret);
/* The data of the server named by the key "name". */
bool find_data(struct call *c, struct store_volume *ret);
/* A snapshot of that volume, by label or id, as the key "snapshot" has it. */
bool find_snapshot(struct call *c, const struct store_volume *v, struct store_snapshot *ret);
