#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_user_list = {
    .name = "user list",
    .summary = "all users",
    .example = "dorm user list\ndorm user list al",
    .args = (const struct cmd_arg[]){{"PREFIX", "prefix", true}, {0}},
    .run = call_run,
};
