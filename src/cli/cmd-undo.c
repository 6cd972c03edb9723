#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_undo = {
    .name = "undo",
    .summary = "bring back what was removed; without a name, list what can be",
    .example = "dorm undo\ndorm undo alice",
    .args = (const struct cmd_arg[]){{"LOGIN", "what", true}, {0}},
    .run = call_run,
};
