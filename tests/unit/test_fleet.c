#include <unistd.h>

#include "base/clock.h"
#include "dormd/fleet.h"
#include "engine/fake.h"
#include "t.h"

static struct loop *the_loop;
static struct engine *the_engine;
static struct fleet *the_fleet;
static unsigned named, moved, dismissed;
static uint64_t asked; /* the last question to the gate; 0: none */

static void on_engine(void *owner, const char *server, enum engine_event event,
                      const struct err *why)
{
    (void)owner;
    fleet_event(the_fleet, server, event, why);
}

static void on_named(void *owner, const char *server)
{
    (void)owner, (void)server;
    named++;
}

static void on_moved(void *owner, const char *server, enum life_state from, enum life_state to)
{
    (void)owner, (void)server;
    T_OK(from != to);
    moved++;
}

static void on_dismissed(void *owner, const char *server, const struct err *why)
{
    (void)owner, (void)server;
    T_OK(strstr(why->msg, "connect again and it wakes") != NULL);
    dismissed++;
}

static void on_ask_quiet(void *owner, const char *server, uint64_t number)
{
    (void)owner, (void)server;
    asked = number;
}

static void set_up(size_t mounted)
{
    static const struct fleet_hooks hooks = {
        .named = on_named, .moved = on_moved, .dismissed = on_dismissed, .ask_quiet = on_ask_quiet};
    struct err e;

    named = moved = dismissed = 0;
    asked = 0;
    the_loop = loop_new(&e);
    the_engine = fake_new(on_engine, NULL);
    the_fleet = fleet_new(the_loop, the_engine, &hooks, mounted);
}

static void tear_down(void)
{
    fleet_free(the_fleet);
    the_engine->ops->free(the_engine);
    loop_free(the_loop);
}

struct waiter {
    struct fleet_waiter waiter;
    unsigned told, connected;
    enum err_kind kind;
    char why[100];
};

static void told(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct waiter *x = list_of(w, struct waiter, waiter);

    x->told++;
    x->connected += *fd >= 0;
    x->kind = e == NULL ? ERR_NONE : e->kind;
    (void)snprintf(x->why, sizeof(x->why), "%.99s", e == NULL ? "" : e->msg);
}

#define WAITER(name, connection) \
    struct waiter name = {.waiter = {.told = told, .wants_connection = (connection)}}

static const struct engine_disk the_disk = {.volume = "v", .class = "c"};

static struct fleet_want want(const char *id, uint64_t after_ms)
{
    return (struct fleet_want){
        .server =
            {.id = id, .login = "alice", .superuser = "alice", .disks = &the_disk, .disks_n = 1},
        .name = "alice",
        .after_ms = after_ms,
    };
}

/* Turn until the condition holds; a watchdog ends the program if it never does. */
#define TURN_UNTIL(condition)                        \
    do {                                             \
        struct err turn_e_;                          \
        (void)alarm(20);                             \
        while (!(condition))                         \
            (void)loop_run_once(the_loop, &turn_e_); \
        (void)alarm(0);                              \
    } while (0)

static void nudge(struct loop_timer *t)
{
    (void)t;
}

/* One turn that does not wait. */
static void turn(void)
{
    static struct loop_timer timer;
    struct err e;

    loop_timer_set(the_loop, &timer, 0, nudge);
    (void)loop_run_once(the_loop, &e);
}

static void a_hundred_who_want_the_same_server_start_it_once(void)
{
    struct waiter w[100] = {0};
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);

    set_up(10);
    for (int i = 0; i < 100; i++) {
        w[i].waiter = (struct fleet_waiter){.told = told, .wants_connection = true};
        fleet_wake(the_fleet, &alice, &w[i].waiter);
    }
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").waiting, 100);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    for (int i = 0; i < 100; i++) {
        T_EQ(w[i].told, 1);
        T_EQ(w[i].connected, 1);
    }
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 1);
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->connects, 100);
    T_EQ(named, 1);
    tear_down();
}

