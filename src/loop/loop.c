#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/mem.h"

enum { TURN_EVENTS = 64, TURN_TIMERS = 1000 };

struct loop {
    int epoll_fd; /* owned */
    bool quit;
    uint64_t now_ms;
    struct epoll_event batch[TURN_EVENTS];
    int batch_at, batch_n;    /* events of this turn that are not delivered yet */
    struct loop_timer **heap; /* owned array of borrowed timers; [0] is not used */
    size_t timers, heap_size;
    void **dead; /* owned: freed when the turn ends */
    size_t dead_n, dead_size;
    struct loop_io signal_io;
    int signal_fd; /* owned */
    loop_signal_fn signal_fn;
    void *signal_owner;
};

struct loop *loop_new(struct err *e)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct loop *l;

    if (epoll_fd < 0) {
        (void)err_set_os(e, errno, "could not create an event loop");
        return NULL;
    }
    l = mem_new(sizeof(*l));
    l->epoll_fd = epoll_fd;
    l->signal_fd = -1;
    l->now_ms = clock_ms();
    return l;
}

static void free_dead(struct loop *l)
{
    for (size_t i = 0; i < l->dead_n; i++)
        free(l->dead[i]);
    l->dead_n = 0;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    free_dead(l);
    close_fd(&l->signal_fd);
    close_fd(&l->epoll_fd);
    free(l->heap);
    free(l->dead);
    free(l);
}

void loop_quit(struct loop *l)
{
    l->quit = true;
}

bool loop_quitting(const struct loop *l)
{
    return l->quit;
}

uint64_t loop_now(const struct loop *l)
{
    return l->now_ms;
}

void loop_free_later(struct loop *l, void *at)
{
    if (l->dead_n == l->dead_size) {
        l->dead_size = l->dead_size == 0 ? 16 : l->dead_size * 2;
        l->dead = mem_resize(l->dead, l->dead_size * sizeof(*l->dead));
    }
    l->dead[l->dead_n++] = at;
}

int loop_io_start(struct loop *l, struct loop_io *io, int fd, uint32_t events, loop_io_fn fn,
                  struct err *e)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};

    assert(!io->started);
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return err_set_os(e, errno, "could not watch a descriptor");
    *io = (struct loop_io){.fn = fn, .fd = fd, .events = events, .started = true};
    return 0;
}

void loop_io_want(struct loop *l, struct loop_io *io, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};

    if (!io->started || io->events == events)
        return;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
        abort(); /* the descriptor was closed before loop_io_stop: a broken invariant of ours */
    io->events = events;
}

void loop_io_stop(struct loop *l, struct loop_io *io)
{
    if (!io->started)
        return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
    io->started = false;
    for (int i = l->batch_at; i < l->batch_n; i++)
        if (l->batch[i].data.ptr == io)
            l->batch[i].data.ptr = NULL;
}

static void heap_put(struct loop *l, size_t place, struct loop_timer *t)
{
    l->heap[place] = t;
    t->place = place;
}

