/*
 * origin.h: which settings a server runs with, and who said so.
 *
 * What the server tells, and what stands in its files, is its owner's to choose: texts are bounded
 * and made fit to print.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"

enum pg_says {
    PG_SAYS_LINE,  /* the command line: the hub file, or what is forced or sized */
    PG_SAYS_HUB,   /* PG_CONF, our defaults */
    PG_SAYS_ALTER, /* ALTER SYSTEM */
    PG_SAYS_FILE,  /* another file of the owner's */
    PG_SAYS_N
};

enum pg_holds {
    PG_HOLDS_NOW,
    PG_HOLDS_NEVER,     /* the command line says something else */
    PG_HOLDS_AT_START,  /* the server must be started anew */
    PG_HOLDS_AT_RELOAD, /* or pg_reload_conf() be called */
    PG_HOLDS_WRONG,     /* it is not valid: see error */
    PG_HOLDS_N
};

struct pg_told {
    enum pg_says says;
    enum pg_holds holds;
    char name[64], value[200]; /* name is "" when a line of a file is no setting at all */
    char file[120];            /* of PG_SAYS_FILE */
    unsigned line;
    char error[160];
};

typedef void (*pg_told_fn)(void *owner, const struct pg_told *told);

/* Ask a server that runs; blocks until the deadline (clock_ms()) at most. */
int pg_origin_ask(const struct pg_dial *way, const char *superuser, uint64_t deadline,
                  pg_told_fn fn, void *owner, struct err *e);

/* What the server answers, taken apart and cut up. False when it is none. Pure. */
bool pg_origin_parse(char *text, pg_told_fn fn, void *owner);
/* What ALTER SYSTEM has written, read from its file while the server sleeps. Pure. */
void pg_auto_parse(const char *text, size_t len, pg_told_fn fn, void *owner);
