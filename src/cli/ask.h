/* ask.h: questions to the person at the terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct cli;
struct call_words;

enum { ASK_PASSWORD = 1100 }; /* more than any hub accepts */

/*
 * A password into at: from a terminal twice, unseen; otherwise the first line of standard input.
 * The caller wipes it.
 */
int ask_password(char at[ASK_PASSWORD], struct err *e);

/*
 * Show what the call would change, then have the person type word, which goes into at. Without a
 * terminal nobody is asked and the answer is no. word NULL: whatever they type is the answer.
 */
int ask_first(const struct cli *c, const struct call_words *w, const char *prompt, const char *word,
              char *at, size_t size, struct err *e);
/* The call, with --yes at once, else after ask_first(). what: "remove this user". */
int ask_then_call(const struct cli *c, struct call_words *w, const char *word, const char *what,
                  struct err *e);