static void it_sleeps_when_the_last_has_left_and_not_before(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 20);
    WAITER(w, true);

    set_up(10);
    fleet_wake(the_fleet, &alice, &w.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    T_OK(fleet_session_began(the_fleet, "aaaaaaaaaaaaa"));
    T_OK(fleet_session_began(the_fleet, "aaaaaaaaaaaaa"));
    fleet_session_ended(the_fleet, "aaaaaaaaaaaaa");
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->stops, 0);
    fleet_session_ended(the_fleet, "aaaaaaaaaaaaa");
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->stops, 0);
    TURN_UNTIL(fake_server(the_engine, "aaaaaaaaaaaaa")->stops == 1);
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").state, LIFE_STOPPING);
    fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").state, LIFE_ASLEEP);
    tear_down();
}

static void who_comes_while_it_falls_asleep_waits_for_the_next_wake(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(first, true);
    WAITER(stopper, false);
    WAITER(late, true);

    set_up(10);
    fleet_wake(the_fleet, &alice, &first.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fleet_rest(the_fleet, "aaaaaaaaaaaaa", &stopper.waiter);
    fleet_wake(the_fleet, &alice, &late.waiter);
    T_EQ(late.told, 0);
    fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
    T_EQ(stopper.told, 1);
    T_EQ(late.told, 0);
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 2);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    T_EQ(late.connected, 1);
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->twice, 0);
    tear_down();
}

static void a_failed_wake_tells_everybody_why_and_is_not_repeated_at_once(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(first, true);
    WAITER(second, true);

    set_up(10);
    fleet_wake(the_fleet, &alice, &first.waiter);
    fake_ended(the_engine, "aaaaaaaaaaaaa", "the disk is on fire");
    T_EQ(first.told, 1);
    T_STR(first.why, "the disk is on fire");
    fleet_wake(the_fleet, &alice, &second.waiter);
    T_STR(second.why, "the disk is on fire");
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 1);
    tear_down();
}

static void an_engine_that_refuses_is_heard_by_who_waits(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(w, true);

    set_up(10);
    fake_refuse(the_engine, true);
    fleet_wake(the_fleet, &alice, &w.waiter);
    T_EQ(w.told, 1);
    T_EQ(w.kind, ERR_LIMIT);
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").state, LIFE_FAILED);
    tear_down();
}

static void a_server_that_dies_under_its_sessions_is_started_for_the_next(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(first, true);
    WAITER(second, true);

    set_up(10);
    fleet_wake(the_fleet, &alice, &first.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    T_OK(fleet_session_began(the_fleet, "aaaaaaaaaaaaa"));
    fake_ended(the_engine, "aaaaaaaaaaaaa", "killed");
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").state, LIFE_ASLEEP);
    fleet_session_ended(the_fleet, "aaaaaaaaaaaaa");
    fleet_wake(the_fleet, &alice, &second.waiter);
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 2);
    fleet_unwait(&second.waiter);
    tear_down();
}

static void a_postmaster_that_takes_no_connection_yet_is_tried_again(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(first, true);
    WAITER(second, true);

    set_up(10);
    fleet_wake(the_fleet, &alice, &first.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fake_server(the_engine, "aaaaaaaaaaaaa")->ready = false;
    fleet_wake(the_fleet, &alice, &second.waiter);
    T_EQ(second.told, 0);
    fake_server(the_engine, "aaaaaaaaaaaaa")->ready = true;
    TURN_UNTIL(second.told == 1);
    T_EQ(second.connected, 1);
    tear_down();
}

static void what_was_found_running_is_not_started(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(w, true);

    set_up(10);
    fleet_found(the_fleet, &alice);
    T_OK(fleet_session_began(the_fleet, "aaaaaaaaaaaaa"));
    fleet_wake(the_fleet, &alice, &w.waiter);
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 0);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    T_EQ(w.connected, 1);
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").sessions, 1);
    tear_down();
}

static void is_down(void *owner)
{
    ++*(unsigned *)owner;
}

