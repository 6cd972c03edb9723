#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_nap = {
    .name = "server nap",
    .summary = "freeze a server whose clients are quiet; the first word thaws it",
    .example = "dorm server nap alice",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .run = call_run,
};
