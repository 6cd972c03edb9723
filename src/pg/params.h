/*
 * params.h: may a hub file set this, and to that? The installed PostgreSQL itself is asked.
 *
 * No table of ours has every setting of every major with its units, words and bounds; the program
 * that will read them has. It is run without data, as nobody where we are root, and ends before it
 * would open a file, a socket or a library that a setting names.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

enum { PG_FAULT_SIZE = 160 };

enum pg_fault {
    PG_FAULT_NONE, /* it takes the setting */
    PG_FAULT_NAME, /* there is none of this name, or it cannot be set */
    PG_FAULT_VALUE,
    PG_FAULT_UNKNOWN, /* it has not said: it could not be run */
};

/* why is what is said after the name, or after the quoted value; may end in "?". */
typedef void (*pg_fault_fn)(void *owner, size_t i, enum pg_fault fault, const char *why);

/*
 * Each setting that is refused, in their order: by us, or by that PostgreSQL. Returns 0; or -1 with
 * e saying why the second was not asked, or not about all, until the deadline (clock_ms()). Blocks:
 * for one process, and one more for each setting when there is something wrong with any.
 */
int pg_params_check(const struct pg_install *install, const struct pg_param *params, size_t n,
                    uint64_t deadline, pg_fault_fn fn, void *owner, struct err *e);

/*
 * What `postgres -C port -c name=value` has said about the one setting, before it exited with ok or
 * not. Pure; why is fit to print.
 */
enum pg_fault pg_fault_parse(const char *said, bool ok, const struct pg_install *install,
                             const struct pg_param *p, char why[PG_FAULT_SIZE]);

/*
 * The names in what `postgres --describe-config` prints, which is cut up: they point into it.
 * Returns how many, at most max. Pure.
 */
size_t pg_names_parse(char *text, const char **ret_names, size_t max);
