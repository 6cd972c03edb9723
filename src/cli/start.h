/* start.h: bringing dormd to life: through systemd where it runs, else by ourselves. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct cli;

/* Returns when dormd is ready to answer, or says what kept it from that. */
int start_hub(const struct cli *c, const char *state, struct err *e);
/* Once more: of a hub that runs as a unit, or of one whose dormd has just ended. */
int start_again(const struct cli *c, const char *state, struct err *e);
/* Is it systemd's to start? */
bool start_by_unit(const char *state);
/* After the hub has ended: systemd does not start it again at boot. */
int start_forget(const struct cli *c, const char *state, struct err *e);
/* The dormd that belongs to this dorm. The caller frees. */
int start_find_dormd(char **ret_path, struct err *e);
/* Run a program (found in PATH without a slash), ours its terminal, and wait. Its exit code, or -1.
 */
int start_and_wait(const char *program, const char *const *argv, struct err *e);
/* Where this hub's dormd logs, for a hint. Static. */
const char *start_log_of(const char *state);
