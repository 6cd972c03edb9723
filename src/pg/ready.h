/* ready.h: what a server tells about itself: that it is ready, whose data it has, why it gave up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct pg_notify {
    bool ready, stopping, reloading;
    char status[96]; /* STATUS=, escaped; may be empty */
};

/* One datagram from PG_NOTIFY, which everything in the sandbox can write to. False: nothing known
 * in it. */
bool pg_notify_parse(const void *datagram, size_t len, struct pg_notify *ret);

/* Is this the data directory of that major? ERR_CONFIG with words when it is another's. */
int pg_data_check(int data_fd, int major, struct err *e);

/*
 * The one line of a server's log (its last bytes, cut anywhere) that says why it did not start:
 * escaped, NUL-terminated, into ret. ERR_NO_SPACE where the volume was full, else ERR_INTERNAL.
 */
enum err_kind pg_start_failure(const void *log, size_t len, char *ret, size_t size);
