/* What a pod may have of the machine, and all pods together, while they run. */
#include <errno.h>

#include "base/log.h"
#include "box/groups-memory.h"
#include "local.h"
#include "pod-int.h"

enum { AGAIN_MS = 1000 };

struct box_limits pod_limits(const struct engine_server *spec)
{
    return (struct box_limits){.memory = spec->memory,
                               .cpu_milli = spec->cpu_milli,
                               .weight_milli = spec->request_cpu_milli,
                               .pids = spec->pids};
}

/*
 * Less memory than a server holds is no limit but an end of something in it, which nobody asked for
 * who wrote a smaller number into the hub file: that waits for the next wake.
 */
static uint64_t memory_now(const struct pod *p, uint64_t memory)
{
    struct box_memory m;
    struct err ignored;

    if (memory == 0 || (p->limits.memory != 0 && memory >= p->limits.memory) ||
        box_groups_memory(p->local->groups, p->id, &m, &ignored) < 0 || m.held == BOX_UNKNOWN)
        return memory;
    return m.held + m.held / 4 <= memory ? memory : p->limits.memory;
}

int pod_limit(struct local *l, const struct engine_server *spec, struct err *e)
{
    struct pod *p = map_get(&l->pods, spec->id);
    struct box_limits limits = pod_limits(spec);

    if (p == NULL || p->phase == POD_ENDING)
        return 0;
    limits.memory = memory_now(p, spec->memory);
    if (p->phase != POD_PREPARING && box_groups_limit(l->groups, p->id, &limits, e) < 0)
        return -1;
    p->limits = limits;
    p->spec->request_memory = spec->request_memory;
    p->spec->request_cpu_milli = spec->request_cpu_milli;
    pod_memory_limited(p);
    return 0;
}

/*
 * The same for all together: v1 refuses a limit below what is held, which would keep a dormd with a
 * changed hub file from starting; v2 would kill in whatever pod.
 */
static uint64_t all_now(const struct local *l, uint64_t memory)
{
    struct box_memory m;
    struct err ignored;
    uint64_t least;

    if (memory == 0 || box_groups_memory(l->groups, NULL, &m, &ignored) < 0 ||
        m.held == BOX_UNKNOWN)
        return memory;
    least = m.held + m.held / 4;
    return least <= memory ? memory : m.limit != 0 && m.limit < least ? m.limit : least;
}

static void limit_again(struct loop_timer *t)
{
    struct local *l = list_of(t, struct local, limit_timer);
    struct err e;

    if (local_limit_all(&l->engine, l->limit_wished, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

int local_limit_all(struct engine *engine, uint64_t memory, struct err *e)
{
    struct local *l = local_of(engine);
    uint64_t now = all_now(l, memory);

    loop_timer_stop(l->loop, &l->limit_timer);
    if (box_groups_limit_all(l->groups, now, e) < 0) {
        if (e->os_errno != EBUSY)
            return -1;
        now = UINT64_MAX; /* they hold more than was seen: it stays as it was */
    }
    memory_limited(l);
    if (now > memory && memory != 0) {
        if (l->limit_wished != memory)
            log_info(NULL, "the servers hold more than the %llu MiB they may have: later, then",
                     (unsigned long long)(memory >> 20));
        l->limit_wished = memory;
        loop_timer_set(l->loop, &l->limit_timer, loop_now(l->loop) + AGAIN_MS, limit_again);
    } else {
        l->limit_wished = 0;
    }
    return 0;
}
