/* restore.h: a hub where there is none, from a backup. */
#pragma once

#include "base/err.h"

struct cli;

/*
 * Let dormd make the hub's state from the backup at this absolute path. Nothing is done where a hub
 * runs or has a record. Returns when it is complete; the hub does not run then.
 */
int restore_hub(const struct cli *c, const char *backup, struct err *e);
