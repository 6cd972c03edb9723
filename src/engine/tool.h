/*
 * tool.h: tool pods: programs of a user's beside their server, in a pod of their own on this
 * machine.
 *
 * Same host uid, same view of the host, own namespaces and an own control group beside the
 * server's; no volume, so that none is held busy. In its network namespace there is nothing but a
 * listener of ours on port 5432. A tool lives on when this process dies, and is found again by
 * observe().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/rand.h"
#include "engine/engine.h"

enum {
    TOOL_ID_SIZE = 2 * ID_SIZE, /* "<server>-<own>" */
    TOOL_LISTENERS = 2,
    TOOL_STREAMS = 3,
};

struct tool_spec {
    const char *server; /* id */
    const char *name;   /* what people call the server */
    const char *login, *superuser;
    uint32_t major;
    uid_t uid;
    uint64_t memory;
    uint32_t cpu_milli, weight_milli, pids;
    const char *term; /* of a terminal; NULL: pipes */
    uint16_t rows, columns;
    const char *const *argv; /* ends with NULL; NULL: a shell */
};

struct tool_hooks {
    /* Its listeners on port 5432. Takes the descriptors. */
    void (*listening)(void *owner, const char *tool, int *fds, size_t n);
    /* Its last process is gone. status is as a shell has it, -1 where nobody knows; e says why a
     * launch failed, else it is NULL. */
    void (*ended)(void *owner, const char *tool, int status, const struct err *e);
    /* One that an earlier process started runs. Within observe(). */
    void (*found)(void *owner, const char *tool);
    void *owner;
};

/* Before observe(). */
void tool_hook(struct engine *engine, const struct tool_hooks *hooks);
/*
 * ret_streams is the other side of its stdin, stdout and stderr, or the terminal's master and twice
 * -1. The caller owns them. Ends in ended().
 */
int tool_start(struct engine *engine, const struct tool_spec *spec, char ret_id[TOOL_ID_SIZE],
               int ret_streams[TOOL_STREAMS], struct err *e);
/* Kill every process of it; ended() follows. One that is not there is no error. */
int tool_end(struct engine *engine, const char *tool, struct err *e);
/* How many a server has, and what they use together: memory, cpu_us, processes. */
size_t tool_usage(struct engine *engine, const char *server, struct engine_usage *ret);
