#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_stop = {
    .name = "server stop",
    .summary = "put a server to sleep now; the next connection wakes it",
    .example = "dorm server stop alice",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .run = call_run,
};
