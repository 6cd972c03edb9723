#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/tool.h"

static int run(struct cli *c, struct err *e)
{
    const char *term = getenv("TERM");
    struct call_words w;
    struct winsize size = {0};
    char rows[8], columns[8];
    int status = 0;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        (void)err_set(e, ERR_INPUT, "a shell needs a terminal");
        return err_hint(e, "for a command: dorm server run %s -- COMMAND", cli_value(c, "name"));
    }
    (void)ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    (void)snprintf(rows, sizeof(rows), "%u", size.ws_row);
    (void)snprintf(columns, sizeof(columns), "%u", size.ws_col);
    call_words_of(&w, c);
    call_words_add(&w, "term", term == NULL ? "dumb" : term);
    call_words_add(&w, "rows", rows);
    call_words_add(&w, "columns", columns);
    if (tool_relay(c, &w, &status, e) < 0)
        return -1;
    exit(status);
}

const struct cmd cmd_server_shell = {
    .name = "server shell",
    .summary = "open a shell beside a server, as its user, in a sandbox of its own",
    .help =
        "In it psql needs no host, name or password, and wakes the server. There is no network,\n"
        "and nothing is kept: /tmp is gone with the shell. The shell ends with this command.\n"
        "What programs write into it reaches your terminal as it is, escape sequences included.\n",
    .example = "dorm server shell alice",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .run = run,
};
