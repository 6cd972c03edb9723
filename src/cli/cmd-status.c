#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_status = {
    .name = "status",
    .summary = "what the hub is, where it listens, who is awake",
    .example = "dorm status",
    .run = call_run,
};
