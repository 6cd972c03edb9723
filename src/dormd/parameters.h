/* parameters.h: the hub file's PostgreSQL settings, held against the PostgreSQL that reads them. */
#pragma once

#include "base/err.h"

struct conf;
struct conf_problems;

/*
 * Ask the PostgreSQL that new servers get. 0: it takes them all. -1: *all has what is wrong, at its
 * place, and e the first of it. 1: nothing is known to be wrong, but e says why not all could be
 * checked. Blocks, for some hundred milliseconds, and runs programs.
 */
int parameters_check(const struct conf *c, struct conf_problems *all, struct err *e);

/* The same of a file, for a person who reads what is printed. Returns what to exit with. */
int parameters_check_file(const char *path);
