/*
 * life.h: the life of one server. Pure: it decides, the caller does and reports back.
 *
 * Events are edges. Whoever drives a server looks at the levels again after each change of state
 * (is somebody waiting while it is asleep? has the last one left while it is awake?), so an event
 * that met a state in which it means nothing is not lost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*      state     name              deadline, ms   what is true in it */
#define LIFE_STATES(X)                                                                             \
    X(ASLEEP, "asleep", 0)               /* no process; the volume may still be mounted */         \
    X(WAKING, "waking", 90000)           /* a pod is being made, or one found is being asked */    \
    X(AWAKE, "awake", 0)                 /* answers; sessions may come and go */                   \
    X(NAPPING, "napping", 0)             /* frozen; its clients stay connected */                  \
    X(STOPPING, "falling asleep", 45000) /* told to shut down cleanly; new sessions wait */        \
    X(FORCING, "being forced", 10000)    /* did not stop in time: every process is being killed */ \
    X(ABORTING, "being aborted", 10000)  /* did not wake in time: every process is being killed */ \
    X(FAILED, "failed", 0)               /* the last wake failed; not tried again before its time */

enum life_state {
#define X(state, ...) LIFE_##state,
    LIFE_STATES(X)
#undef X
        LIFE_STATE_N
};

#define LIFE_EVENTS(X)                                               \
    X(WANT)  /* a session or an operator wants it awake */           \
    X(FOUND) /* a pod of it runs that this process did not start */  \
    X(READY) /* it takes connections */                              \
    X(NAP)   /* nobody in it speaks, and nothing in it is at work */ \
    X(STIR)  /* a client of it speaks, or leaves */                  \
    X(REST)  /* nobody needs it any more, or it is told to sleep */  \
    X(ENDED) /* its last process is gone, or it never got one */     \
    X(LATE)  /* the deadline of its state has passed */

enum life_event {
#define X(event) LIFE_##event,
    LIFE_EVENTS(X)
#undef X
        LIFE_EVENT_N
};

/* What the caller must do next. */
enum life_act {
    LIFE_UNDECIDED, /* a hole in the table: never returned */
    LIFE_NOTHING,
    LIFE_START,  /* make the pod */
    LIFE_ASK,    /* find out whether the pod found is ready */
    LIFE_SERVE,  /* give every waiting session its connection */
    LIFE_FREEZE, /* let no process of it run */
    LIFE_THAW,   /* let them run again; then as LIFE_SERVE */
    LIFE_STOP,   /* ask for a clean shutdown */
    LIFE_KILL,   /* kill every process of the pod */
    LIFE_SETTLE, /* it is over, as intended: record it */
    LIFE_FAIL,   /* it is over, or hopeless: tell those who wait why, and record it */
    LIFE_REFUSE, /* not now: repeat why the last wake failed */
};

struct life {
    enum life_state state;
    uint64_t deadline_ms; /* on the caller's clock; 0: none */
    uint32_t failures;    /* wakes that failed in a row: each doubles the time to the next */
    uint32_t quick;       /* ends in a row that came so soon after READY that they are failures */
    uint64_t awake_ms;    /* when it became awake */
};

/* The only writer of a struct life. */
enum life_act life_step(struct life *l, enum life_event event, uint64_t now_ms);

const char *life_state_name(enum life_state state);
const char *life_event_name(enum life_event event);
