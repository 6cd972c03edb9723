/* loop: order of timers, and what callbacks may do to each other within one turn. */
#include "loop/loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "dice.h"
#include "t.h"

static struct loop *l;

static struct loop *new_loop(void)
{
    struct err e;
    struct loop *made = loop_new(&e);

    if (made == NULL)
        abort();
    return made;
}

static void run(void)
{
    struct err e;

    T_EQ(loop_run(l, &e), 0);
}

enum { TIMERS = 300 };

struct alarm {
    struct loop_timer timer;
    bool set; /* what the model knows */
    uint64_t at_ms;
    int rang;
};

static struct alarm alarms[TIMERS];
static uint64_t last_rang_ms;
static bool in_order;
static struct dice *dice;

static void ring(struct loop_timer *t)
{
    struct alarm *a = list_of(t, struct alarm, timer);

    in_order =
        in_order && a->set && a->at_ms >= last_rang_ms && a->at_ms <= loop_now(l) && t->place == 0;
    last_rang_ms = a->at_ms;
    a->set = false;
    a->rang++;
}

static void quit_late(struct loop_timer *t)
{
    (void)t;
    loop_quit(l);
}

/* Timers far in the past are set, moved and stopped at random; those left must ring in order. */
static void random_timers(struct dice *d)
{
    struct loop_timer end = {0};
    size_t left = 0, rang = 0;

    l = new_loop();
    memset(alarms, 0, sizeof(alarms));
    last_rang_ms = 0;
    in_order = true;
    for (int i = 0; i < 5000; i++) {
        struct alarm *a = &alarms[dice_below(d, TIMERS)];

        a->set = dice_below(d, 3) != 0;
        a->at_ms = dice_below(d, 50);
        if (a->set)
            loop_timer_set(l, &a->timer, a->at_ms, ring);
        else
            loop_timer_stop(l, &a->timer);
        in_order = in_order && (a->timer.place != 0) == a->set;
    }
    for (int i = 0; i < TIMERS; i++)
        left += alarms[i].set;
    loop_timer_set(l, &end, 60, quit_late);
    run();
    for (int i = 0; i < TIMERS; i++)
        rang += (size_t)alarms[i].rang;
    T_OK(in_order);
    T_EQ(rang, left);
    loop_free(l);
}

static void timers_ring_in_order_each_once(void)
{
    dice_runs(random_timers);
}

static int rings;

/* Sets, moves and stops others while ringing, as owners do. */
static void ring_and_meddle(struct loop_timer *t)
{
    struct alarm *a = list_of(t, struct alarm, timer), *other = &alarms[dice_below(dice, TIMERS)];

    in_order = in_order && a->set && a->timer.place == 0;
    a->set = false;
    if (++rings > 20000) {
        loop_quit(l);
        return;
    }
    other->set = dice_below(dice, 4) != 0;
    if (other->set)
        loop_timer_set(l, &other->timer, loop_now(l) - dice_below(dice, 5), ring_and_meddle);
    else
        loop_timer_stop(l, &other->timer);
    loop_timer_set(l, &a->timer, loop_now(l), ring_and_meddle);
    a->set = true;
    for (int i = 0; i < TIMERS; i++)
        in_order = in_order && (alarms[i].timer.place != 0) == alarms[i].set;
}

static void random_meddling(struct dice *d)
{
    l = new_loop();
    memset(alarms, 0, sizeof(alarms));
    in_order = true;
    rings = 0;
    dice = d;
    for (int i = 0; i < TIMERS; i++) {
        alarms[i].set = true;
        loop_timer_set(l, &alarms[i].timer, dice_below(d, 50), ring_and_meddle);
    }
    run();
    T_OK(in_order);
    loop_free(l);
}

static void a_ringing_timer_may_set_and_stop_any(void)
{
    dice_runs(random_meddling);
}

static void a_timer_is_not_early(void)
{
    struct loop_timer t = {0};
    uint64_t start = clock_ms();

    l = new_loop();
    loop_timer_set(l, &t, start + 30, quit_late);
    run();
    T_OK(clock_ms() >= start + 30);
    T_EQ(t.place, 0);
    loop_free(l);
}

enum { PIPES = 8 };

static struct ear {
    struct loop_io io;
    int end[2];
    int heard;
} ears[PIPES];
static int heard_in_all;

static void open_ears(loop_io_fn fn)
{
    struct err e;

    l = new_loop();
    heard_in_all = 0;
    for (int i = 0; i < PIPES; i++) {
        ears[i] = (struct ear){.heard = 0};
        if (pipe2(ears[i].end, O_CLOEXEC | O_NONBLOCK) < 0)
            abort();
        T_EQ(loop_io_start(l, &ears[i].io, ears[i].end[0], EPOLLIN, fn, &e), 0);
        T_EQ(write(ears[i].end[1], "x", 1), 1);
    }
}

static void close_ears(void)
{
    for (int i = 0; i < PIPES; i++) {
        loop_io_stop(l, &ears[i].io);
        close_fd(&ears[i].end[0]);
        close_fd(&ears[i].end[1]);
    }
    loop_free(l);
}

