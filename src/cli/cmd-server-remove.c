#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    return ask_then_call(c, &w, cli_value(c, "name"), "remove this server", e);
}

const struct cmd cmd_server_remove = {
    .name = "server remove",
    .summary = "take a server away that was restored beside another",
    .help = "A user's own server goes with its user: dorm user remove LOGIN.",
    .example = "dorm server remove alice-before\ndorm server remove alice-before --yes",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
