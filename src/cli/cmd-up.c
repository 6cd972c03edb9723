#include "commands.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "cli/call.h"
#include "cli/hub.h"
#include "cli/restart.h"
#include "cli/start.h"

static int welcome(const struct cli *c, struct err *e)
{
    const char *reader = getenv("SUDO_UID"); /* who will copy the lines that are printed */
    struct call_words w = {.at = {"status"}, .n = 1};

    call_words_add(&w, "welcome", "1");
    if (reader != NULL && geteuid() == 0)
        call_words_add(&w, "for", reader);
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

static int run(struct cli *c, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    char state[HUB_PATH];

    if (geteuid() != 0) {
        (void)err_set(e, ERR_DENIED, "the hub must be started as root");
        return err_hint(e, "sudo dorm up");
    }
    if (hub_state(c, state, e) < 0)
        return -1;
    if (hub_connect(c, &fd, e) == 0) {
        close_fd(&fd);
        return restart_outdated(c, state, e) < 0 ? -1 : welcome(c, e);
    }
    return e->kind != ERR_MISSING || start_hub(c, state, e) < 0 ? -1 : welcome(c, e);
}

const struct cmd cmd_up = {
    .name = "up",
    .summary = "start the hub, or what was upgraded of it, and say how to connect",
    .example = "sudo dorm up",
    .run = run,
};
