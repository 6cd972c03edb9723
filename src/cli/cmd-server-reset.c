#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    return ask_then_call(c, &w, cli_value(c, "name"), "reset this server", e);
}

const struct cmd cmd_server_reset = {
    .name = "server reset",
    .summary = "make a server as new as on its first day; dorm undo brings the old one back",
    .example = "dorm server reset alice\ndorm server reset alice --yes",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
