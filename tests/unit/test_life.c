#include "life/life.h"
#include "t.h"

static void every_meeting_of_state_and_event_is_decided(void)
{
    for (int state = 0; state < LIFE_STATE_N; state++)
        for (int event = 0; event < LIFE_EVENT_N; event++) {
            struct life l = {.state = (enum life_state)state};

            T_OK(life_step(&l, (enum life_event)event, 1) != LIFE_UNDECIDED);
            T_OK(l.state < LIFE_STATE_N);
        }
}

static void the_first_who_wants_it_starts_it_and_the_second_waits(void)
{
    struct life l = {.state = LIFE_ASLEEP};

    T_EQ(life_step(&l, LIFE_WANT, 1000), LIFE_START);
    T_EQ(l.state, LIFE_WAKING);
    T_EQ(l.deadline_ms, 91000);
    T_EQ(life_step(&l, LIFE_WANT, 5000), LIFE_NOTHING);
    T_EQ(l.deadline_ms, 91000);
    T_EQ(life_step(&l, LIFE_READY, 6000), LIFE_SERVE);
    T_EQ(l.state, LIFE_AWAKE);
    T_EQ(l.deadline_ms, 0);
    T_EQ(life_step(&l, LIFE_WANT, 7000), LIFE_SERVE);
}

static void a_session_that_comes_while_it_falls_asleep_is_not_let_in(void)
{
    struct life l = {.state = LIFE_AWAKE};

    T_EQ(life_step(&l, LIFE_REST, 0), LIFE_STOP);
    T_EQ(life_step(&l, LIFE_WANT, 1), LIFE_NOTHING);
    T_EQ(life_step(&l, LIFE_ENDED, 2), LIFE_SETTLE);
    T_EQ(l.state, LIFE_ASLEEP);
    T_EQ(life_step(&l, LIFE_WANT, 3), LIFE_START);
}

static void a_server_that_does_not_stop_is_killed_until_it_is_gone(void)
{
    struct life l = {.state = LIFE_AWAKE};

    (void)life_step(&l, LIFE_REST, 0);
    T_EQ(life_step(&l, LIFE_LATE, 45000), LIFE_KILL);
    T_EQ(l.state, LIFE_FORCING);
    T_EQ(l.deadline_ms, 55000);
    T_EQ(life_step(&l, LIFE_LATE, 55000), LIFE_KILL);
    T_EQ(l.deadline_ms, 65000);
    T_EQ(life_step(&l, LIFE_ENDED, 60000), LIFE_SETTLE); /* it was told to sleep, and does */
    T_EQ(l.state, LIFE_ASLEEP);
}

static void a_wake_that_takes_too_long_is_killed_and_has_failed(void)
{
    struct life l = {.state = LIFE_ASLEEP};

    (void)life_step(&l, LIFE_WANT, 0);
    T_EQ(life_step(&l, LIFE_LATE, 90000), LIFE_KILL);
    T_EQ(l.state, LIFE_ABORTING);
    T_EQ(life_step(&l, LIFE_READY, 90001), LIFE_NOTHING);
    T_EQ(life_step(&l, LIFE_LATE, 100000), LIFE_KILL);
    T_EQ(life_step(&l, LIFE_ENDED, 100001), LIFE_FAIL);
    T_EQ(l.state, LIFE_FAILED);
}