/* Move the timer at this place up or down until no parent is later than its child. */
static void heap_settle(struct loop *l, size_t place)
{
    struct loop_timer *t = l->heap[place];

    while (place > 1 && l->heap[place / 2]->at_ms > t->at_ms) {
        heap_put(l, place, l->heap[place / 2]);
        place /= 2;
    }
    for (size_t child = place * 2; child <= l->timers; child = place * 2) {
        if (child < l->timers && l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
            child++;
        if (l->heap[child]->at_ms >= t->at_ms)
            break;
        heap_put(l, place, l->heap[child]);
        place = child;
    }
    heap_put(l, place, t);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms, loop_timer_fn fn)
{
    t->at_ms = at_ms;
    t->fn = fn;
    if (t->place == 0) {
        if (l->timers + 2 > l->heap_size) {
            l->heap_size = l->heap_size == 0 ? 64 : l->heap_size * 2;
            l->heap = mem_resize(l->heap, l->heap_size * sizeof(struct loop_timer *));
        }
        heap_put(l, ++l->timers, t);
    }
    heap_settle(l, t->place);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
    size_t place = t->place;
    struct loop_timer *last;

    if (place == 0)
        return;
    t->place = 0;
    last = l->heap[l->timers--];
    if (last == t)
        return;
    heap_put(l, place, last);
    heap_settle(l, place);
}

static void run_timers(struct loop *l)
{
    /* bounded: a timer that arms itself for "now" must not keep the sockets waiting */
    for (int i = 0; i < TURN_TIMERS && l->timers > 0 && l->heap[1]->at_ms <= l->now_ms; i++) {
        struct loop_timer *t = l->heap[1];

        loop_timer_stop(l, t);
        t->fn(t);
    }
}

static int wait_ms(const struct loop *l)
{
    uint64_t left;

    if (l->timers == 0)
        return -1;
    if (l->heap[1]->at_ms <= l->now_ms)
        return 0;
    left = l->heap[1]->at_ms - l->now_ms;
    return left > 3600000 ? 3600000 : (int)left;
}

int loop_run_once(struct loop *l, struct err *e)
{
    l->now_ms = clock_ms();
    l->batch_at = 0;
    l->batch_n = epoll_wait(l->epoll_fd, l->batch, TURN_EVENTS, wait_ms(l));
    if (l->batch_n < 0 && errno != EINTR)
        return err_set_os(e, errno, "could not wait for events");
    l->now_ms = clock_ms();
    while (l->batch_at < l->batch_n) {
        struct epoll_event *ev = &l->batch[l->batch_at++];
        struct loop_io *io = ev->data.ptr;

        if (io != NULL)
            io->fn(io, ev->events);
    }
    run_timers(l);
    free_dead(l);
    return 0;
}

int loop_run(struct loop *l, struct err *e)
{
    while (!l->quit)
        if (loop_run_once(l, e) < 0)
            return -1;
    l->quit = false; /* here, not above: whoever asked before the first turn meant it, too */
    return 0;
}

static void child_ended(struct loop_io *io, uint32_t events)
{
    struct loop_child *c = list_of(io, struct loop_child, io);
    int status = -1;

    (void)events;
    if (waitpid(c->pid, &status, WNOHANG) != c->pid)
        status = -1; /* adopted: its parent, not we, is told how it ended */
    loop_child_stop(c);
    c->fn(c, status);
}

int loop_child_start(struct loop *l, struct loop_child *c, pid_t pid, loop_child_fn fn,
                     struct err *e)
{
    *c = (struct loop_child){.loop = l, .fn = fn, .pid = pid, .pidfd = -1};
    c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (c->pidfd < 0)
        return err_set_os(e, errno, "could not watch process %d", (int)pid);
    if (loop_io_start(l, &c->io, c->pidfd, EPOLLIN, child_ended, e) < 0) {
        close_fd(&c->pidfd);
        return -1;
    }
    return 0;
}

void loop_child_stop(struct loop_child *c)
{
    if (c->loop == NULL)
        return;
    loop_io_stop(c->loop, &c->io);
    close_fd(&c->pidfd);
}

static void signal_came(struct loop_io *io, uint32_t events)
{
    struct loop *l = list_of(io, struct loop, signal_io);
    struct signalfd_siginfo info;

    (void)events;
    while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        l->signal_fn(l->signal_owner, (int)info.ssi_signo);
}

int loop_signals(struct loop *l, const int *signals, size_t n, loop_signal_fn fn, void *owner,
                 struct err *e)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < n; i++)
        (void)sigaddset(&set, signals[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set_os(e, errno, "could not block signals");
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signal_fd < 0)
        return err_set_os(e, errno, "could not receive signals as events");
    l->signal_fn = fn;
    l->signal_owner = owner;
    return loop_io_start(l, &l->signal_io, l->signal_fd, EPOLLIN, signal_came, e);
}