static void going_down_stops_all_and_lets_nobody_in(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0), bob = want("bbbbbbbbbbbbb", 0);
    WAITER(a, true);
    WAITER(b, true);
    WAITER(late, true);
    unsigned down = 0;

    set_up(10);
    fleet_wake(the_fleet, &alice, &a.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fleet_wake(the_fleet, &bob, &b.waiter);
    fleet_down(the_fleet, is_down, &down);
    T_EQ(b.kind, ERR_BUSY);
    fleet_wake(the_fleet, &alice, &late.waiter);
    T_EQ(late.kind, ERR_BUSY);
    fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
    T_EQ(down, 0);
    fake_ended(the_engine, "bbbbbbbbbbbbb", NULL);
    T_EQ(down, 1);
    tear_down();
}

static void a_server_that_sleeps_and_holds_nothing_is_forgotten(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(w, true);
    WAITER(stopper, false);

    set_up(0);
    fleet_wake(the_fleet, &alice, &w.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fleet_rest(the_fleet, "aaaaaaaaaaaaa", &stopper.waiter);
    fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
    T_EQ(fleet_count(the_fleet, LIFE_ASLEEP), 0);
    T_EQ(fleet_look(the_fleet, "aaaaaaaaaaaaa").since_ms, 0);
    tear_down();
}

/*
 * Its volume is being changed: who wants in waits for that, however many others fall asleep
 * meanwhile and are forgotten in their turn.
 */
static void who_waits_for_a_held_server_is_not_forgotten_with_it(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0), bob = want("bbbbbbbbbbbbb", 0);
    WAITER(first, true);
    WAITER(early, true);
    WAITER(late, true);
    WAITER(other, true);

    for (int comes_late = 0; comes_late < 2; comes_late++) {
        struct waiter *w = comes_late ? &late : &early;

        set_up(1);
        fleet_wake(the_fleet, &alice, &first.waiter);
        fake_ready(the_engine, "aaaaaaaaaaaaa");
        fleet_wake(the_fleet, &bob, &other.waiter);
        fake_ready(the_engine, "bbbbbbbbbbbbb");
        fleet_hold(the_fleet, "aaaaaaaaaaaaa");
        fleet_rest_and_wait(the_fleet, "aaaaaaaaaaaaa");
        if (!comes_late)
            fleet_wake(the_fleet, &alice, &w->waiter);
        fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
        if (comes_late)
            fleet_wake(the_fleet, &alice, &w->waiter);
        fake_ended(the_engine, "bbbbbbbbbbbbb", NULL);
        T_EQ(w->told, 0);
        fleet_unhold(the_fleet, "aaaaaaaaaaaaa");
        T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 2);
        fake_ready(the_engine, "aaaaaaaaaaaaa");
        T_EQ(w->connected, 1);
        tear_down();
    }
}

static void a_waiter_that_leaves_a_held_server_lets_it_be_forgotten(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(w, true);
    WAITER(gone, true);

    set_up(0);
    fleet_wake(the_fleet, &alice, &w.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fleet_hold(the_fleet, "aaaaaaaaaaaaa");
    fleet_rest_and_wait(the_fleet, "aaaaaaaaaaaaa");
    fleet_wake(the_fleet, &alice, &gone.waiter);
    fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
    T_EQ(fleet_count(the_fleet, LIFE_ASLEEP), 1);
    fleet_unwait(&gone.waiter);
    fleet_unhold(the_fleet, "aaaaaaaaaaaaa");
    T_EQ(fleet_count(the_fleet, LIFE_ASLEEP), 0);
    tear_down();
}

static void forget_told(struct fleet_waiter *w, int *fd, const struct err *e)
{
    (void)w, (void)fd, (void)e;
    fleet_forget(the_fleet, "aaaaaaaaaaaaa");
}

static void who_is_told_of_its_sleep_may_have_it_forgotten(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0), bob = want("bbbbbbbbbbbbb", 0);
    WAITER(a, true);
    WAITER(b, true);
    struct fleet_waiter remover = {.told = forget_told};
    WAITER(stopper, false);

    set_up(10);
    fleet_wake(the_fleet, &alice, &a.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fleet_wake(the_fleet, &bob, &b.waiter);
    fake_ready(the_engine, "bbbbbbbbbbbbb");
    fleet_rest(the_fleet, "aaaaaaaaaaaaa", &remover);
    fake_ended(the_engine, "aaaaaaaaaaaaa", NULL);
    turn(); /* what was forgotten is freed now */
    fleet_rest(the_fleet, "bbbbbbbbbbbbb", &stopper.waiter);
    fake_ended(the_engine, "bbbbbbbbbbbbb", NULL);
    T_EQ(stopper.told, 1);
    T_EQ(fleet_count(the_fleet, LIFE_ASLEEP), 1);
    tear_down();
}

static void nobody_is_let_in_after_everything_has_gone_down(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 0);
    WAITER(late, true);
    unsigned down = 0;

    set_up(10);
    fleet_down(the_fleet, is_down, &down);
    T_EQ(down, 1);
    fleet_wake(the_fleet, &alice, &late.waiter);
    T_EQ(late.kind, ERR_BUSY);
    T_EQ(fake_server(the_engine, "aaaaaaaaaaaaa")->starts, 0);
    tear_down();
}

