/*
 * tools.h: programs beside servers, for `dorm server shell` and `run`: whose call each belongs to,
 * and the listener in its network namespace that the gate has.
 *
 * A tool ends with the call that asked for it. When dormd has died it is found again, and lives on
 * if its caller comes back within some seconds and its listener does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "dormd/hub.h"
#include "engine/tool.h"

struct call;
struct ipc_conn;
struct tools;

/* Before the engine observes. */
struct tools *tools_new(struct hub *h);
void tools_free(struct tools *t); /* the programs go on */

/* Start one and send the call what it needs; the call is answered at its end. limit_ms 0: none. */
int tools_start(struct call *c, const struct tool_spec *spec, uint64_t limit_ms, struct err *e);
/* Its caller is back: that call is answered at its end now. */
int tools_rejoin(struct call *c, const char *server, const char *id, struct err *e);
/* End all of a server, or all (NULL); their callers are told why. */
void tools_end(struct tools *t, const char *server, const struct err *why);

/* ---- for door.c ---- */

/* Has this server a tool, so that somebody may come in from one? */
bool tools_serve(const struct tools *t, const char *server);
/* A gate that has none is given all listeners. */
void tools_give_listeners(const struct tools *t, struct ipc_conn *gate);
/* One that a gate has from before, "pod:<id>": takes the descriptor if ours is missing, and lets
 * the gate close what nobody needs any more. */
void tools_take_listener(struct tools *t, struct ipc_conn *gate, const char *kind, int *fd);
