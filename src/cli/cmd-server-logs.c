#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_logs = {
    .name = "server logs",
    .summary = "the last lines of a server's log",
    .example = "dorm server logs alice --lines 20",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options = (const struct cmd_option[]){{"lines", 'n', "NUMBER", "lines", "how many (50)"}, {0}},
    .run = call_run,
};
