#include <unistd.h>

#include "dormd/fleet.h"
#include "engine/fake.h"
#include "t.h"

#define MIB     (UINT64_C(1) << 20)
#define REQUEST (64 * MIB)
#define STARTS  (88 * MIB) /* what one is counted with while it starts */

enum { CROWD = 3000 };

static struct loop *the_loop;
static struct engine *the_engine;
static struct fleet *the_fleet;
static uint64_t machine_has;
static unsigned evicted;

static void on_engine(void *owner, const char *server, enum engine_event event,
                      const struct err *why)
{
    (void)owner;
    fleet_event(the_fleet, server, event, why);
}

static void on_named(void *owner, const char *server)
{
    (void)owner, (void)server;
}

static void on_moved(void *owner, const char *server, enum life_state from, enum life_state to)
{
    (void)owner, (void)server, (void)from, (void)to;
}

static void on_evicted(void *owner, const char *server, const struct err *why)
{
    (void)owner, (void)server, (void)why;
    evicted++;
}

static void on_ask_quiet(void *owner, const char *server, uint64_t number)
{
    (void)owner;
    fleet_quiet(the_fleet, server, number, 60000);
}

static uint64_t available(void)
{
    return machine_has;
}

static void set_up(size_t waking_most, uint64_t memory)
{
    static const struct fleet_hooks hooks = {
        .named = on_named, .moved = on_moved, .evicted = on_evicted, .ask_quiet = on_ask_quiet};
    struct fleet_crowd crowd = {
        .waking_most = waking_most, .memory = memory, .spare = 32 * MIB, .available = available};
    struct err e;

    machine_has = UINT64_MAX;
    evicted = 0;
    the_loop = loop_new(&e);
    the_engine = fake_new(on_engine, NULL);
    the_fleet = fleet_new(the_loop, the_engine, &hooks, 10);
    fleet_set_crowd(the_fleet, &crowd);
}

static void tear_down(void)
{
    fleet_free(the_fleet);
    the_engine->ops->free(the_engine);
    loop_free(the_loop);
}

struct waiter {
    struct fleet_waiter waiter;
    unsigned told, said;
    enum err_kind kind;
    char text[160];
};

static void told(struct fleet_waiter *w, int *fd, const struct err *e)
{
    struct waiter *x = list_of(w, struct waiter, waiter);

    (void)fd;
    x->told++;
    x->kind = e == NULL ? ERR_NONE : e->kind;
}

static void queued(struct fleet_waiter *w, const char *text)
{
    struct waiter *x = list_of(w, struct waiter, waiter);

    x->said++;
    (void)snprintf(x->text, sizeof(x->text), "%s", text);
}

static struct fleet_want want(const char *id)
{
    static const struct engine_disk disk = {.volume = "v", .class = "c"};

    return (struct fleet_want){
        .server = {.id = id,
                   .login = "alice",
                   .superuser = "alice",
                   .memory = 512 * MIB,
                   .request_memory = REQUEST,
                   .disks = &disk,
                   .disks_n = 1},
        .name = "alice",
    };
}

static void wake(const char *id, struct waiter *w)
{
    struct fleet_want wish = want(id);

    *w = (struct waiter){.waiter = {.told = told, .queued = queued, .wants_connection = true}};
    fleet_wake(the_fleet, &wish, &w->waiter);
}

static size_t place(const char *id)
{
    return fleet_look(the_fleet, id).place;
}

