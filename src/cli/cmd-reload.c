#include "commands.h"

#include "cli/call.h"

const struct cmd cmd_reload = {
    .name = "reload",
    .summary = "take up a changed hub file, whole or not at all",
    .help = "Limits and requests change at once, also of what is awake. PostgreSQL settings, "
            "whichever,\n"
            "are taken up by each server at its next wake. A mistake anywhere changes nothing.",
    .example = "sudo dorm reload --dry-run\nsudo dorm reload",
    .options =
        (const struct cmd_option[]){{"dry-run", 0, NULL, "dry", "only show what would change"},
                                    {0}},
    .run = call_run,
};
