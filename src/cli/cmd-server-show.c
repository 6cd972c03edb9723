#include "commands.h"

#include "cli/call.h"

/* A program that asks often does not want a session in the server each time. */
static int run(struct cli *c, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    if (c->output == CLI_TABLE || cli_value(c, "all") != NULL)
        if (cli_value(c, "settings") == NULL)
            call_words_add(&w, "settings", "1");
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

const struct cmd cmd_server_show = {
    .name = "server show",
    .summary = "everything about one server, and who says what its PostgreSQL settings are",
    .help =
        "The settings are those of the hub file, those that ALTER SYSTEM or postgresql.conf of "
        "the\n"
        "server set, and those that follow the limits; a note says what has no effect and what\n"
        "needs a restart. An awake server is asked; with -o json only with --settings.",
    .example = "dorm server show alice\ndorm server show alice --all\n"
               "dorm server show alice --settings -o json",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options =
        (const struct cmd_option[]){{"settings", 0, NULL, "settings", "settings, also with -o"},
                                    {"all", 0, NULL, "all", "all that is not PostgreSQL's default"},
                                    {0}},
    .run = run,
};
