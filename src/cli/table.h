/* table.h: rows as people, scripts and programs want them; every text made fit for a terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/cli.h"

struct table {
    FILE *out; /* borrowed */
    enum cli_output form;
    char **names; /* owned, like all below */
    size_t columns;
    char **cells; /* waiting to be aligned, row by row */
    size_t cells_n, cells_size;
    size_t *widths;
    bool live;      /* each row is shown as it comes: it may be some time until the next */
    bool head_done; /* the header, or the first element of the array, is out */
};

void table_init(struct table *t, FILE *out, enum cli_output form);
/* Prints nothing: see table_end(). */
void table_done(struct table *t);

void table_columns(struct table *t, const char *const *names, size_t n);
/* A row of another length than the header is filled up or cut. */
void table_row(struct table *t, const char *const *cells, size_t n);
/* A line of text among the results. */
void table_say(struct table *t, const char *line);
/* Print what is waiting, and close what was opened. */
void table_end(struct table *t);

/* text itself when no terminal can be steered by it, else spelt out. The caller frees. */
char *table_harmless(const char *text);
