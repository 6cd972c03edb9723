/* password.h: the option --password, which a process list must not show. */
#pragma once

#include "base/err.h"

struct cli;

/* call_run(), with "-" for a password replaced by what is asked for. */
int call_with_password(struct cli *c, struct err *e);
