#include "dormd/nap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/str.h"

enum { AUTO_MS = 120000, SWAPS_MAX = 65536 };

bool nap_gives_memory(void)
{
    AUTO_FREE char *text = NULL;
    const char *second;
    struct err ignored;

    if (fd_read_file(AT_FDCWD, "/proc/swaps", SWAPS_MAX, &text, &ignored) < 0)
        return false;
    second = strchr(text, '\n'); /* the first line is a heading */
    return second != NULL && second[1] != '\0';
}

uint64_t nap_after_ms(uint64_t said_ms)
{
    if (said_ms != 0)
        return said_ms;
    return nap_gives_memory() ? AUTO_MS : UINT64_MAX;
}

bool nap_explain(uint64_t said_ms, bool reclaims, char *at, size_t size)
{
    uint64_t after = nap_after_ms(said_ms);
    bool swap = nap_gives_memory();
    char when[48], text[24];

    if (after == UINT64_MAX)
        (void)snprintf(when, sizeof(when), "servers do not nap (server.sleep.nap: %s)",
                       said_ms == 0 ? "auto" : "never");
    else
        (void)snprintf(when, sizeof(when), "servers nap after %s",
                       str_duration(text, sizeof(text), after));
    (void)snprintf(at, size, "%s; %s", when,
                   !swap      ? "without swap or zram a nap gives hardly any memory back"
                   : reclaims ? "their memory is swapped out at once"
                              : "their memory is swapped out when others need it");
    return swap;
}
