/* program.h: our own other programs, started from beside this one. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/*
 * The directory of our programs: where this one is, or $DORM_LIB for a tree that is not installed.
 * exec happens in a new session with nothing but stdin, stdout and stderr open.
 */
int program_start(const char *name, const char *const *argv, pid_t *ret_pid, struct err *e);
/* Where it is. The caller frees. */
int program_find(const char *name, char **ret_path, struct err *e);
