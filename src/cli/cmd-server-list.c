#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_list = {
    .name = "server list",
    .summary = "all servers and their states",
    .example = "dorm server list",
    .args = (const struct cmd_arg[]){{"PREFIX", "prefix", true}, {0}},
    .run = call_run,
};
