#include "commands.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/help.h"

static int run(struct cli *c, struct err *e)
{
    struct buf b;

    if (!str_is(cli_value(c, "shell"), "bash")) {
        (void)err_set(e, ERR_INPUT, "there is no completion for that shell");
        return err_hint(e, "dorm completion bash");
    }
    buf_init(&b, 64 << 10);
    help_completion_bash(&b);
    (void)fwrite(buf_data(&b), 1, buf_len(&b), stdout);
    buf_done(&b);
    return 0;
}

const struct cmd cmd_completion = {
    .name = "completion",
    .summary = "completion for a shell, to be sourced by it",
    .example = "source <(dorm completion bash)",
    .args = (const struct cmd_arg[]){{"SHELL", "shell", false}, {0}},
    .run = run,
};
