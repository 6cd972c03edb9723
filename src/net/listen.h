/* listen.h: taking connections off a listening socket. */
#pragma once

#include "addr.h"
#include "base/err.h"

enum listen_result {
    LISTEN_OK,
    LISTEN_NONE, /* nobody waits, or who waited has gone */
    LISTEN_FULL, /* no descriptor or memory for another one: pause, it stays in the backlog */
    LISTEN_ERR,  /* the listener itself is broken; errno says how */
};

/*
 * Accept one connection: non-blocking, closed on exec, small messages sent at once, a dead peer
 * noticed within minutes. The caller owns *ret_fd.
 */
enum listen_result listen_accept(int listener, int *ret_fd, struct addr *ret_peer);
/* True when the descriptor is a listening stream socket; whether it is a Unix one. */
int listen_check(int fd, bool *ret_unix, struct err *e);
