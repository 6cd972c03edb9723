#include "commands.h"

#include "cli/call.h"
#include "cli/hub.h"
#include "cli/start.h"

static int run(struct cli *c, struct err *e)
{
    struct call_words w;
    char state[HUB_PATH];

    call_words_of(&w, c);
    if (hub_state(c, state, e) < 0)
        return -1;
    if (call_dormd(c, &w, CALL_ENDS_GONE, e) < 0) {
        if (e->kind != ERR_MISSING)
            return -1;
        call_remark(c, e->msg); /* not running: what was asked for is so already */
    }
    return cli_value(c, "until-boot") != NULL ? 0 : start_forget(c, state, e);
}

const struct cmd cmd_down = {
    .name = "down",
    .summary = "put all servers to sleep and end the hub; all data stays",
    .example = "sudo dorm down",
    .options = (const struct cmd_option[]){{"until-boot", 0, NULL, "until-boot",
                                            "systemd starts the hub again at the next boot"},
                                           {0}},
    .run = run,
};