static void a_waiter_that_leaves_a_busy_server_lets_it_fall_asleep(void)
{
    struct fleet_want alice = want("aaaaaaaaaaaaa", 20);
    WAITER(first, true);
    WAITER(second, true);

    set_up(10);
    fleet_wake(the_fleet, &alice, &first.waiter);
    fake_ready(the_engine, "aaaaaaaaaaaaa");
    fake_server(the_engine, "aaaaaaaaaaaaa")->ready = false;
    fleet_wake(the_fleet, &alice, &second.waiter);
    fleet_unwait(&second.waiter);
    fake_server(the_engine, "aaaaaaaaaaaaa")->ready = true; /* or it could not be looked into */
    TURN_UNTIL(fake_server(the_engine, "aaaaaaaaaaaaa")->stops == 1);
    tear_down();
}

/*
 * Random wishes, ends and readiness for a handful of servers: none is ever started while it has a
 * process, and everybody who waits is told in the end.
 */
static void no_history_loses_a_waiter_or_starts_twice(void)
{
    static const char *const ids[] = {"aaaaaaaaaaaaa", "bbbbbbbbbbbbb", "ccccccccccccc"};
    static struct waiter w[4000];
    unsigned seed = (unsigned)getpid(), n = 0, holds[3] = {0};

    printf("# seed %u\n", seed);
    memset(w, 0, sizeof(w));
    set_up(1);
    for (int i = 0; i < 20000 && n < 4000; i++) {
        int which = rand_r(&seed) % 3, what = rand_r(&seed) % 9;
        const char *id = ids[which];
        struct fake_server *s = fake_server(the_engine, id);
        struct fleet_want wish = want(id, 0);
        struct err ignored;

        if (what < 2) {
            w[n].waiter = (struct fleet_waiter){.told = told, .wants_connection = what == 0};
            fleet_wake(the_fleet, &wish, &w[n++].waiter);
        } else if (what == 2) {
            w[n].waiter = (struct fleet_waiter){.told = told};
            fleet_rest(the_fleet, id, &w[n++].waiter);
        } else if (what == 3 && s->process && !s->ready) {
            fake_ready(the_engine, id);
        } else if (what == 4 && s->process) {
            fake_ended(the_engine, id, (rand_r(&seed) & 1) != 0 ? "crash" : NULL);
        } else if (what == 5 && n > 0) {
            unsigned gone = (unsigned)rand_r(&seed) % n;

            w[gone].told += w[gone].waiter.waiting;
            fleet_unwait(&w[gone].waiter);
        } else if (what == 6 && holds[which] < 2) {
            fleet_hold(the_fleet, id);
            holds[which]++;
        } else if (what == 7) {
            for (; holds[which] > 0; holds[which]--)
                fleet_unhold(the_fleet, id);
        } else if (what == 8) {
            w[n].waiter = (struct fleet_waiter){.told = told};
            if (fleet_mend(the_fleet, id, &w[n].waiter, &ignored) == 0)
                n++;
        }
        turn();
    }
    for (int i = 0; i < 3; i++) {
        struct fake_server *s = fake_server(the_engine, ids[i]);

        for (; holds[i] > 0; holds[i]--)
            fleet_unhold(the_fleet, ids[i]);
        for (int round = 0; round < 3 && s->process; round++) {
            fake_ready(the_engine, ids[i]);
            fake_ended(the_engine, ids[i], NULL);
        }
        T_EQ(s->twice, 0);
        T_OK(fleet_look(the_fleet, ids[i]).waiting == 0 ||
             fleet_look(the_fleet, ids[i]).state == LIFE_FAILED);
    }
    for (unsigned i = 0; i < n; i++)
        T_OK(w[i].told == 1 || w[i].waiter.waiting);
    for (unsigned i = 0; i < n; i++)
        fleet_unwait(&w[i].waiter);
    tear_down();
}

