#include "commands.h"

#include "base/auto.h"
#include "cli/call.h"

/* The verb and the target leave room for so many. */
enum { SERVERS = (CALL_WORDS - 3) / 2 };

static int run(struct cli *c, struct err *e)
{
    AUTO_FREE char *target = NULL;
    struct call_words w;
    bool all = cli_value(c, "all") != NULL, named = cli_value(c, "server") != NULL;

    if (all == named) {
        (void)err_set(e, ERR_INPUT, "a backup is either of servers that are named or of all");
        return err_hint(e, "dorm backup create SERVER ..., or: dorm backup create --all");
    }
    if (c->more_n >= SERVERS) {
        (void)err_set(e, ERR_LIMIT, "at most %d servers can be named at once", SERVERS);
        return err_hint(e, "the others in another backup, or: dorm backup create --all");
    }
    call_words_of(&w, c);
    for (size_t i = 0; i < c->more_n; i++)
        call_words_add(&w, "server", c->more[i]);
    if (call_words_absolute(&w, "target", &target, e) < 0)
        return -1;
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

const struct cmd cmd_backup_create = {
    .name = "backup create",
    .summary = "copy servers, or the whole hub, to another disk",
    .help = "From a backup with --all the hub can be made anew: dorm backup restore BACKUP --hub.",
    .example = "dorm backup create --all\ndorm backup create alice bob --to /mnt/usb",
    .args = (const struct cmd_arg[]){{"SERVER", "server", true}, {0}},
    .many = true,
    .options =
        (const struct cmd_option[]){
            {"all", 0, NULL, "all", "every server, and the hub itself"},
            {"to", 0, "DIR", "target", "where to (backup.target of the hub file)"},
            {0}},
    .run = run,
};
