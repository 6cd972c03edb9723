#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    return ask_then_call(c, &w, cli_value(c, "snapshot"), "delete this snapshot", e);
}

const struct cmd cmd_snapshot_delete = {
    .name = "snapshot delete",
    .summary = "delete a snapshot of a server, for good",
    .example =
        "dorm snapshot delete alice before-exam\ndorm snapshot delete alice before-exam --yes",
    .args =
        (const struct cmd_arg[]){{"SERVER", "name", false}, {"SNAPSHOT", "snapshot", false}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
