#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_storage_list = {
    .name = "storage list",
    .summary = "kinds of disk, where they are, what is free",
    .example = "dorm storage list",
    .run = call_run,
};
