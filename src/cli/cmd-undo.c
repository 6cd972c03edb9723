#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_undo = {
    .name = "undo",
    .summary = "undo a reset, restore, resize, move or removal; alone, list what can be",
    .help = "WHAT is the number that the list and the deed itself name, or the login of a removed "
            "user.",
    .example = "dorm undo\ndorm undo 3\ndorm undo alice",
    .args = (const struct cmd_arg[]){{"WHAT", "what", true}, {0}},
    .run = call_run,
};
