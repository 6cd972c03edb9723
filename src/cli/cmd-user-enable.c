#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_user_enable = {
    .name = "user enable",
    .summary = "let a disabled user in again",
    .example = "dorm user enable alice",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .run = call_run,
};
