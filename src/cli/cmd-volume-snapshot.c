#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_volume_snapshot = {
    .name = "volume snapshot",
    .summary = "keep a volume as it is now",
    .example = "dorm volume snapshot postgres-alice --label before-exam",
    .args = (const struct cmd_arg[]){{"VOLUME", "volume", false}, {0}},
    .options =
        (const struct cmd_option[]){{"label", 'l', "TEXT", "label", "a few words to know it by"},
                                    {0}},
    .run = call_run,
};
