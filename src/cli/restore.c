#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "cli/call.h"
#include "cli/hub.h"
#include "cli/start.h"

static int is_free(const struct cli *c, const char *state, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    char record[HUB_PATH + 16];
    struct stat st;

    if (hub_connect(c, &fd, e) == 0) {
        (void)err_set(e, ERR_EXISTS, "the hub at \"%s\" is running: nothing was restored", state);
        return err_hint(e, "one server of it: dorm backup restore BACKUP --server SERVER");
    }
    if (e->kind != ERR_MISSING)
        return -1;
    (void)snprintf(record, sizeof(record), "%s/record.db", state);
    if (lstat(record, &st) == 0) {
        (void)err_set(e, ERR_EXISTS, "there is a hub at \"%s\" already: nothing was restored",
                      state);
        return err_hint(e, "dorm up starts it; another place: dorm --state DIR backup restore ...");
    }
    return errno == ENOENT || errno == ENOTDIR
               ? 0
               : err_set_os(e, errno, "could not look for \"%s\"", record);
}

/* dormd has said why; its exit code is what dorm's will be. */
static int failed(int code, struct err *e)
{
    enum err_kind kind = ERR_INTERNAL;

    for (int i = ERR_INTERNAL; i < ERR_KIND_N; i++)
        if (err_exit((enum err_kind)i) == code) {
            kind = (enum err_kind)i;
            break;
        }
    (void)err_set(e, kind, "the hub was not restored: dormd ended with %d", code);
    return err_hint(e, "dormd's reason stands above; the same command tries again");
}

int restore_hub(const struct cli *c, const char *backup, struct err *e)
{
    AUTO_FREE char *path = NULL;
    char state[HUB_PATH];
    const char *argv[] = {"dormd", "--state", state, "--restore", backup, NULL};
    struct stat st;
    int code;

    if (geteuid() != 0) {
        (void)err_set(e, ERR_DENIED, "a hub must be restored as root");
        return err_hint(e, "sudo dorm backup restore BACKUP --hub");
    }
    if (hub_state(c, state, e) < 0 || is_free(c, state, e) < 0)
        return -1;
    if (stat(backup, &st) < 0) {
        (void)err_set_os(e, errno, "could not find backup \"%s\"", backup);
        return err_hint(e, "give its path, or the directory it is in: --from DIR");
    }
    if (start_find_dormd(&path, e) < 0)
        return -1;
    if (mkdir(state, 0711) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make the state directory \"%s\"", state);
    code = start_and_wait(path, argv, e);
    if (code < 0)
        return -1;
    if (code != 0)
        return failed(code, e);
    call_remark(c, "the hub is restored; start it with: dorm up");
    return 0;
}
