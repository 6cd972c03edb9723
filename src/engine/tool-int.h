/* tool-int.h: a tool pod, for tool*.c and who asks for their parts. */
#pragma once

#include "engine/tool.h"
#include "local-int.h"

/* What the launch needs; in the child's copy of this process. */
struct tool_run {
    const struct local *local;
    const struct tool_spec *spec;
    const char *id;
    const struct pg_install *install;
    int stdio[TOOL_STREAMS]; /* of the payload */
    int said;                /* where the listeners are sent */
};

/* Make its standard streams: those of the payload, and our side of them. */
int tool_streams(const struct tool_spec *spec, int stdio[TOOL_STREAMS], int ret[TOOL_STREAMS],
                 struct err *e);
/* In the child that becomes the pod. */
int tool_launch(void *run, struct err *e);

/* ---- for local.c ---- */

bool tool_is_id(const char *id);
/* One that runs, and that another process started. */
int tool_found(struct local *l, const char *id, struct err *e);
bool tool_any(const struct local *l);
void tool_free_all(struct local *l);

/* ---- for memory.c ---- */

struct tool;

/*
 * How much the tools of one server hold, of that server where it is most, and the largest of them.
 * What those hold that are being ended is added to ret_coming.
 */
uint64_t tool_memory(const struct local *l, struct tool **ret_largest, uint64_t *ret_coming);
/* End it for its memory; its caller is told. */
void tool_give_up(struct tool *t);
