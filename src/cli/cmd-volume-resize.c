#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_volume_resize = {
    .name = "volume resize",
    .summary = "give a volume another capacity",
    .help = "SIZE is what the whole volume is to have: 512Mi, 4Gi, 10G.",
    .example = "dorm volume resize postgres-alice 4Gi",
    .args = (const struct cmd_arg[]){{"VOLUME", "volume", false}, {"SIZE", "capacity", false}, {0}},
    .run = call_run,
};