/* ---- naps, and sleep under connected clients ---- */

#define ALICE "aaaaaaaaaaaaa"

/* Awake, with one session. */
static struct fake_server *crowd(uint64_t after, uint64_t nap, uint64_t connected)
{
    struct fleet_want alice = want(ALICE, after);
    WAITER(w, true);

    set_up(10);
    alice.nap_ms = nap;
    alice.connected_ms = connected;
    fleet_wake(the_fleet, &alice, &w.waiter);
    fake_ready(the_engine, ALICE);
    T_EQ(w.connected, 1);
    T_OK(fleet_session_began(the_fleet, ALICE));
    return fake_server(the_engine, ALICE);
}

static void answer(uint64_t quiet_ms)
{
    uint64_t number = asked;

    asked = 0;
    fleet_quiet(the_fleet, ALICE, number, quiet_ms);
}

static enum life_state state(void)
{
    return fleet_look(the_fleet, ALICE).state;
}

static void a_quiet_server_naps_and_the_first_word_thaws_it(void)
{
    struct fake_server *s = crowd(0, 10, 0);

    TURN_UNTIL(asked != 0);
    T_EQ(state(), LIFE_AWAKE);
    answer(UINT64_MAX);
    T_EQ(state(), LIFE_NAPPING);
    T_OK(s->frozen);
    T_EQ(s->looks, 1);
    fleet_stirred(the_fleet, ALICE);
    T_EQ(state(), LIFE_AWAKE);
    T_OK(!s->frozen);
    TURN_UNTIL(asked != 0); /* and it is watched again */
    tear_down();
}

static void who_spoke_lately_keeps_it_from_napping(void)
{
    struct fake_server *s = crowd(0, 20, 0);

    TURN_UNTIL(asked != 0);
    answer(1);
    T_EQ(state(), LIFE_AWAKE);
    T_EQ(s->looks, 0);
    TURN_UNTIL(asked != 0);
    answer(25);
    T_EQ(state(), LIFE_NAPPING);
    tear_down();
}

static void a_word_between_the_answer_and_the_frost_is_not_lost(void)
{
    struct fake_server *s = crowd(0, 10, 0);

    s->look_waits = true;
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(s->looks, 1);
    fleet_stirred(the_fleet, ALICE);
    fake_looked(the_engine, ALICE);
    T_EQ(state(), LIFE_AWAKE);
    T_EQ(s->freezes, 0);
    tear_down();
}

static void a_session_that_comes_between_the_answer_and_the_frost_is_served(void)
{
    struct fake_server *s = crowd(0, 10, 0);
    struct fleet_want alice = want(ALICE, 0);
    WAITER(w, true);
    uint64_t old;

    s->look_waits = true;
    TURN_UNTIL(asked != 0);
    old = asked;
    fleet_wake(the_fleet, &alice, &w.waiter);
    T_EQ(w.connected, 1);
    T_OK(fleet_session_began(the_fleet, ALICE));
    fleet_quiet(the_fleet, ALICE, old, UINT64_MAX); /* the gate did not know of it then */
    T_EQ(s->looks, 0);
    TURN_UNTIL(asked > old);
    fleet_quiet(the_fleet, ALICE, old, UINT64_MAX);
    T_EQ(s->looks, 0);
    tear_down();
}

static void who_wants_in_thaws_it(void)
{
    struct fake_server *s = crowd(0, 10, 0);
    struct fleet_want alice = want(ALICE, 0);
    WAITER(w, true);
    struct err e;
    int fd = -1;

    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(fleet_connect(the_fleet, ALICE, &fd, &e), -1); /* to cancel what does not run */
    T_OK(s->frozen);
    fleet_wake(the_fleet, &alice, &w.waiter);
    T_EQ(w.connected, 1);
    T_EQ(state(), LIFE_AWAKE);
    T_EQ(s->starts, 1);
    tear_down();
}

