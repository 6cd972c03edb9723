#include "hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/cli.h"
#include "ipc/conn.h"

int hub_state(const struct cli *c, char at[HUB_PATH], struct err *e)
{
    const char *state = c->state != NULL ? c->state : getenv("DORM_STATE");
    size_t n;

    if (state == NULL || state[0] == '\0')
        state = HUB_STATE;
    if (state[0] != '/' || !str_copy(at, HUB_PATH, state)) {
        (void)err_set(e, ERR_INPUT,
                      "the state directory must be an absolute path of at most %d bytes",
                      HUB_PATH - 1);
        return err_hint(e, "for example: dorm --state %s", HUB_STATE);
    }
    n = strlen(at);
    while (n > 1 && at[n - 1] == '/')
        at[--n] = '\0';
    return 0;
}

bool hub_is_default(const char *state)
{
    return str_is(state, HUB_STATE);
}

static int not_running(const char *where, struct err *e)
{
    (void)err_set(e, ERR_MISSING, "could not reach dormd of hub at %s: it is not running", where);
    return err_hint(e, "start it with: dorm up");
}

int hub_run_dir(const char *state, char at[HUB_PATH], struct err *e)
{
    AUTO_FREE char *text = NULL;
    char path[HUB_PATH + 4];

    if (hub_is_default(state))
        return str_copy(at, HUB_PATH, HUB_RUN) ? 0 : -1;
    (void)snprintf(path, sizeof(path), "%s/run", state);
    if (fd_read_file(AT_FDCWD, path, HUB_PATH, &text, e) < 0)
        return e->os_errno == ENOENT ? not_running(state, e) : -1;
    text[strcspn(text, "\n")] = '\0';
    if (text[0] != '/' || !str_copy(at, HUB_PATH, text))
        return err_set(e, ERR_CONFIG, "\"%s\" does not hold the path of a directory", path);
    return 0;
}

int hub_connect(const struct cli *c, int *ret_fd, struct err *e)
{
    char state[HUB_PATH], run[HUB_PATH], path[HUB_PATH + 8];

    if (hub_state(c, state, e) < 0 || hub_run_dir(state, run, e) < 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/control", run);
    if (ipc_connect(path, ret_fd, e) == 0)
        return 0;
    if (e->os_errno == ENOENT || e->os_errno == ECONNREFUSED)
        return not_running(run, e);
    return err_prefix(e, "could not reach dormd of hub at %s", run);
}