/* Whoever is first silences all, itself included, and closes what they listened to. */
static void silence_all(struct loop_io *io, uint32_t events)
{
    list_of(io, struct ear, io)->heard++;
    heard_in_all++;
    T_OK((events & EPOLLIN) != 0);
    for (int i = 0; i < PIPES; i++) {
        loop_io_stop(l, &ears[i].io);
        close_fd(&ears[i].end[0]);
    }
    loop_quit(l);
}

static void a_callback_may_stop_itself_and_its_neighbours(void)
{
    open_ears(silence_all);
    run();
    T_EQ(heard_in_all, 1);
    close_ears();
}

static void count_and_quit(struct loop_io *io, uint32_t events)
{
    char c;

    (void)events;
    T_EQ(read(io->fd, &c, 1), 1);
    list_of(io, struct ear, io)->heard++;
    if (++heard_in_all == 2 * PIPES - 1)
        loop_quit(l);
}

static struct ear *restarted;

/* The first one stops a neighbour and starts it anew: the old event must not reach the new one. */
static void restart_neighbour(struct loop_io *io, uint32_t events)
{
    struct ear *self = list_of(io, struct ear, io);
    struct err e;

    if (restarted == NULL) {
        restarted = self == &ears[0] ? &ears[1] : &ears[0];
        loop_io_stop(l, &restarted->io);
        close_fd(&restarted->end[0]);
        close_fd(&restarted->end[1]);
        if (pipe2(restarted->end, O_CLOEXEC | O_NONBLOCK) < 0)
            abort();
        T_EQ(loop_io_start(l, &restarted->io, restarted->end[0], EPOLLIN, count_and_quit, &e), 0);
    }
    heard_in_all++;
    self->heard++;
    (void)events;
    loop_quit(l);
}

static void a_source_started_anew_hears_nothing_old(void)
{
    restarted = NULL;
    open_ears(restart_neighbour);
    run();
    T_EQ(heard_in_all, PIPES - 1);
    T_OK(restarted != NULL && restarted->heard == 0);
    close_ears();
}

static int turns_heard;

static void hear_without_reading(struct loop_io *io, uint32_t events)
{
    (void)events;
    turns_heard++;
    if (turns_heard == 3)
        loop_io_want(l, io, 0);
}

static void what_is_not_wanted_is_not_heard(void)
{
    struct loop_timer t = {0};

    turns_heard = 0;
    open_ears(silence_all);
    for (int i = 0; i < PIPES; i++)
        loop_io_stop(l, &ears[i].io);
    {
        struct err e;

        T_EQ(loop_io_start(l, &ears[0].io, ears[0].end[0], EPOLLIN, hear_without_reading, &e), 0);
    }
    loop_timer_set(l, &t, clock_ms() + 30, quit_late);
    run();
    T_EQ(turns_heard, 3); /* level-triggered: again each turn, until it is not wanted */
    loop_io_want(l, &ears[0].io, EPOLLIN);
    loop_timer_set(l, &t, clock_ms() + 30, quit_late);
    run();
    T_OK(turns_heard > 3);
    close_ears();
}

static struct loop_timer busy;
static int busy_rings;

static void ring_at_once_again(struct loop_timer *t)
{
    busy_rings++;
    loop_timer_set(l, t, loop_now(l), ring_at_once_again);
}

static void a_timer_that_always_rings_does_not_starve_the_sockets(void)
{
    busy = (struct loop_timer){0};
    open_ears(silence_all);
    loop_timer_set(l, &busy, 0, ring_at_once_again);
    run();
    T_EQ(heard_in_all, 1);
    T_OK(busy_rings >= 1);
    close_ears();
}

struct guest {
    struct loop_io io;
    struct loop *loop;
    int seen;
};

static void leave_and_be_freed(struct loop_io *io, uint32_t events)
{
    struct guest *g = list_of(io, struct guest, io);

    (void)events;
    loop_io_stop(l, io);
    loop_free_later(l, g);
    g->seen++; /* still there: freed when the turn is over, which ASan can tell */
    heard_in_all++;
}

static void memory_goes_when_the_turn_is_over(void)
{
    struct loop_timer t = {0};

    open_ears(silence_all);
    for (int i = 0; i < PIPES; i++) {
        struct guest *g = mem_new(sizeof(*g));
        struct err e;

        loop_io_stop(l, &ears[i].io);
        T_EQ(loop_io_start(l, &g->io, ears[i].end[0], EPOLLIN, leave_and_be_freed, &e), 0);
    }
    loop_timer_set(l, &t, clock_ms() + 10, quit_late);
    run();
    T_EQ(heard_in_all, PIPES);
    loop_free_later(l, mem_new(10)); /* of a turn that never comes: freed with the loop */
    close_ears();
}

static struct loop_child child;
static int ended_with;
static int endings;

static void child_ended(struct loop_child *c, int status)
{
    T_OK(c->pidfd == -1);
    ended_with = status;
    endings++;
    loop_quit(l);
}

