/* Who has to give memory back, when and how much. */
#include "engine/memory-plan.h"
#include "t.h"

#define MIB (UINT64_C(1) << 20)

static const struct memory_pace calm = {.limit = 512 * MIB, .held = 300 * MIB, .at_ms = 1};

static void one_backend_never_has_it_all(void)
{
    T_EQ(memory_of_one(64 * MIB), 48 * MIB);
    T_EQ(memory_of_one(128 * MIB), 64 * MIB);
    T_EQ(memory_of_one(256 * MIB), 64 * MIB);
    T_EQ(memory_of_one(512 * MIB), 128 * MIB);
    T_EQ(memory_of_one(8192 * MIB), 2048 * MIB);
}

static void nobody_is_asked_while_there_is_room(void)
{
    struct memory_pace pace = calm;

    T_EQ(memory_need(&pace, 0), 0);
    pace.held = 468 * MIB;
    T_EQ(memory_need(&pace, 0), 0);
    T_OK(!memory_dire(&pace));
    pace.limit = 0;
    T_EQ(memory_need(&pace, 0), 0);
    T_OK(!memory_dire(&pace));
    T_OK(!memory_restless(&pace));
}

static void near_the_limit_so_much_is_asked_for_that_it_lasts(void)
{
    struct memory_pace pace = calm;

    pace.held = 480 * MIB;
    T_OK(memory_need(&pace, 0) > 40 * MIB);
    T_OK(memory_need(&pace, 0) < 80 * MIB);
}

static void what_is_on_its_way_is_not_asked_for_again(void)
{
    struct memory_pace pace = calm;

    pace.held = 480 * MIB;
    T_EQ(memory_need(&pace, 50 * MIB), 0);
    T_EQ(memory_need(&pace, 1000 * MIB), 0);
}

static void fast_growth_is_met_early_and_a_crowd_earlier(void)
{
    struct memory_pace pace = {0};

    memory_look(&pace, 512 * MIB, 370 * MIB, 8, 1000);
    T_EQ(pace.speed, 0); /* nothing to compare with */
    memory_look(&pace, 512 * MIB, 460 * MIB, 8, 1045);
    T_EQ(pace.speed, 2 * MIB);
    T_OK(memory_need(&pace, 0) > 0);
    T_OK(memory_restless(&pace));
    memory_look(&pace, 512 * MIB, 450 * MIB, 8, 1080);
    T_EQ(pace.speed, MIB); /* counts on for a while */
    T_EQ(memory_need(&pace, 0), 0);
    pace.crowd = 50;
    T_OK(memory_need(&pace, 0) > 0);
    pace.held = 380 * MIB; /* there is room for whatever a few of them do */
    T_EQ(memory_need(&pace, 0), 0);
}

static void a_burst_from_little_is_no_reason(void)
{
    struct memory_pace pace = {0};

    memory_look(&pace, 512 * MIB, 20 * MIB, 100, 1000);
    memory_look(&pace, 512 * MIB, 250 * MIB, 100, 1001);
    T_EQ(memory_need(&pace, 0), 0);
}

static void looks_come_closer_with_the_limit(void)
{
    struct memory_pace pace = calm;
    uint64_t far, near;

    pace.speed = MIB;
    pace.held = 100 * MIB;
    far = memory_pause(&pace);
    pace.held = 440 * MIB;
    near = memory_pause(&pace);
    T_OK(far > 40 && near < 10 && near >= 2);
    pace.held = 600 * MIB;
    T_EQ(memory_pause(&pace), 2);
    pace.speed = 0;
    T_EQ(memory_pause(&pace), 20); /* it stands there: no reason to spin */
}

static void levels_end_where_somebody_is_asked(void)
{
    uint64_t levels[MEMORY_LEVELS];
    size_t n = memory_levels(64 * MIB, levels);

    T_EQ(n, MEMORY_LEVELS);
    for (size_t i = 1; i < n; i++)
        T_OK(levels[i] > levels[i - 1]);
    T_EQ(levels[n - 1], 58 * MIB);
    T_EQ(memory_levels(0, levels), 0);
}

static void buffers_are_nobodys_weight(void)
{
    T_EQ(memory_weight(512 * MIB, 10 * MIB, 32 * MIB), 10 * MIB);
    T_EQ(memory_weight(512 * MIB, 10 * MIB, 132 * MIB), 110 * MIB);
}

static void the_largest_is_first_and_of_equals_the_oldest(void)
{
    struct memory_eater e[] = {{5, 90}, {100, 70}, {99, 60}, {20, 10}};

    memory_sort(e, 4);
    T_EQ(e[0].pid, 60); /* the leader of a parallel query, most likely */
    T_EQ(e[1].pid, 70);
    T_EQ(e[2].pid, 10);
    T_EQ(e[3].pid, 90);
    memory_sort(e, 0);
}

int main(void)
{
    T_RUN(one_backend_never_has_it_all);
    T_RUN(nobody_is_asked_while_there_is_room);
    T_RUN(near_the_limit_so_much_is_asked_for_that_it_lasts);
    T_RUN(what_is_on_its_way_is_not_asked_for_again);
    T_RUN(fast_growth_is_met_early_and_a_crowd_earlier);
    T_RUN(a_burst_from_little_is_no_reason);
    T_RUN(looks_come_closer_with_the_limit);
    T_RUN(levels_end_where_somebody_is_asked);
    T_RUN(buffers_are_nobodys_weight);
    T_RUN(the_largest_is_first_and_of_equals_the_oldest);
    return t_end();
}
