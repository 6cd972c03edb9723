/*
 * metrics.h: figures for Prometheus, as text over HTTP on a Unix socket, RUN/metrics.
 *
 * dormd hears no network: whoever collects over one puts a proxy before the socket.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "dormd/hub.h"

struct metrics;

struct metrics *metrics_open(struct hub *h, struct err *e);
void metrics_free(struct metrics *m);
/* A server woke, within so long. */
void metrics_woke(struct metrics *m, uint64_t ms);
