/*
 * loop.h: one thread, one epoll; sources live inside their owners.
 *
 * Level-triggered, so a callback may do less than everything. A callback may close anything, itself
 * included: what it drops is skipped for the rest of the turn (see loop_io_stop), and memory is
 * given back with loop_free_later, never inside the event that is being delivered.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"

struct loop;
struct loop_io;
struct loop_timer;
struct loop_child;

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);
/* Turn until loop_quit(). Returns -1 only when epoll itself fails. */
int loop_run(struct loop *l, struct err *e);
/* One turn, waiting if there is nothing to do yet: for a start that needs an event to go on. */
int loop_run_once(struct loop *l, struct err *e);
void loop_quit(struct loop *l);
bool loop_quitting(const struct loop *l);
/* Time at the start of this turn, as clock_ms(). */
uint64_t loop_now(const struct loop *l);

typedef void (*loop_io_fn)(struct loop_io *io, uint32_t events); /* EPOLLIN | ... */

struct loop_io {
    loop_io_fn fn;
    int fd; /* borrowed: the owner closes it, after loop_io_stop */
    uint32_t events;
    bool started;
};

int loop_io_start(struct loop *l, struct loop_io *io, int fd, uint32_t events, loop_io_fn fn,
                  struct err *e);
void loop_io_want(struct loop *l, struct loop_io *io, uint32_t events);
void loop_io_stop(struct loop *l, struct loop_io *io);

typedef void (*loop_timer_fn)(struct loop_timer *t);

struct loop_timer {
    loop_timer_fn fn;
    uint64_t at_ms;
    size_t place; /* in the heap, from 1; 0 when not set */
};

/* (Re)arm: fn is called once, at or after at_ms on the clock of loop_now(). */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms, loop_timer_fn fn);
void loop_timer_stop(struct loop *l, struct loop_timer *t);

/* A process that is ours to reap, or any other by its pidfd. */
typedef void (*loop_child_fn)(struct loop_child *c, int status); /* wait status; -1 if not ours */

struct loop_child {
    struct loop_io io;
    struct loop *loop;
    loop_child_fn fn;
    pid_t pid;
    int pidfd; /* owned; -1 when not watched */
};

int loop_child_start(struct loop *l, struct loop_child *c, pid_t pid, loop_child_fn fn,
                     struct err *e);
/* Stop watching; the process itself is left alone. */
void loop_child_stop(struct loop_child *c);

typedef void (*loop_signal_fn)(void *owner, int signal_number);

/* Block these signals and deliver them as events. Once per process. */
int loop_signals(struct loop *l, const int *signals, size_t n, loop_signal_fn fn, void *owner,
                 struct err *e);

/* free(at) when this turn is over. */
void loop_free_later(struct loop *l, void *at);
