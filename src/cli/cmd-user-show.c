#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_user_show = {
    .name = "user show",
    .summary = "everything about one user",
    .example = "dorm user show alice",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .run = call_run,
};