static void who_leaves_thaws_it_so_that_it_can_sleep(void)
{
    struct fake_server *s = crowd(10, 10, 0);

    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    fleet_session_ended(the_fleet, ALICE);
    T_EQ(state(), LIFE_AWAKE);
    TURN_UNTIL(s->stops == 1);
    tear_down();
}

static void what_is_at_work_keeps_it_awake_and_is_looked_at_again(void)
{
    struct fake_server *s = crowd(0, 10, 30);

    s->doing = (struct engine_doing){.busy = true, .what = "a statement is running"};
    for (unsigned i = 1; i <= 4; i++) {
        TURN_UNTIL(asked != 0);
        answer(UINT64_MAX);
        T_EQ(s->looks, i);
        T_EQ(state(), LIFE_AWAKE);
    }
    T_EQ(dismissed, 0);
    T_STR(fleet_look(the_fleet, ALICE).doing, "a statement is running");
    s->doing = (struct engine_doing){0};
    TURN_UNTIL(asked != 0);
    answer(0);
    T_OK(state() == LIFE_AWAKE);
    tear_down();
}

static void a_clock_in_it_keeps_it_from_napping_but_not_from_sleeping(void)
{
    struct fake_server *s = crowd(0, 10, 60);

    s->doing.timed = true;
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(state(), LIFE_AWAKE);
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(s->freezes, 0);
    T_EQ(dismissed, 1);
    fleet_session_ended(the_fleet, ALICE);
    T_EQ(s->stops, 1);
    tear_down();
}

static void nobody_has_spoken_for_long_they_are_told_and_it_sleeps(void)
{
    struct fake_server *s = crowd(0, 10, 40);

    T_OK(fleet_session_began(the_fleet, ALICE));
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(state(), LIFE_NAPPING);
    TURN_UNTIL(dismissed == 1);
    T_EQ(s->stops, 0);
    fleet_session_ended(the_fleet, ALICE);
    T_EQ(state(), LIFE_NAPPING); /* for them it need not run */
    fleet_session_ended(the_fleet, ALICE);
    T_EQ(s->stops, 1);
    T_EQ(state(), LIFE_STOPPING);
    tear_down();
}

static void who_comes_while_the_others_are_told_to_leave_is_let_in(void)
{
    struct fake_server *s = crowd(0, 10, 40);
    struct fleet_want alice = want(ALICE, 0);
    WAITER(w, true);

    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    TURN_UNTIL(dismissed == 1);
    fleet_wake(the_fleet, &alice, &w.waiter);
    T_EQ(w.connected, 1);
    T_OK(fleet_session_began(the_fleet, ALICE));
    fleet_session_ended(the_fleet, ALICE); /* the one that was told */
    T_EQ(state(), LIFE_AWAKE);
    T_EQ(s->stops, 0);
    tear_down();
}

static void one_that_cannot_be_looked_into_is_tried_less_and_less_and_sleeps_in_the_end(void)
{
    struct fake_server *s = crowd(10, 0, 200);

    s->look_fails = true;
    fleet_session_ended(the_fleet, ALICE);
    TURN_UNTIL(s->looks == 2);
    T_EQ(s->stops, 0);
    TURN_UNTIL(s->stops == 1);
    T_OK(s->looks >= 3 && s->looks <= 8); /* 10, 20, 30, 50, 90, 170 ms */
    tear_down();
}

static void one_that_does_not_freeze_stays_awake_and_is_tried_again(void)
{
    struct fake_server *s = crowd(0, 10, 0);

    s->freeze_fails = true;
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(state(), LIFE_AWAKE);
    s->freeze_fails = false;
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(state(), LIFE_NAPPING);
    tear_down();
}

