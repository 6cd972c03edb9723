#include "commands.h"

#include <stdio.h>

#include "base/buf.h"
#include "cli/help.h"

static int run(struct cli *c, struct err *e)
{
    const char *one = cli_value(c, "command"), *two = cli_value(c, "second");
    const struct cmd *cmd = NULL;
    struct buf b;
    int words;
    bool group = one != NULL && two == NULL && cli_is_group(one);

    if (one != NULL && !group) {
        cmd = cli_find(two == NULL ? 1 : 2, c->args, &words, e);
        if (cmd == NULL)
            return -1;
    }
    buf_init(&b, 64 << 10);
    if (group)
        help_group(&b, one);
    else if (cmd == NULL)
        help_all(&b);
    else
        help_command(&b, cmd);
    (void)fwrite(buf_data(&b), 1, buf_len(&b), stdout);
    buf_done(&b);
    return 0;
}

const struct cmd cmd_help = {
    .name = "help",
    .summary = "what a command does, with an example",
    .example = "dorm help user add\ndorm help volume",
    .args = (const struct cmd_arg[]){{"COMMAND", "command", true}, {"WORD", "second", true}, {0}},
    .run = run,
};
