#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    return ask_then_call(c, &w, cli_value(c, "login"), "remove this user", e);
}

const struct cmd cmd_user_remove = {
    .name = "user remove",
    .summary = "take a user and their server away; dorm undo brings both back for a while",
    .example = "dorm user remove alice\ndorm user remove alice --yes",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
