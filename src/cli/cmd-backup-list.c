#include "commands.h"

#include "base/auto.h"
#include "cli/call.h"

static int run(struct cli *c, struct err *e)
{
    AUTO_FREE char *target = NULL;
    struct call_words w;

    call_words_of(&w, c);
    if (call_words_absolute(&w, "target", &target, e) < 0)
        return -1;
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

const struct cmd cmd_backup_list = {
    .name = "backup list",
    .summary = "the backups that are there",
    .example = "dorm backup list\ndorm backup list --from /mnt/usb",
    .options =
        (const struct cmd_option[]){
            {"from", 0, "DIR", "target", "where from (backup.target of the hub file)"}, {0}},
    .run = run,
};
