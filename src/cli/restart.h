/* restart.h: another dormd, another gate, while servers and sessions go on. */
#pragma once

#include "base/err.h"

struct cli;

/* dormd gives way to the one that is installed. When nothing runs, that is just started. */
int restart_dormd(const struct cli *c, const char *state, struct err *e);
/* The gate as well; what dormd says about it is printed. */
int restart_gate(const struct cli *c, struct err *e);
/* Both, where what runs is another than what is installed. */
int restart_outdated(const struct cli *c, const char *state, struct err *e);
