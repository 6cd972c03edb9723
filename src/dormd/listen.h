/* listen.h: the sockets strangers and commands knock at. dormd opens them; others accept on them.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "dormd/hub.h"

enum { LISTENERS_MAX = 4 };

struct listener {
    const char *kind; /* "tcp" or "unix": what the gate is told */
    int fd;           /* owned */
};

/*
 * PostgreSQL's port on every address of the hub file. The port is the one that was used before, if
 * it is free; else the hub file's; else the next free one, which is remembered and said.
 */
int listen_postgres(struct hub *h, struct listener *ret, size_t *ret_n, struct err *e);
/* A socket file, its old self removed. type is SOCK_STREAM or SOCK_SEQPACKET. */
int listen_unix(const char *path, int type, unsigned mode, int *ret_fd, struct err *e);
