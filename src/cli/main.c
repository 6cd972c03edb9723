/* dorm: the command line of a hub. */
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/table.h"

enum { HELP_MAX = 64 << 10 };

static void print_help(const struct cli *c, FILE *out)
{
    struct buf b;

    buf_init(&b, HELP_MAX);
    if (c->group != NULL)
        help_group(&b, c->group);
    else if (c->cmd == NULL)
        help_all(&b);
    else
        help_command(&b, c->cmd);
    (void)fwrite(buf_data(&b), 1, buf_len(&b), out);
    buf_done(&b);
}

static int run(int argc, const char *const *argv, struct err *e)
{
    struct cli c;

    if (cli_parse(&c, argc, argv, e) < 0)
        return -1;
    if (c.version) {
        (void)printf("dorm %s\n", DORM_VERSION);
        return 0;
    }
    if (c.cmd == NULL && !c.help) {
        print_help(&c, stderr);
        return err_set(e, ERR_INPUT, "a command is missing");
    }
    if (c.help) {
        print_help(&c, stdout);
        return 0;
    }
    return c.cmd->run(&c, e);
}

int main(int argc, char **argv)
{
    struct err e = {.kind = ERR_NONE};
    int r = argc < 1 ? 0 : run(argc - 1, (const char *const *)argv + 1, &e);

    /* a full disk behind a redirection is not a success */
    if (fflush(stdout) != 0 && r == 0)
        r = err_set(&e, ERR_OS, "could not write the result");
    if (r < 0) {
        AUTO_FREE char *message = table_harmless(e.msg), *hint = table_harmless(e.hint);

        (void)fprintf(stderr, "dorm: %s\n", message);
        if (hint[0] != '\0')
            (void)fprintf(stderr, "hint: %s\n", hint);
    }
    return r < 0 ? err_exit(e.kind) : EXIT_SUCCESS;
}
