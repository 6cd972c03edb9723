#include "commands.h"

#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    if (cli_value(c, "class") == NULL) {
        (void)err_set(e, ERR_INPUT, "it is not said where to: --to CLASS is missing");
        return err_hint(e, "kinds of disk: dorm storage list");
    }
    return call_run(c, e);
}

const struct cmd cmd_volume_move = {
    .name = "volume move",
    .summary = "move a volume to another kind of disk: --to CLASS",
    .example = "dorm volume move postgres-alice --to fast",
    .args = (const struct cmd_arg[]){{"VOLUME", "volume", false}, {0}},
    .options =
        (const struct cmd_option[]){
            {"to", 0, "CLASS", "class", "the kind of disk: see dorm storage list"}, {0}},
    .run = run,
};
