#include "life.h"

#include <assert.h>

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_MOST_MS = 60000 };

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
 *   AWAKE meets ENDED     the postmaster died or its owner stopped it. That is not a failed wake:
 *                         the next session starts it again at once.
 *   WAKING meets REST     an operator's "stop" while it starts: what was started is shut down.
 *   FORCING meets LATE    killing is repeated until the last process is gone, never given up (and
 *                         ABORTING): a volume with a process on it must not be started again.
 */
/* clang-format off */
#define STAY(state)    {LIFE_NOTHING, LIFE_##state}
#define GO(act, state) {LIFE_##act,   LIFE_##state}
static const struct cell table[LIFE_STATE_N][LIFE_EVENT_N] = {
    /*                 WANT               FOUND              READY              REST                ENDED              LATE */
    [LIFE_ASLEEP]   = {GO(START, WAKING), GO(ASK, WAKING),   STAY(ASLEEP),      STAY(ASLEEP),       STAY(ASLEEP),      STAY(ASLEEP)},
    [LIFE_WAKING]   = {STAY(WAKING),      STAY(WAKING),      GO(SERVE, AWAKE),  GO(STOP, STOPPING), GO(FAIL, FAILED),  GO(KILL, ABORTING)},
    [LIFE_AWAKE]    = {GO(SERVE, AWAKE),  STAY(AWAKE),       STAY(AWAKE),       GO(STOP, STOPPING), GO(SETTLE, ASLEEP), STAY(AWAKE)},
    [LIFE_STOPPING] = {STAY(STOPPING),    STAY(STOPPING),    STAY(STOPPING),    STAY(STOPPING),     GO(SETTLE, ASLEEP), GO(KILL, FORCING)},
    [LIFE_FORCING]  = {STAY(FORCING),     STAY(FORCING),     STAY(FORCING),     STAY(FORCING),      GO(SETTLE, ASLEEP), GO(KILL, FORCING)},
    [LIFE_ABORTING] = {STAY(ABORTING),    STAY(ABORTING),    STAY(ABORTING),    STAY(ABORTING),     GO(FAIL, FAILED),  GO(KILL, ABORTING)},
    [LIFE_FAILED]   = {GO(REFUSE, FAILED), GO(ASK, WAKING),  STAY(FAILED),      GO(SETTLE, ASLEEP), STAY(FAILED),      GO(SETTLE, ASLEEP)},
};
/* clang-format on */

static uint64_t backoff_ms(uint32_t failures)
{
    uint64_t wait = BACKOFF_FIRST_MS;

    for (uint32_t i = 1; i < failures && wait < BACKOFF_MOST_MS; i++)
        wait *= 2;
    return wait < BACKOFF_MOST_MS ? wait : BACKOFF_MOST_MS;
}

enum life_act life_step(struct life *l, enum life_event event, uint64_t now_ms)
{
    struct cell cell = table[l->state][event];
    bool moves = cell.next != (uint8_t)l->state || cell.act == LIFE_KILL;

    assert(cell.act != LIFE_UNDECIDED);
    if (!moves)
        return (enum life_act)cell.act;
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
