#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    if (cli_value(c, "beside") != NULL) /* it takes nothing away */
        return call_dormd(c, &w, CALL_ENDS_DONE, e);
    return ask_then_call(c, &w, cli_value(c, "name"), "restore this server", e);
}

const struct cmd cmd_snapshot_restore = {
    .name = "snapshot restore",
    .summary = "make a server what it was in a snapshot, or make a second one of it",
    .example =
        "dorm snapshot restore alice before-exam\ndorm snapshot restore alice before-exam --beside",
    .args =
        (const struct cmd_arg[]){{"SERVER", "name", false}, {"SNAPSHOT", "snapshot", false}, {0}},
    .options = (const struct cmd_option[]){{"beside", 0, NULL, "beside",
                                            "as a server of its own; this one stays as it is"},
                                           {"yes", 0, NULL, "yes", "do not ask"},
                                           {0}},
    .run = run,
};
