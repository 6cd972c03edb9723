#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_volume_show = {
    .name = "volume show",
    .summary = "everything about one volume",
    .example = "dorm volume show postgres-alice",
    .args = (const struct cmd_arg[]){{"VOLUME", "volume", false}, {0}},
    .run = call_run,
};
