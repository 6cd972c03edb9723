/* hub.h: which hub an invocation is about, and where to reach it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct cli;

#define HUB_STATE "/var/lib/dormouse"
#define HUB_RUN   "/run/dormouse"

enum { HUB_PATH = 256 };

/* --state, or DORM_STATE, or the default; absolute. */
int hub_state(const struct cli *c, char at[HUB_PATH], struct err *e);
bool hub_is_default(const char *state);
/* Where the hub's sockets are. With a state of its own, dormd wrote it down there. */
int hub_run_dir(const char *state, char at[HUB_PATH], struct err *e);
/*
 * Connect to dormd. When it does not run, e->kind is ERR_MISSING and says how to start it: that is
 * told apart from a socket that is there and refuses (ERR_OS).
 */
int hub_connect(const struct cli *c, int *ret_fd, struct err *e);