static struct fake_server *server(const char *id)
{
    return fake_server(the_engine, id);
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

static void so_many_start_at_a_time_in_the_order_of_their_wishes(void)
{
    struct waiter a, b, c, d, again;

    set_up(2, 0);
    wake("a", &a);
    wake("b", &b);
    wake("c", &c);
    wake("d", &d);
    wake("c", &again); /* a second wish is no second place */
    T_EQ(server("b")->starts, 1);
    T_EQ(server("c")->starts, 0);
    T_EQ(place("a"), 0);
    T_EQ(place("c"), 1);
    T_EQ(place("d"), 2);
    T_EQ(fleet_look(the_fleet, "c").state, LIFE_ASLEEP);
    fake_ready(the_engine, "b");
    T_EQ(server("c")->starts, 1);
    T_EQ(place("d"), 1);
    fake_ended(the_engine, "a", "it broke");
    T_EQ(server("d")->starts, 1);
    fake_ready(the_engine, "c");
    T_EQ(c.told + again.told, 2);
    T_EQ(server("c")->starts, 1);
    fleet_unwait(&d.waiter);
    tear_down();
}

static void who_has_gone_leaves_the_queue(void)
{
    struct waiter a, b, c;

    set_up(1, 0);
    wake("a", &a);
    wake("b", &b);
    wake("c", &c);
    fleet_unwait(&b.waiter);
    T_EQ(place("b"), 0);
    T_EQ(place("c"), 1);
    fake_ready(the_engine, "a");
    T_EQ(server("b")->starts, 0);
    T_EQ(server("c")->starts, 1);
    fleet_unwait(&c.waiter);
    tear_down();
}

static void one_whose_volume_is_being_changed_keeps_its_place_and_holds_up_nobody(void)
{
    struct waiter a, b, c;

    set_up(1, 0);
    wake("a", &a);
    wake("b", &b);
    wake("c", &c);
    fleet_hold(the_fleet, "b");
    fake_ready(the_engine, "a");
    T_EQ(server("b")->starts, 0);
    T_EQ(server("c")->starts, 1);
    T_EQ(place("b"), 1);
    fleet_unhold(the_fleet, "b");
    T_EQ(server("b")->starts, 0);
    fake_ready(the_engine, "c");
    T_EQ(server("b")->starts, 1);
    fleet_unwait(&b.waiter);
    tear_down();
}

static void add_place(void *owner, const struct fleet_view *view, const struct engine_server *spec,
                      const char *name)
{
    size_t *places = owner;

    (void)name;
    T_EQ(view->place, place(spec->id));
    *places += view->place;
}

static void who_looks_at_all_sees_the_place_of_each(void)
{
    struct waiter a, b, c, d;
    size_t places = 0;

    set_up(1, 0);
    wake("a", &a);
    wake("b", &b);
    wake("c", &c);
    wake("d", &d);
    fleet_unwait(&b.waiter);
    fleet_each(the_fleet, add_place, &places);
    T_EQ(places, 3);
    fake_ready(the_engine, "a");
    fake_ready(the_engine, "c");
    fleet_each(the_fleet, add_place, &places);
    fleet_unwait(&d.waiter);
    tear_down();
}

/* A queue that fails as a whole must not become the stack. */
static void all_of_a_crowd_may_fail(void)
{
    static struct waiter w[CROWD];
    static char ids[CROWD][8];
    struct waiter first;

    set_up(1, 0);
    wake("first", &first);
    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "s%d", i);
        wake(ids[i], &w[i]);
    }
    T_EQ(place(ids[CROWD - 1]), CROWD);
    fake_refuse(the_engine, true);
    fake_ready(the_engine, "first");
    for (int i = 0; i < CROWD; i++) {
        T_EQ(w[i].told, 1);
        T_EQ(w[i].kind, ERR_LIMIT);
    }
    tear_down();
}

static void nothing_starts_that_there_is_no_memory_for(void)
{
    struct waiter a, b, c;

    set_up(0, 2 * STARTS);
    wake("a", &a);
    wake("b", &b);
    wake("c", &c);
    T_EQ(server("b")->starts, 1);
    T_EQ(place("c"), 1);
    T_OK(fleet_session_began(the_fleet, "a"));
    T_OK(fleet_session_began(the_fleet, "b"));
    fake_ready(the_engine, "a");
    T_EQ(server("c")->starts, 0); /* a is there to stay: 64 and 88, and 88 more */
    TURN_UNTIL(c.said > 0);
    T_STR(c.text, "your server is number 1 in the queue: the memory for servers is in use, and "
                  "others are being put to sleep");
    fake_ended(the_engine, "b", "it broke");
    T_EQ(server("c")->starts, 1);
    fleet_unwait(&c.waiter);
    tear_down();
}

static void what_is_really_used_counts_when_it_is_more_than_was_promised(void)
{
    struct waiter a, b;

    set_up(0, 4 * STARTS);
    wake("a", &a);
    T_OK(fleet_session_began(the_fleet, "a"));
    fake_ready(the_engine, "a");
    server("a")->held = 300 * MIB;
    wake("b", &b);
    T_EQ(server("b")->starts, 0);
    server("a")->held = 200 * MIB;
    TURN_UNTIL(server("b")->starts == 1); /* at the next look */
    fleet_unwait(&b.waiter);
    tear_down();
}

static void one_that_is_alone_starts_however_large_it_is(void)
{
    struct waiter a;

    set_up(0, 10 * MIB);
    wake("a", &a);
    T_EQ(server("a")->starts, 1);
    fleet_unwait(&a.waiter);
    tear_down();
}

