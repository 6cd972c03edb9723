#include <unistd.h>

#include "dormd/fleet.h"
#include "engine/fake.h"
#include "t.h"

static struct loop *the_loop;
static struct engine *the_engine;
static struct fleet *the_fleet;
static unsigned named, moved;

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

static void set_up(size_t mounted)
{
    static const struct fleet_hooks hooks = {.named = on_named, .moved = on_moved};
    struct err e;

    named = moved = 0;
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
    unsigned seed = (unsigned)getpid(), n = 0;

    printf("# seed %u\n", seed);
    memset(w, 0, sizeof(w));
    set_up(1);
    for (int i = 0; i < 20000 && n < 4000; i++) {
        const char *id = ids[rand_r(&seed) % 3];
        struct fake_server *s = fake_server(the_engine, id);
        struct fleet_want wish = want(id, 0);
        int what = rand_r(&seed) % 5;

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
        }
    }
    for (int i = 0; i < 3; i++) {
        struct fake_server *s = fake_server(the_engine, ids[i]);

        for (int round = 0; round < 3 && s->process; round++) {
            fake_ready(the_engine, ids[i]);
            fake_ended(the_engine, ids[i], NULL);
        }
        T_EQ(s->twice, 0);
    }
    for (unsigned i = 0; i < n; i++)
        T_OK(w[i].told == 1 || w[i].waiter.waiting);
    for (unsigned i = 0; i < n; i++)
        fleet_unwait(&w[i].waiter);
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
    T_RUN(no_history_loses_a_waiter_or_starts_twice);
    return t_end();
}
