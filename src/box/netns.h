/* netns.h: a network namespace of a pod's own that already has a listener of ours in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { BOX_NETNS_LISTENERS = 2 };

/*
 * The calling process enters a new network namespace: loopback and nothing else. TCP sockets listen
 * there on this port, on 127.0.0.1 and, where there is IPv6, on ::1. They keep the namespace alive
 * until they are closed. For a plan with own_net.
 */
int box_netns_make(uint16_t port, int ret_fds[BOX_NETNS_LISTENERS], size_t *ret_n, struct err *e);
/* Does the kernel speak IPv6? */
bool box_has_ip6(void);
