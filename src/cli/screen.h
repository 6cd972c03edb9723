/* screen.h: a terminal of which all is drawn anew from time to time, until somebody presses q. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct screen;

/* Are stdin and stdout a terminal to draw on? */
bool screen_there(void);

/* Takes the terminal. From then on signals that end us are held back: they end screen_run(). */
struct screen *screen_open(struct err *e);
/* Gives it back as it was. NULL is fine. */
void screen_close(struct screen *s);

/*
 * Draw what source() prints to stdout, at most every so often, until a key or a signal says that it
 * is enough (0), or source() fails (1). source() is called in a child of ours, which it ends.
 */
int screen_run(struct screen *s, int (*source)(void *arg, unsigned turn), void *arg,
               uint64_t every_ms, struct err *e);

/* As many lines as rows and as many characters of each as columns, with what draws them. Pure;
 * text is fit for a terminal already. Appends to b, which is a struct buf. */
struct buf;
bool screen_put(struct buf *b, const char *text, size_t len, unsigned rows, unsigned columns)
    __attribute__((warn_unused_result));
