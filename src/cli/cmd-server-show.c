#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_show = {
    .name = "server show",
    .summary = "everything about one server",
    .example = "dorm server show alice",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .run = call_run,
};
