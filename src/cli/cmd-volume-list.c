#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_volume_list = {
    .name = "volume list",
    .summary = "all volumes",
    .example = "dorm volume list\ndorm volume list -l component=extra-pvc",
    .options =
        (const struct cmd_option[]){
            {"label", 'l', "LABEL", "label", "only those that bear it: component=extra-pvc"}, {0}},
    .run = call_run,
};
