#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_config_show = {
    .name = "config show",
    .summary = "every setting of the hub, and where it comes from",
    .example = "dorm config show",
    .run = call_run,
};
