#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_snapshot_create = {
    .name = "snapshot create",
    .summary = "keep a server's data as they are now",
    .example = "dorm snapshot create alice\ndorm snapshot create alice --label before-exam",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options =
        (const struct cmd_option[]){{"label", 'l', "TEXT", "label", "a few words to know it by"},
                                    {0}},
    .run = call_run,
};