static void the_one_that_nobody_has_been_in_for_longest_gives_its_memory(void)
{
    struct waiter a, b, c, d;

    set_up(0, 3 * STARTS);
    wake("a", &a);
    wake("b", &b);
    wake("c", &c);
    T_OK(fleet_session_began(the_fleet, "a"));
    T_OK(fleet_session_began(the_fleet, "b"));
    T_OK(fleet_session_began(the_fleet, "c"));
    fake_ready(the_engine, "a");
    fake_ready(the_engine, "b");
    fake_ready(the_engine, "c");
    T_EQ(a.told + b.told + c.told, 3);
    wake("d", &d);
    T_EQ(place("d"), 1);
    fleet_session_ended(the_fleet, "b");
    T_EQ(server("b")->stops, 0); /* its client may be about to come back */
    TURN_UNTIL(server("b")->stops == 1);
    T_EQ(server("a")->stops + server("c")->stops, 0);
    fake_ended(the_engine, "b", NULL);
    T_EQ(server("d")->starts, 1);
    T_EQ(evicted, 0);
    fleet_unwait(&d.waiter);
    tear_down();
}

static void one_that_is_at_work_for_nobody_who_is_in_it_keeps_its_memory(void)
{
    struct waiter a, b, c;

    set_up(0, 2 * STARTS);
    wake("a", &a);
    wake("b", &b);
    fake_ready(the_engine, "a");
    fake_ready(the_engine, "b");
    server("a")->doing = (struct engine_doing){.busy = true, .what = "a program"};
    wake("c", &c);
    TURN_UNTIL(server("b")->stops == 1);
    T_EQ(server("a")->looks, 1);
    T_EQ(server("a")->stops, 0);
    fleet_unwait(&c.waiter);
    tear_down();
}

static void one_that_naps_is_put_to_sleep_and_those_in_it_are_told(void)
{
    struct waiter a, b, c, napper = {.waiter = {.told = told}};

    set_up(0, 2 * STARTS);
    wake("a", &a);
    wake("b", &b);
    T_OK(fleet_session_began(the_fleet, "a"));
    T_OK(fleet_session_began(the_fleet, "b"));
    fake_ready(the_engine, "a");
    fake_ready(the_engine, "b");
    fleet_nap(the_fleet, "a", &napper.waiter);
    T_EQ(fleet_look(the_fleet, "a").state, LIFE_NAPPING);
    wake("c", &c);
    T_EQ(server("a")->stops, 1);
    T_EQ(server("b")->stops, 0);
    T_EQ(evicted, 1);
    fake_ended(the_engine, "a", NULL);
    T_EQ(server("c")->starts, 1);
    fleet_unwait(&c.waiter);
    tear_down();
}

static void the_machine_itself_may_have_no_memory_left(void)
{
    struct waiter a;

    set_up(0, 0);
    machine_has = STARTS;
    wake("a", &a);
    T_EQ(server("a")->starts, 0);
    TURN_UNTIL(a.said > 0);
    T_STR(a.text, "your server is number 1 in the queue: the memory of the machine is in use");
    machine_has = STARTS + 32 * MIB;
    TURN_UNTIL(server("a")->starts == 1);
    fleet_unwait(&a.waiter);
    tear_down();
}

static void who_waits_hears_of_it_but_not_all_the_time(void)
{
    struct waiter a, b;

    set_up(1, 0);
    wake("a", &a);
    wake("b", &b);
    T_EQ(b.said, 0);
    TURN_UNTIL(b.said > 0);
    T_STR(b.text, "your server is number 1 in the queue: others are being started");
    for (int i = 0; i < 3; i++) {
        struct err e;

        (void)loop_run_once(the_loop, &e);
    }
    T_EQ(b.said, 1);
    T_EQ(a.said, 0);
    fleet_unwait(&a.waiter);
    fleet_unwait(&b.waiter);
    tear_down();
}

static void other_sizes_reach_those_that_run(void)
{
    struct engine_server sizes = {.memory = 256 * MIB, .request_memory = MIB};
    struct waiter a, b;

    set_up(0, 2 * STARTS);
    wake("a", &a);
    server("a")->memory = 0;
    fleet_set_sizes(the_fleet, &sizes);
    T_EQ(server("a")->memory, 256 * MIB);
    wake("b", &b);
    T_EQ(server("b")->starts, 1);
    T_EQ(server("b")->memory, 512 * MIB); /* what its own wish says */
    fleet_unwait(&a.waiter);
    fleet_unwait(&b.waiter);
    tear_down();
}