static void each_failed_wake_doubles_the_time_to_the_next(void)
{
    struct life l = {.state = LIFE_ASLEEP};
    uint64_t wait[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

    for (int i = 0; i < 8; i++) {
        T_EQ(life_step(&l, LIFE_WANT, 100), LIFE_START);
        T_EQ(life_step(&l, LIFE_ENDED, 100), LIFE_FAIL);
        T_EQ(l.deadline_ms, 100 + wait[i]);
        T_EQ(life_step(&l, LIFE_WANT, 101), LIFE_REFUSE);
        T_EQ(life_step(&l, LIFE_LATE, l.deadline_ms), LIFE_SETTLE);
        T_EQ(l.state, LIFE_ASLEEP);
    }
    (void)life_step(&l, LIFE_WANT, 0);
    (void)life_step(&l, LIFE_READY, 0);
    T_EQ(l.failures, 0);
}

static void whoever_speaks_or_comes_ends_a_nap_and_a_stop_does_not_wait_for_that(void)
{
    static const struct {
        enum life_event event;
        enum life_act act;
        enum life_state next;
    } rows[] = {
        {LIFE_WANT, LIFE_THAW, LIFE_AWAKE},     {LIFE_STIR, LIFE_THAW, LIFE_AWAKE},
        {LIFE_REST, LIFE_STOP, LIFE_STOPPING},  {LIFE_ENDED, LIFE_SETTLE, LIFE_ASLEEP},
        {LIFE_NAP, LIFE_NOTHING, LIFE_NAPPING}, {LIFE_READY, LIFE_NOTHING, LIFE_NAPPING},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct life l = {.state = LIFE_AWAKE};

        T_EQ(life_step(&l, LIFE_NAP, 5), LIFE_FREEZE);
        T_EQ(l.state, LIFE_NAPPING);
        T_EQ(l.deadline_ms, 0);
        T_EQ(life_step(&l, rows[i].event, 6), rows[i].act);
        T_EQ(l.state, rows[i].next);
    }
}

static void only_what_is_awake_can_nap(void)
{
    for (int state = 0; state < LIFE_STATE_N; state++) {
        struct life l = {.state = (enum life_state)state};

        if (state == LIFE_AWAKE)
            continue;
        T_EQ(life_step(&l, LIFE_NAP, 1), LIFE_NOTHING);
        T_EQ((int)l.state, state);
    }
}

static void one_that_ends_as_soon_as_it_is_awake_is_left_alone_for_longer_and_longer(void)
{
    struct life l = {.state = LIFE_ASLEEP};
    uint64_t wait[] = {0, 0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

    for (int i = 0; i < 10; i++) {
        T_EQ(life_step(&l, LIFE_WANT, 100), LIFE_START);
        T_EQ(life_step(&l, LIFE_READY, 200), LIFE_SERVE);
        T_EQ(life_step(&l, LIFE_ENDED, 10199), wait[i] == 0 ? LIFE_SETTLE : LIFE_FAIL);
        T_EQ(l.state, wait[i] == 0 ? LIFE_ASLEEP : LIFE_FAILED);
        T_EQ(l.deadline_ms, wait[i] == 0 ? 0 : 10199 + wait[i]);
        if (wait[i] != 0)
            (void)life_step(&l, LIFE_LATE, l.deadline_ms);
    }
    (void)life_step(&l, LIFE_WANT, 100);
    (void)life_step(&l, LIFE_READY, 200);
    T_EQ(life_step(&l, LIFE_ENDED, 10200), LIFE_SETTLE); /* it has lived */
    T_EQ(l.quick, 0);
}

/*
 * Whatever happens in whatever order: a server without a process never claims to be awake, and a
 * second pod is never started while the first has a process.
 */
static void no_history_starts_it_twice_or_is_awake_without_a_process(void)
{
    unsigned seed = 20260301;

    for (int run = 0; run < 50000; run++) {
        struct life l = {.state = LIFE_ASLEEP};
        bool process = false, frozen = false;

        for (uint64_t now = 0; now < 40; now++) {
            enum life_event event = (enum life_event)(rand_r(&seed) % LIFE_EVENT_N);
            enum life_act act;

            if (event == LIFE_FOUND && l.state != LIFE_ASLEEP && l.state != LIFE_FAILED)
                continue; /* looked for once, before anything was started */
            if ((event == LIFE_READY || event == LIFE_ENDED) && !process)
                continue; /* what does not exist says nothing */
            if (event == LIFE_LATE && l.deadline_ms == 0)
                continue;
            if (event == LIFE_FOUND)
                process = true;
            act = life_step(&l, event, now);
            if (event == LIFE_ENDED)
                process = false;
            T_OK(act != LIFE_SERVE || !frozen); /* nobody is connected to what does not run */
            frozen = process && (act == LIFE_FREEZE || (frozen && act == LIFE_NOTHING));
            T_EQ(frozen, l.state == LIFE_NAPPING);
            T_OK(!(act == LIFE_START && process));
            if (act == LIFE_START)
                process = true;
            T_OK(process || l.state == LIFE_ASLEEP || l.state == LIFE_FAILED);
            T_OK(!process || (l.state != LIFE_ASLEEP && l.state != LIFE_FAILED));
        }
    }
}

static void states_and_events_have_names(void)
{
    T_STR(life_state_name(LIFE_STOPPING), "falling asleep");
    T_STR(life_state_name(LIFE_NAPPING), "napping");
    T_STR(life_event_name(LIFE_WANT), "WANT");
}

int main(void)
{
    T_RUN(every_meeting_of_state_and_event_is_decided);
    T_RUN(the_first_who_wants_it_starts_it_and_the_second_waits);
    T_RUN(a_session_that_comes_while_it_falls_asleep_is_not_let_in);
    T_RUN(a_server_that_does_not_stop_is_killed_until_it_is_gone);
    T_RUN(a_wake_that_takes_too_long_is_killed_and_has_failed);
    T_RUN(each_failed_wake_doubles_the_time_to_the_next);
    T_RUN(whoever_speaks_or_comes_ends_a_nap_and_a_stop_does_not_wait_for_that);
    T_RUN(only_what_is_awake_can_nap);
    T_RUN(one_that_ends_as_soon_as_it_is_awake_is_left_alone_for_longer_and_longer);
    T_RUN(no_history_starts_it_twice_or_is_awake_without_a_process);
    T_RUN(states_and_events_have_names);
    return t_end();
}
