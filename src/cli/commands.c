#include "commands.h"

const struct cmd *const commands[] = {
#define X(name) &cmd_##name,
    COMMANDS(X)
#undef X
};

const size_t command_n = sizeof(commands) / sizeof(commands[0]);
