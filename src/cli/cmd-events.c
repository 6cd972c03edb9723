#include "commands.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "cli/call.h"

enum { AGAIN_MS = 500 };

/* What happened while dormd was away is shown when it is back; what happened in the very second
 * that it left may be shown twice. */
static int follow(struct cli *c, struct err *e)
{
    struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};
    struct call_words w;
    char left[24] = "";

    call_words_of(&w, c);
    while (call_dormd(c, &w, CALL_ENDS_DONE, e) < 0) {
        /* a refusal is meant; that dormd is not there is not the end */
        if (e->kind != ERR_PEER && e->kind != ERR_OS && left[0] == '\0')
            return -1;
        if (left[0] == '\0' || e->kind == ERR_PEER) {
            call_remark(c, "dormd has gone; waiting for it");
            (void)snprintf(left, sizeof(left), "%lld", (long long)clock_unix());
            call_words_of(&w, c);
            call_words_add(&w, "from", left);
        }
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int run(struct cli *c, struct err *e)
{
    return cli_value(c, "follow") != NULL ? follow(c, e) : call_run(c, e);
}

const struct cmd cmd_events = {
    .name = "events",
    .summary = "what happened: who woke, slept, failed, was undone, and why",
    .help = "The last 50, oldest first; more with -n or --since. With --follow it goes on until\n"
            "Ctrl-C. Who is not root sees what concerns their own server. Times are UTC.",
    .example = "dorm events --since 1h\ndorm events --follow --server alice\ndorm events --kind "
               "fail -o json",
    .options =
        (const struct cmd_option[]){
            {"follow", 'f', NULL, "follow", "go on with those that happen"},
            {"lines", 'n', "NUMBER", "lines", "how many at most"},
            {"since", 0, "DURATION", "since", "not older than this, as in 90m or 2d"},
            {"server", 0, "NAME", "name", "of this server or user only"},
            {"kind", 'k', "KIND", "kind",
             "hub, gate, wake, nap, sleep, fail, memory, disk, deed, backup or user"},
            {0}},
    .run = run,
};
