/*
 * cli.h: the commands of dorm as a table, and one invocation of one of them.
 *
 * Parsing, help and completion come from the table. What a command does is mostly dormd's work: its
 * arguments and options become keys of a call, and what comes back is printed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct cli;

struct cmd_arg {
    const char *name; /* "LOGIN"; NULL ends a list */
    const char *key;  /* what it is called in the call to dormd */
    bool optional;
};

struct cmd_option {
    const char *name;  /* "role", typed as --role; NULL ends a list */
    char letter;       /* 0: none */
    const char *value; /* "ROLE"; NULL: a switch */
    const char *key;
    const char *help;
};

struct cmd {
    const char *name;    /* also the verb: "user add" */
    const char *summary; /* one line */
    const char *help;    /* more of it; may be NULL */
    const char *example;
    const struct cmd_arg *args;       /* may be NULL */
    bool many;                        /* the last of them may be given several times */
    const struct cmd_option *options; /* may be NULL */
    const char *rest;                 /* "PSQL-ARGUMENT": what follows is passed on; may be NULL */
    int (*run)(struct cli *c, struct err *e);
};

enum cli_output { CLI_TABLE, CLI_JSON, CLI_NAME };

enum { CLI_ARGS = 4, CLI_OPTIONS = 8, CLI_MORE = 256 };

/* Everything is borrowed from argv and the table. */
struct cli {
    const struct cmd *cmd; /* NULL: none was named */
    const char *group; /* help was asked for about commands that begin with this word, or NULL */
    const char *state; /* NULL: not said */
    enum cli_output output;
    bool quiet, help, version;
    const char *args[CLI_ARGS]; /* by place in cmd->args; NULL: not given */
    const char *more[CLI_MORE]; /* what came after the last of cmd->args, when it may be many */
    size_t more_n;
    const char *options[CLI_OPTIONS]; /* by place in cmd->options; a switch is "1" */
    const char *const *rest;
    int rest_n;
};

extern const struct cmd *const commands[];
extern const size_t command_n;
/* Options that every command has. */
extern const struct cmd_option global_options[];

/* argv without the program's name. */
int cli_parse(struct cli *c, int argc, const char *const *argv, struct err *e);
/* The command that begins here, and of how many words; NULL with e filled when there is none. */
const struct cmd *cli_find(int argc, const char *const *argv, int *ret_words, struct err *e);
/* Whether there are commands of two words that begin with this one. */
bool cli_is_group(const char *word);
/* What was given for a key of an argument or an option, or NULL. */
const char *cli_value(const struct cli *c, const char *key);
