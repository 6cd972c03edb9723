#include "commands.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "cli/call.h"
#include "cli/tool.h"

#define WORD_END '\x1f' /* what separates the words of the command on their way to dormd */

enum { COMMAND_MAX = 60000 };

static int join(const struct cli *c, struct buf *b, struct err *e)
{
    if (c->rest_n == 0) {
        (void)err_set(e, ERR_INPUT, "COMMAND is missing");
        return err_hint(e, "for example: dorm server run %s -- psql -c 'select 1'",
                        cli_value(c, "name"));
    }
    for (int i = 0; i < c->rest_n; i++) {
        if (strchr(c->rest[i], WORD_END) != NULL)
            return err_set(e, ERR_INPUT, "the byte 0x1f in a command cannot be passed on");
        if ((i > 0 && !buf_put_u8(b, WORD_END)) || !buf_put(b, c->rest[i], strlen(c->rest[i])))
            return err_set(e, ERR_INPUT, "the command is longer than %d bytes", COMMAND_MAX);
    }
    return buf_put_u8(b, 0)
               ? 0
               : err_set(e, ERR_INPUT, "the command is longer than %d bytes", COMMAND_MAX);
}

static int run(struct cli *c, struct err *e)
{
    struct call_words w;
    struct buf command;
    int status = 0, r;

    call_words_of(&w, c);
    buf_init(&command, COMMAND_MAX);
    r = join(c, &command, e);
    if (r == 0) {
        call_words_add(&w, "command", (const char *)buf_data(&command));
        r = tool_relay(c, &w, &status, e);
    }
    buf_done(&command);
    if (r < 0)
        return -1;
    exit(status);
}

const struct cmd cmd_server_run = {
    .name = "server run",
    .summary = "run a command beside a server, as its user, in a sandbox of its own",
    .help =
        "Its input, output and exit status are those of this command. In it psql needs no host,\n"
        "name or password, and wakes the server. There is no network, and nothing is kept.\n",
    .example = "dorm server run alice -- psql -c 'select version()'\n"
               "pg_dump -h db.example.edu shop | dorm server run alice -- psql",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .options =
        (const struct cmd_option[]){
            {"timeout", 0, "TIME", "timeout", "end it when it takes longer, as in 30s"}, {0}},
    .rest = "COMMAND",
    .run = run,
};
