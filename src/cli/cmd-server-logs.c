#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_server_logs = {
    .name = "server logs",
    .summary = "the last lines of a server's log",
    .help = "Each line is made fit for a terminal, whatever the server wrote. The newest MiB or so "
            "is kept.",
    .example = "dorm server logs alice --lines 20\ndorm server logs alice --follow",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options = (const struct cmd_option[]){{"lines", 'n', "NUMBER", "lines", "how many (50)"},
                                           {"follow", 'f', NULL, "follow", "go on with what comes"},
                                           {0}},
    .run = call_run,
};
