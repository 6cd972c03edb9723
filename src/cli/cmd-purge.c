#include "commands.h"

#include <errno.h>
#include <sys/stat.h>

#include "cli/ask.h"
#include "cli/call.h"
#include "cli/hub.h"
#include "cli/start.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;
    char answer[256], state[HUB_PATH];
    struct stat st;

    call_words_of(&w, c);
    if (cli_value(c, "yes") == NULL) {
        if (ask_first(c, &w, "Type the name of the hub to remove it: ", cli_value(c, "name"),
                      answer, sizeof(answer), e) < 0)
            return -1;
        if (cli_value(c, "name") == NULL)
            call_words_add(&w, "name", answer);
        call_words_add(&w, "yes", "1");
    }
    if (hub_state(c, state, e) < 0 || call_dormd(c, &w, CALL_ENDS_GONE, e) < 0)
        return -1;
    if (lstat(state, &st) == 0)
        call_remark(c, "its directory stays: there are files in it that are not Dormouse's");
    return start_forget(c, state, e);
}

const struct cmd cmd_purge = {
    .name = "purge",
    .summary = "remove the hub with all users, servers and data, for good",
    .help = "HUB is the name of the hub. Without --yes it is asked for, after what goes was shown.",
    .example = "sudo dorm purge",
    .args = (const struct cmd_arg[]){{"HUB", "name", true}, {0}},
    .options = (const struct cmd_option[]){{"yes", 0, NULL, "yes", "do not ask"}, {0}},
    .run = run,
};