static void a_stop_or_an_end_finds_a_napping_server_as_well(void)
{
    WAITER(stopper, false);
    struct fake_server *s = crowd(0, 10, 0);

    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    fleet_rest(the_fleet, ALICE, &stopper.waiter);
    T_EQ(s->stops, 1);
    T_EQ(state(), LIFE_STOPPING);
    fake_ended(the_engine, ALICE, NULL);
    T_EQ(stopper.told, 1);
    tear_down();

    s = crowd(0, 10, 0);
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    fake_ended(the_engine, ALICE, "killed");
    T_EQ(state(), LIFE_ASLEEP);
    tear_down();
}

static void an_operator_may_have_it_nap_at_once(void)
{
    struct fake_server *s = crowd(0, 0, 0);
    WAITER(early, false);
    WAITER(first, false);
    WAITER(second, false);

    s->doing = (struct engine_doing){.busy = true, .what = "a transaction is open"};
    fleet_nap(the_fleet, ALICE, &early.waiter);
    answer(10);
    T_OK(strstr(early.why, "a client speaks") != NULL);
    fleet_nap(the_fleet, ALICE, &early.waiter);
    answer(0);
    T_OK(strstr(early.why, "a client waits for its answer") != NULL);
    T_EQ(s->looks, 0);
    fleet_nap(the_fleet, ALICE, &first.waiter);
    answer(60);
    T_EQ(first.kind, ERR_BUSY);
    T_OK(strstr(first.why, "a transaction is open") != NULL);
    s->doing = (struct engine_doing){0};
    fleet_nap(the_fleet, ALICE, &second.waiter);
    answer(60);
    T_EQ(second.kind, ERR_NONE);
    T_EQ(second.told, 1);
    T_EQ(state(), LIFE_NAPPING);
    tear_down();
}

/* A gate that has gone says nothing any more. */
static void who_wants_it_to_nap_is_told_when_the_gate_does_not_answer(void)
{
    WAITER(napper, false);

    (void)crowd(0, 0, 0);
    fleet_nap(the_fleet, ALICE, &napper.waiter);
    T_OK(asked != 0);
    TURN_UNTIL(napper.told == 1);
    T_EQ(napper.kind, ERR_BUSY);
    tear_down();
}

/* Of those that are awake as well, and in both directions. */
static void other_times_of_the_hub_file_hold_at_once(void)
{
    (void)crowd(0, 0, 0);
    turn();
    T_EQ(asked, 0);
    fleet_set_idle(the_fleet, 0, 10, 0);
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_EQ(state(), LIFE_NAPPING);
    fleet_set_idle(the_fleet, 0, 10, 20);
    TURN_UNTIL(dismissed == 1);
    tear_down();
    (void)crowd(20, 0, 0);
    fleet_session_ended(the_fleet, ALICE);
    fleet_set_idle(the_fleet, 0, 0, 0);
    for (uint64_t until = loop_now(the_loop) + 60; loop_now(the_loop) < until;)
        turn();
    T_EQ(state(), LIFE_AWAKE);
    fleet_set_idle(the_fleet, 30, 0, 0);
    TURN_UNTIL(state() == LIFE_STOPPING);
    tear_down();
}

static void a_dormd_that_leaves_leaves_nothing_frozen(void)
{
    struct fake_server *s = crowd(0, 10, 0);

    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    T_OK(s->frozen);
    fleet_free(the_fleet);
    T_OK(!s->frozen);
    the_engine->ops->free(the_engine);
    loop_free(the_loop);
}

/* A look that is under way when its server is forgotten ends nowhere. */
static void a_look_outlives_its_server(void)
{
    struct fake_server *s = crowd(0, 10, 0);

    s->look_waits = true;
    TURN_UNTIL(asked != 0);
    answer(UINT64_MAX);
    fleet_free(the_fleet);
    fake_looked(the_engine, ALICE);
    the_engine->ops->free(the_engine);
    loop_free(the_loop);
}

/*
 * The protocol between gate and fleet, in random order: a byte that was given to a frozen server
 * without a word to the fleet would wait for ever.
 */
