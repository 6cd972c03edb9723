#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_start = {
    .name = "server start",
    .summary = "wake a server now, without connecting",
    .example = "dorm server start alice",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .run = call_run,
};
