/* call.h: ask dormd for something and print what it answers. */
#pragma once

#include <stddef.h>

#include "base/err.h"

struct cli;

enum { CALL_WORDS = 63 }; /* with the verb, what one message can carry */

/* A verb, then key, value, key, value. Borrows all. */
struct call_words {
    const char *at[CALL_WORDS];
    size_t n;
};

/* The command's name as verb, and all that was given for its arguments and options. */
void call_words_of(struct call_words *w, const struct cli *c);
void call_words_add(struct call_words *w, const char *key, const char *value);
/*
 * dormd does not stand in our directory: let the value of this key, if it is there, be an absolute
 * path. *ret_owned is NULL or what the words now borrow.
 */
int call_words_absolute(struct call_words *w, const char *key, char **ret_owned, struct err *e);

enum call_end {
    CALL_ENDS_DONE, /* an answer that just stops is a failure */
    CALL_ENDS_GONE, /* what was asked for ends dormd itself: then it is the success */
};

int call_dormd(const struct cli *c, const struct call_words *w, enum call_end end, struct err *e);
/* The same, showing nothing of the answer: only whether dormd fails it. */
int call_unseen(const struct cli *c, const struct call_words *w, struct err *e);
/* The same of an answer of fields and values: the caller frees *ret_value, "" when it is not there.
 */
int call_value(const struct cli *c, const struct call_words *w, const char *field, char **ret_value,
               struct err *e);
/* What most commands are: call_words_of(), call_dormd(). */
int call_run(struct cli *c, struct err *e);

/* A remark or progress for a person: on stderr, unless they want it quiet. */
void call_remark(const struct cli *c, const char *text);
