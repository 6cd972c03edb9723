/* A server's whole side of a naming: login, answers, then the end. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "pg/client.h"
#include "pg/name.h"

static int played(const uint8_t *data, size_t len)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    (void)send(fds[1], data, len, MSG_DONTWAIT);
    (void)shutdown(fds[1], SHUT_RDWR);
    (void)close(fds[1]);
    return fds[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pg_client c;
    struct err e = {0};
    char value[32];

    if (pg_name_owner(played(data, len), "alice", clock_ms() + 1000, &e) < 0 && e.msg[0] == '\0')
        abort();
    if (pg_client_start(&c, played(data, len), "u", "d", clock_ms() + 1000, &e) == 0) {
        if (pg_client_value(&c, "x", value, sizeof(value), &e) == 0 &&
            strlen(value) >= sizeof(value))
            abort();
        pg_client_close(&c);
    }
    return 0;
}
