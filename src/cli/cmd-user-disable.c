#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_user_disable = {
    .name = "user disable",
    .summary = "refuse a user from now on, and end their sessions; nothing is lost",
    .example = "dorm user disable alice",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .run = call_run,
};
