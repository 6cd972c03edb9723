#include "commands.h"

#include <unistd.h>

#include "cli/call.h"
#include "cli/hub.h"
#include "cli/restart.h"

static int run(struct cli *c, struct err *e)
{
    char state[HUB_PATH];

    if (geteuid() != 0) {
        (void)err_set(e, ERR_DENIED, "the hub must be restarted as root");
        return err_hint(e, "sudo dorm restart");
    }
    if (hub_state(c, state, e) < 0)
        return -1;
    if (cli_value(c, "gate") == NULL && restart_dormd(c, state, e) < 0)
        return -1;
    return restart_gate(c, e);
}

const struct cmd cmd_restart = {
    .name = "restart",
    .summary = "replace dormd and gate by what is installed; servers and sessions stay",
    .help = "Servers run on and nobody is disconnected: sessions stay in the gate that has them,\n"
            "which ends with the last, and who connects meanwhile waits some milliseconds.\n"
            "After an upgrade dorm up does the same, if another version is installed than runs.",
    .example = "sudo dorm restart\nsudo dorm restart --gate",
    .options = (const struct cmd_option[]){{"gate", 0, NULL, "gate", "the gate alone"}, {0}},
    .run = run,
};
