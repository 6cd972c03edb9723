#include "life.h"

#include <assert.h>

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MOST_MS = 60000,
    QUICK_MS = 10000, /* one that lives longer did wake */
    QUICK_FREE = 2,   /* its owner may have restarted it */
};

static const struct {
    const char *name;
    uint64_t limit_ms;
} states[LIFE_STATE_N] = {
#define X(state, name, limit) [LIFE_##state] = {name, limit},
    LIFE_STATES(X)
#undef X
};

struct cell {
    uint8_t act, next;
};

/*
 * Some answers that look odd and are not:
 *   STOPPING meets WANT   it goes on stopping; whoever waits is seen again on the way through
 *                         ASLEEP. Turning back would race with the shutdown that was asked for.
 *   NAPPING meets WANT    whoever waits is served by the AWAKE it becomes, in the same turn.
 *   AWAKE meets ENDED     the postmaster died or its owner stopped it. That is not a failed wake:
 *                         the next session starts it again at once. But one that does so again
 *                         and again, as soon as it is ready, is in life_step() a failed wake.
 *   WAKING meets REST     an operator's "stop" while it starts: what was started is shut down.
 *   FORCING meets LATE    killing is repeated until the last process is gone, never given up (and
 *                         ABORTING): a volume with a process on it must not be started again.
 */
/* clang-format off */
#define STAY(state)    {LIFE_NOTHING, LIFE_##state}
#define GO(act, state) {LIFE_##act,   LIFE_##state}
static const struct cell table[LIFE_STATE_N][LIFE_EVENT_N] = {
    /*                 WANT               FOUND             READY             NAP                  STIR             REST                ENDED               LATE */
    [LIFE_ASLEEP]   = {GO(START, WAKING), GO(ASK, WAKING),  STAY(ASLEEP),     STAY(ASLEEP),        STAY(ASLEEP),    STAY(ASLEEP),       STAY(ASLEEP),       STAY(ASLEEP)},
    [LIFE_WAKING]   = {STAY(WAKING),      STAY(WAKING),     GO(SERVE, AWAKE), STAY(WAKING),        STAY(WAKING),    GO(STOP, STOPPING), GO(FAIL, FAILED),   GO(KILL, ABORTING)},
    [LIFE_AWAKE]    = {GO(SERVE, AWAKE),  STAY(AWAKE),      STAY(AWAKE),      GO(FREEZE, NAPPING), STAY(AWAKE),     GO(STOP, STOPPING), GO(SETTLE, ASLEEP), STAY(AWAKE)},
    [LIFE_NAPPING]  = {GO(THAW, AWAKE),   STAY(NAPPING),    STAY(NAPPING),    STAY(NAPPING),       GO(THAW, AWAKE), GO(STOP, STOPPING), GO(SETTLE, ASLEEP), STAY(NAPPING)},
    [LIFE_STOPPING] = {STAY(STOPPING),    STAY(STOPPING),   STAY(STOPPING),   STAY(STOPPING),      STAY(STOPPING),  STAY(STOPPING),     GO(SETTLE, ASLEEP), GO(KILL, FORCING)},
    [LIFE_FORCING]  = {STAY(FORCING),     STAY(FORCING),    STAY(FORCING),    STAY(FORCING),       STAY(FORCING),   STAY(FORCING),      GO(SETTLE, ASLEEP), GO(KILL, FORCING)},
    [LIFE_ABORTING] = {STAY(ABORTING),    STAY(ABORTING),   STAY(ABORTING),   STAY(ABORTING),      STAY(ABORTING),  STAY(ABORTING),     GO(FAIL, FAILED),   GO(KILL, ABORTING)},
    [LIFE_FAILED]   = {GO(REFUSE, FAILED), GO(ASK, WAKING), STAY(FAILED),     STAY(FAILED),        STAY(FAILED),    GO(SETTLE, ASLEEP), STAY(FAILED),       GO(SETTLE, ASLEEP)},
};
/* clang-format on */

static uint64_t backoff_ms(uint32_t failures)
{
    uint64_t wait = BACKOFF_FIRST_MS;

    for (uint32_t i = 1; i < failures && wait < BACKOFF_MOST_MS; i++)
        wait *= 2;
    return wait < BACKOFF_MOST_MS ? wait : BACKOFF_MOST_MS;
}

/* It has ended by itself: too soon, and not for the first time? */
static bool ends_too_soon(struct life *l, uint64_t now_ms)
{
    l->quick = now_ms - l->awake_ms < QUICK_MS ? l->quick + 1 : 0;
    if (l->quick <= QUICK_FREE)
        return false;
    l->failures = l->quick - QUICK_FREE - 1;
    return true;
}

enum life_act life_step(struct life *l, enum life_event event, uint64_t now_ms)
{
    static const struct cell fail = {LIFE_FAIL, LIFE_FAILED};
    struct cell cell = table[l->state][event];
    bool moves = cell.next != (uint8_t)l->state || cell.act == LIFE_KILL;

    assert(cell.act != LIFE_UNDECIDED);
    if (!moves)
        return (enum life_act)cell.act;
    if (l->state == LIFE_AWAKE && event == LIFE_ENDED && ends_too_soon(l, now_ms))
        cell = fail;
    if (l->state == LIFE_WAKING && cell.next == LIFE_AWAKE)
        l->awake_ms = now_ms;
    if (cell.next == LIFE_STOPPING)
        l->quick = 0;
    if (cell.next == LIFE_AWAKE)
        l->failures = 0;
    if (cell.next == LIFE_FAILED)
        l->failures++;
    l->state = (enum life_state)cell.next;
    if (l->state == LIFE_FAILED)
        l->deadline_ms = now_ms + backoff_ms(l->failures);
    else
        l->deadline_ms = states[l->state].limit_ms == 0 ? 0 : now_ms + states[l->state].limit_ms;
    return (enum life_act)cell.act;
}

const char *life_state_name(enum life_state state)
{
    assert(state < LIFE_STATE_N);
    return states[state].name;
}

const char *life_event_name(enum life_event event)
{
    static const char *const names[LIFE_EVENT_N] = {
#define X(event_) [LIFE_##event_] = #event_,
        LIFE_EVENTS(X)
#undef X
    };

    assert(event < LIFE_EVENT_N);
    return names[event];
}
