#include "inject.h"

#ifdef DORM_INJECT

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

int inject_at(const char *place, struct err *e)
{
    const char *wish = getenv("DORM_INJECT");
    size_t n = strlen(place);

    if (wish == NULL || strncmp(wish, place, n) != 0 || wish[n] != '=')
        return 0;
    (void)dprintf(STDERR_FILENO, "injected at %s\n",
                  place); /* a test that gets nowhere must know */
    if (str_is(wish + n + 1, "kill"))
        (void)kill(getpid(), SIGKILL);
    if (str_is(wish + n + 1, "stop"))
        (void)kill(getpid(), SIGSTOP);
    if (str_is(wish + n + 1, "fail"))
        return err_set_os(e, EIO, "injected failure at %s", place);
    return 0;
}

#endif
