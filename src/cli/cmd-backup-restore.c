#include "commands.h"

#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/call.h"
#include "cli/restore.h"

static int restore_server(const struct cli *c, struct err *e)
{
    AUTO_FREE char *target = NULL, *backup = NULL;
    struct call_words w;

    call_words_of(&w, c);
    if (call_words_absolute(&w, "target", &target, e) < 0)
        return -1;
    if (strchr(cli_value(c, "backup"), '/') != NULL &&
        call_words_absolute(&w, "backup", &backup, e) < 0)
        return -1;
    return ask_then_call(c, &w, cli_value(c, "name"), "restore this server", e);
}

/* No hub runs that could say where its backups are. */
static int restore_whole(const struct cli *c, struct err *e)
{
    const char *backup = cli_value(c, "backup"), *from = cli_value(c, "target");
    AUTO_FREE char *path = NULL, *absolute = NULL;
    struct call_words w = {.at = {c->cmd->name}, .n = 1};

    if (from == NULL && strchr(backup, '/') == NULL) {
        (void)err_set(e, ERR_INPUT, "a new hub does not know where \"%s\" is", backup);
        return err_hint(e, "give its path, or the directory it is in: --from DIR");
    }
    path = from == NULL || backup[0] == '/' ? mem_copy(backup) : mem_printf("%s/%s", from, backup);
    call_words_add(&w, "backup", path);
    if (call_words_absolute(&w, "backup", &absolute, e) < 0)
        return -1;
    return restore_hub(c, w.at[2], e);
}

static int run(struct cli *c, struct err *e)
{
    bool whole = cli_value(c, "hub") != NULL;

    if (whole == (cli_value(c, "name") != NULL)) {
        (void)err_set(e, ERR_INPUT, "a backup is restored either for one server or as the hub");
        return err_hint(e,
                        "dorm backup restore BACKUP --server SERVER, or on a new machine: --hub");
    }
    return whole ? restore_whole(c, e) : restore_server(c, e);
}

const struct cmd cmd_backup_restore = {
    .name = "backup restore",
    .summary = "bring a server back from a backup, or the whole hub on a new machine",
    .help =
        "BACKUP is a name, as in dorm backup list, or a path. With --hub no hub may be there yet.",
    .example = "dorm backup restore 2026-11-20 --server alice\n"
               "sudo dorm backup restore 2026-11-20 --hub --from /mnt/usb",
    .args = (const struct cmd_arg[]){{"BACKUP", "backup", false}, {0}},
    .options =
        (const struct cmd_option[]){
            {"server", 0, "SERVER", "name", "only this server, in the hub that runs"},
            {"hub", 0, NULL, "hub", "the whole hub, where there is none"},
            {"from", 0, "DIR", "target", "where from (backup.target of the hub file)"},
            {"yes", 0, NULL, "yes", "do not ask"},
            {0}},
    .run = run,
};
