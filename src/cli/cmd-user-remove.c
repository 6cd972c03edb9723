#include "commands.h"

#include <stdio.h>

#include "cli/ask.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;
    const char *login = cli_value(c, "login");
    char answer[256], prompt[320];

    call_words_of(&w, c);
    if (cli_value(c, "yes") == NULL) {
        (void)snprintf(prompt, sizeof(prompt), "Type %.200s to remove this user: ", login);
        if (ask_to_remove(c, &w, prompt, login, answer, sizeof(answer), e) < 0)
            return -1;
        call_words_add(&w, "yes", "1");
    }
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

const struct cmd cmd_user_remove = {
    .name = "user remove",
    .summary = "take a user and their server away; dorm undo brings both back for a while",
    .example = "dorm user remove alice\ndorm user remove alice --yes",
    .args = (const struct cmd_arg[]){{"LOGIN", "login", false}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
