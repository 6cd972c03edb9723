#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    return ask_then_call(c, &w, cli_value(c, "volume"), "restore this volume", e);
}

const struct cmd cmd_volume_restore = {
    .name = "volume restore",
    .summary = "make a volume what it was in a snapshot",
    .example = "dorm volume restore postgres-alice before-exam\ndorm volume restore postgres-alice "
               "before-exam --yes",
    .args =
        (const struct cmd_arg[]){{"VOLUME", "volume", false}, {"SNAPSHOT", "snapshot", false}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