/* A process that ends with this code when the pipe's other end is closed. */
static pid_t fork_waiting(int code, int *ret_release)
{
    int end[2];
    pid_t pid;

    if (pipe2(end, O_CLOEXEC) < 0)
        abort();
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char c;

        (void)close(end[1]);
        _exit(read(end[0], &c, 1) == 0 ? code : 99);
    }
    (void)close(end[0]);
    *ret_release = end[1];
    return pid;
}

static void a_child_is_reaped_with_its_status(void)
{
    struct err e;
    int release;
    pid_t pid = fork_waiting(7, &release);

    l = new_loop();
    endings = 0;
    T_EQ(loop_child_start(l, &child, pid, child_ended, &e), 0);
    close_fd(&release);
    run();
    T_EQ(endings, 1);
    T_OK(WIFEXITED(ended_with) && WEXITSTATUS(ended_with) == 7);
    T_EQ(waitpid(pid, NULL, WNOHANG), -1);
    loop_child_stop(&child); /* once more does no harm */
    loop_free(l);
}

static void a_child_that_ended_before_is_still_told(void)
{
    struct err e;
    int release;
    siginfo_t info;
    pid_t pid = fork_waiting(3, &release);

    close_fd(&release);
    T_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    l = new_loop();
    endings = 0;
    T_EQ(loop_child_start(l, &child, pid, child_ended, &e), 0);
    run();
    T_EQ(endings, 1);
    T_OK(WIFEXITED(ended_with) && WEXITSTATUS(ended_with) == 3);
    loop_free(l);
}

static void a_process_of_someone_else_ends_without_a_status(void)
{
    struct err e;
    int release;
    pid_t pid = fork_waiting(7, &release);

    l = new_loop();
    endings = 0;
    T_EQ(loop_child_start(l, &child, pid, child_ended, &e), 0);
    close_fd(&release);
    T_EQ(waitpid(pid, NULL, 0), pid); /* reaped elsewhere, as an adopted one is */
    run();
    T_EQ(endings, 1);
    T_EQ(ended_with, -1);
    loop_free(l);
}

static void a_child_that_is_not_watched_any_more_is_left_alone(void)
{
    struct loop_timer t = {0};
    struct err e;
    int release;
    pid_t pid = fork_waiting(7, &release);

    l = new_loop();
    endings = 0;
    T_EQ(loop_child_start(l, &child, pid, child_ended, &e), 0);
    loop_child_stop(&child);
    close_fd(&release);
    T_EQ(waitpid(pid, NULL, 0), pid);
    loop_timer_set(l, &t, clock_ms() + 10, quit_late);
    run();
    T_EQ(endings, 0);
    T_EQ(loop_child_start(l, &child, pid, child_ended, &e), -1);
    T_EQ(child.pidfd, -1);
    loop_child_stop(&child);
    loop_free(l);
}

static int signals_seen;

static void signal_came(void *owner, int number)
{
    T_OK(owner == &signals_seen);
    signals_seen = signals_seen * 100 + number;
    if (number == SIGUSR1)
        loop_quit(l);
}

static void signals_come_as_events(void)
{
    static const int wanted[] = {SIGHUP, SIGUSR1};
    struct err e;

    l = new_loop();
    signals_seen = 0;
    T_EQ(loop_signals(l, wanted, 2, signal_came, &signals_seen, &e), 0);
    T_EQ(kill(getpid(), SIGHUP), 0);
    T_EQ(kill(getpid(), SIGUSR1), 0);
    run();
    T_EQ(signals_seen, SIGHUP * 100 + SIGUSR1);
    loop_free(l);
}

static void a_closed_peer_is_heard_even_if_nothing_is_wanted(void)
{
    struct err e;

    open_ears(silence_all);
    for (int i = 0; i < PIPES; i++)
        loop_io_stop(l, &ears[i].io);
    T_EQ(loop_io_start(l, &ears[0].io, ears[0].end[0], 0, count_and_quit, &e), 0);
    heard_in_all = 2 * PIPES - 2;
    close_fd(&ears[0].end[1]);
    run();
    T_EQ(heard_in_all, 2 * PIPES - 1);
    close_ears();
}

int main(void)
{
    T_RUN(timers_ring_in_order_each_once);
    T_RUN(a_ringing_timer_may_set_and_stop_any);
    T_RUN(a_timer_is_not_early);
    T_RUN(a_callback_may_stop_itself_and_its_neighbours);
    T_RUN(a_source_started_anew_hears_nothing_old);
    T_RUN(what_is_not_wanted_is_not_heard);
    T_RUN(a_timer_that_always_rings_does_not_starve_the_sockets);
    T_RUN(memory_goes_when_the_turn_is_over);
    T_RUN(a_child_is_reaped_with_its_status);
    T_RUN(a_child_that_ended_before_is_still_told);
    T_RUN(a_process_of_someone_else_ends_without_a_status);
    T_RUN(a_child_that_is_not_watched_any_more_is_left_alone);
    T_RUN(a_closed_peer_is_heard_even_if_nothing_is_wanted);
    T_RUN(signals_come_as_events);
    return t_end();
}
