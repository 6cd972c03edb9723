#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_user_connect = {
    .name = "user connect",
    .summary = "the line with which a user connects",
    .example = "dorm user connect alice",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .run = call_run,
};
