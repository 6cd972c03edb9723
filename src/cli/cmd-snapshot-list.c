#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_snapshot_list = {
    .name = "snapshot list",
    .summary = "what can be restored",
    .example = "dorm snapshot list\ndorm snapshot list alice",
    .args = (const struct cmd_arg[]){{"SERVER", "name", true}, {0}},
    .run = call_run,
};
