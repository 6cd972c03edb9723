#include "commands.h"

#include "cli/call.h"
#include "cli/screen.h"

enum { EVERY_MS = 2000 };

static int ask(const struct cli *c, const char *between, struct err *e)
{
    struct call_words w;

    call_words_of(&w, c);
    call_words_add(&w, "between", between);
    if (c->output == CLI_JSON)
        call_words_add(&w, "raw", "1");
    if (c->output == CLI_TABLE)
        call_words_add(&w, "sums", "1");
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

/* dormd looks, waits and looks again: that is what takes the time between two pages. */
static int page(void *arg, unsigned turn)
{
    struct err ignored;

    return ask(arg, turn == 0 ? "300" : "1900", &ignored);
}

static int run(struct cli *c, struct err *e)
{
    struct screen *s;
    int r;

    if (cli_value(c, "once") != NULL || c->output != CLI_TABLE || !screen_there())
        return ask(c, "500", e);
    s = screen_open(e);
    if (s == NULL)
        return -1;
    r = screen_run(s, page, c, EVERY_MS, e);
    screen_close(s);
    return r == 1 ? ask(c, "300", e) : r; /* it has failed: again, for its words */
}

const struct cmd cmd_top = {
    .name = "top",
    .summary = "what every server that is awake uses, against what it may; live",
    .help =
        "Drawn anew every two seconds until q; once with -1, with -o, and where no terminal is.\n"
        "CPU is of the server's limit; REQUEST is what it is counted with. HELD: it may not grow\n"
        "now, for its class of storage is nearly full. With -o json: bytes, and thousandths of a\n"
        "core. Who is not root sees their own.",
    .example = "dorm top\ndorm top -s cpu\ndorm top -1 -o json",
    .options = (const struct cmd_option[]){{"sort", 's', "BY", "sort", "memory or cpu"},
                                           {"once", '1', NULL, "once", "print it once, and end"},
                                           {0}},
    .run = run,
};
