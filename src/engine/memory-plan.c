#include "memory-plan.h"

#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

#define RESERVE_LEAST (6 * MIB)
#define RESERVE_MOST  (64 * MIB)
#define SPEED_MOST    (3 * MIB) /* bytes a millisecond: two processors that do nothing else */

enum {
    AHEAD_MS = 10,
    AHEAD_MOST_MS = 300,
    CROWD_MS = 3,
    IDLE = 8,
    PAUSE_LEAST_MS = 2,
    PAUSE_STILL_MS = 20,
    PAUSE_MOST_MS = 250
};

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

uint64_t memory_of_one(uint64_t limit)
{
    uint64_t most = limit / 4 * 3;

    return limit / 4 > 64 * MIB ? limit / 4 : most < 64 * MIB ? most : 64 * MIB;
}

/* Below the limit by this much, somebody is asked. */
static uint64_t reserve(uint64_t limit)
{
    return clamp(limit / 12, RESERVE_LEAST, RESERVE_MOST);
}

/* The last is where v2 holds up those who go on. */
size_t memory_levels(uint64_t limit, uint64_t ret[MEMORY_LEVELS])
{
    static const unsigned percent[MEMORY_LEVELS - 1] = {50, 60, 70, 75, 80, 85, 88};

    for (size_t i = 0; i < MEMORY_LEVELS - 1; i++)
        ret[i] = limit / 100 * percent[i];
    ret[MEMORY_LEVELS - 1] = limit - reserve(limit);
    return limit == 0 ? 0 : MEMORY_LEVELS;
}

void memory_look(struct memory_pace *pace, uint64_t limit, uint64_t held, uint64_t crowd,
                 uint64_t now_ms)
{
    uint64_t ms = now_ms > pace->at_ms ? now_ms - pace->at_ms : 1;
    uint64_t speed = held > pace->held && pace->at_ms != 0 ? (held - pace->held) / ms : 0;

    pace->speed = speed > pace->speed / 2 ? speed : pace->speed / 2;
    if (pace->speed > SPEED_MOST) /* a first look after a long time, or many pages at once */
        pace->speed = SPEED_MOST;
    pace->limit = limit;
    pace->held = held;
    pace->crowd = crowd;
    pace->at_ms = now_ms;
}

uint64_t memory_need(const struct memory_pace *pace, uint64_t coming)
{
    uint64_t keep = reserve(pace->limit);
    /* each of a crowd gets to the processor later, and so to giving back; the others grow meanwhile
     */
    uint64_t ahead_ms =
        clamp(pace->crowd * CROWD_MS, IDLE * CROWD_MS + AHEAD_MS, IDLE * CROWD_MS + AHEAD_MOST_MS) -
        IDLE * CROWD_MS;
    uint64_t soon = pace->held + pace->speed * ahead_ms;

    if (pace->limit <= 2 * keep || pace->held < pace->limit / 4 * 3)
        return 0;
    soon -= soon < coming ? soon : coming;
    return soon <= pace->limit - keep ? 0 : soon - (pace->limit - 2 * keep);
}

bool memory_dire(const struct memory_pace *pace)
{
    return pace->limit != 0 && pace->held + reserve(pace->limit) / 2 > pace->limit;
}

uint64_t memory_pause(const struct memory_pace *pace)
{
    uint64_t keep = reserve(pace->limit);
    uint64_t spare = pace->held + keep < pace->limit ? pace->limit - keep - pace->held : 0;

    /* what stands there and does not move must not keep us busy */
    return clamp(spare / SPEED_MOST / 2, pace->speed < 1024 ? PAUSE_STILL_MS : PAUSE_LEAST_MS,
                 PAUSE_MOST_MS);
}

bool memory_restless(const struct memory_pace *pace)
{
    /* growing, and there before anybody could look a dozen times; or so near that events, which
     * come with steps of a MiB or two, are too coarse */
    return pace->limit != 0 && (memory_dire(pace) || (pace->held > pace->limit / 3 &&
                                                      pace->speed * 1000 > pace->limit / 16));
}

uint64_t memory_weight(uint64_t limit, uint64_t own, uint64_t shared)
{
    uint64_t common = clamp(limit / 16, 16 * MIB, 128 * MIB);

    return own + (shared > common ? shared - common : 0);
}

uint64_t memory_least(uint64_t limit)
{
    return clamp(limit / 64, 3 * MIB, 16 * MIB);
}

static int larger_first(const void *a, const void *b)
{
    const struct memory_eater *x = a, *y = b;

    return x->weight > y->weight ? -1 : x->weight < y->weight;
}

/*
 * A query that runs in parallel has its shared memory in each of its processes: the leader, which
 * is older, has its name, and its end is theirs. So of those that are nearly as large as the
 * largest the oldest comes first.
 */
void memory_sort(struct memory_eater *eaters, size_t n)
{
    size_t oldest = 0;
    struct memory_eater first;

    if (n == 0)
        return;
    qsort(eaters, n, sizeof(*eaters), larger_first);
    for (size_t i = 1; i < n && eaters[i].weight >= eaters[0].weight / 8 * 7; i++)
        if (eaters[i].pid < eaters[oldest].pid)
            oldest = i;
    first = eaters[oldest];
    memmove(eaters + 1, eaters, oldest * sizeof(*eaters));
    eaters[0] = first;
}