/* Or it would wait for what nobody asks for any more. */
static void other_sizes_reach_those_that_wait(void)
{
    struct engine_server sizes = {.memory = 256 * MIB, .request_memory = 24 * MIB};
    struct waiter a, b;

    set_up(0, 100 * MIB);
    wake("a", &a);
    T_OK(fleet_session_began(the_fleet, "a"));
    fake_ready(the_engine, "a");
    wake("b", &b);
    T_EQ(place("b"), 1); /* 64 and 88 */
    fleet_set_sizes(the_fleet, &sizes);
    T_EQ(server("b")->starts, 1); /* 24 and 48 */
    fleet_unwait(&b.waiter);
    tear_down();
}

static void is_down(void *owner)
{
    ++*(unsigned *)owner;
}

static void a_hub_that_goes_down_starts_nobody_from_the_queue(void)
{
    struct waiter a, b;
    unsigned down = 0;

    set_up(1, 0);
    wake("a", &a);
    wake("b", &b);
    fleet_down(the_fleet, is_down, &down);
    T_EQ(b.kind, ERR_BUSY);
    fake_ended(the_engine, "a", NULL);
    T_EQ(server("b")->starts, 0);
    T_EQ(down, 1);
    tear_down();
}

/*
 * Random wishes, ends and readiness with room for two starts and five servers: never more than
 * there is room for, none started twice, and nobody who stays is forgotten.
 */
static void no_history_lets_in_too_many_or_forgets_anybody(void)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static struct waiter w[20000];
    unsigned seed = (unsigned)getpid(), n = 0;

    printf("# seed %u\n", seed);
    set_up(2, 5 * STARTS);
    for (int i = 0; i < 20000; i++) {
        const char *id = ids[rand_r(&seed) % 8];
        struct fake_server *s = server(id);
        size_t waking = 0, processes = 0;
        int what = rand_r(&seed) % 5;

        if (what < 2)
            wake(id, &w[n++]);
        else if (what == 2 && n > 0)
            fleet_unwait(&w[(unsigned)rand_r(&seed) % n].waiter);
        else if (what == 3 && s->process && !s->ready)
            fake_ready(the_engine, id);
        else if (what == 4 && s->process)
            fake_ended(the_engine, id, NULL);
        for (int k = 0; k < 8; k++) {
            waking += server(ids[k])->process && !server(ids[k])->ready;
            processes += server(ids[k])->process;
        }
        T_OK(waking <= 2 && processes <= 6);
    }
    for (int round = 0; round < 20; round++)
        for (int k = 0; k < 8; k++)
            if (server(ids[k])->process) {
                fake_ready(the_engine, ids[k]);
                fake_ended(the_engine, ids[k], NULL);
            }
    for (int k = 0; k < 8; k++)
        T_EQ(server(ids[k])->twice, 0);
    for (unsigned i = 0; i < n; i++)
        T_OK(!w[i].waiter.waiting);
    tear_down();
}

int main(void)
{
    log_open("test", (enum log_level)0); /* a crowd of refusals is part of it */
    T_RUN(so_many_start_at_a_time_in_the_order_of_their_wishes);
    T_RUN(who_has_gone_leaves_the_queue);
    T_RUN(one_whose_volume_is_being_changed_keeps_its_place_and_holds_up_nobody);
    T_RUN(who_looks_at_all_sees_the_place_of_each);
    T_RUN(all_of_a_crowd_may_fail);
    T_RUN(nothing_starts_that_there_is_no_memory_for);
    T_RUN(what_is_really_used_counts_when_it_is_more_than_was_promised);
    T_RUN(one_that_is_alone_starts_however_large_it_is);
    T_RUN(the_one_that_nobody_has_been_in_for_longest_gives_its_memory);
    T_RUN(one_that_is_at_work_for_nobody_who_is_in_it_keeps_its_memory);
    T_RUN(one_that_naps_is_put_to_sleep_and_those_in_it_are_told);
    T_RUN(the_machine_itself_may_have_no_memory_left);
    T_RUN(who_waits_hears_of_it_but_not_all_the_time);
    T_RUN(other_sizes_reach_those_that_run);
    T_RUN(other_sizes_reach_those_that_wait);
    T_RUN(a_hub_that_goes_down_starts_nobody_from_the_queue);
    T_RUN(no_history_lets_in_too_many_or_forgets_anybody);
    return t_end();
}