static void no_history_leaves_a_word_unheard(void)
{
    unsigned seed = (unsigned)getpid(), first = 0, last = 0;
    struct fake_server *s = crowd(0, 1, 0);
    static uint64_t queue[5000]; /* from the gate: the number of an answer, or 0 for a word */
    bool marked = false;

    printf("# seed %u\n", seed);
    s->look_waits = true;
    for (int i = 0; i < 5000; i++) {
        int what = rand_r(&seed) % 6;
        bool told = false;

        if (what == 0) {
            while (clock_ms() <= loop_now(the_loop))
                ;
            turn();
        } else if (what == 1 && asked != 0) { /* the gate reads the question, and answers */
            queue[last++] = asked;
            asked = 0;
            marked = true;
        } else if (what == 2 && marked && rand_r(&seed) % 3 == 0) { /* a client speaks */
            queue[last++] = 0;
            marked = false;
        } else if (what >= 3 && what <= 4 && first < last) {
            uint64_t number = queue[first++];

            if (number == 0)
                fleet_stirred(the_fleet, ALICE);
            else
                fleet_quiet(the_fleet, ALICE, number, (rand_r(&seed) & 1) != 0 ? 0 : UINT64_MAX);
        } else if (what == 5) {
            fake_looked(the_engine, ALICE);
        }
        for (unsigned at = first; at < last; at++)
            told = told || queue[at] == 0;
        T_OK(!s->frozen || marked || told);
    }
    printf("# %u naps\n", s->freezes);
    T_OK(s->freezes > 10);
    tear_down();
}

int main(void)
{
    log_open("test", LOG_ERROR_);
    T_RUN(a_hundred_who_want_the_same_server_start_it_once);
    T_RUN(it_sleeps_when_the_last_has_left_and_not_before);
    T_RUN(who_comes_while_it_falls_asleep_waits_for_the_next_wake);
    T_RUN(a_failed_wake_tells_everybody_why_and_is_not_repeated_at_once);
    T_RUN(an_engine_that_refuses_is_heard_by_who_waits);
    T_RUN(a_server_that_dies_under_its_sessions_is_started_for_the_next);
    T_RUN(a_postmaster_that_takes_no_connection_yet_is_tried_again);
    T_RUN(what_was_found_running_is_not_started);
    T_RUN(going_down_stops_all_and_lets_nobody_in);
    T_RUN(who_is_told_of_its_sleep_may_have_it_forgotten);
    T_RUN(nobody_is_let_in_after_everything_has_gone_down);
    T_RUN(a_waiter_that_leaves_a_busy_server_lets_it_fall_asleep);
    T_RUN(a_server_that_sleeps_and_holds_nothing_is_forgotten);
    T_RUN(who_waits_for_a_held_server_is_not_forgotten_with_it);
    T_RUN(a_waiter_that_leaves_a_held_server_lets_it_be_forgotten);
    T_RUN(no_history_loses_a_waiter_or_starts_twice);
    T_RUN(a_quiet_server_naps_and_the_first_word_thaws_it);
    T_RUN(who_spoke_lately_keeps_it_from_napping);
    T_RUN(a_word_between_the_answer_and_the_frost_is_not_lost);
    T_RUN(a_session_that_comes_between_the_answer_and_the_frost_is_served);
    T_RUN(who_wants_in_thaws_it);
    T_RUN(who_leaves_thaws_it_so_that_it_can_sleep);
    T_RUN(what_is_at_work_keeps_it_awake_and_is_looked_at_again);
    T_RUN(a_clock_in_it_keeps_it_from_napping_but_not_from_sleeping);
    T_RUN(nobody_has_spoken_for_long_they_are_told_and_it_sleeps);
    T_RUN(who_comes_while_the_others_are_told_to_leave_is_let_in);
    T_RUN(one_that_cannot_be_looked_into_is_tried_less_and_less_and_sleeps_in_the_end);
    T_RUN(one_that_does_not_freeze_stays_awake_and_is_tried_again);
    T_RUN(a_stop_or_an_end_finds_a_napping_server_as_well);
    T_RUN(an_operator_may_have_it_nap_at_once);
    T_RUN(who_wants_it_to_nap_is_told_when_the_gate_does_not_answer);
    T_RUN(other_times_of_the_hub_file_hold_at_once);
    T_RUN(a_dormd_that_leaves_leaves_nothing_frozen);
    T_RUN(a_look_outlives_its_server);
    T_RUN(no_history_leaves_a_word_unheard);
    return t_end();
}
