/* What `dorm top` asks for: who uses how much of what they may, between two looks. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/control.h"
#include "engine/engine.h"

enum { BETWEEN_MS = 1000, BETWEEN_LEAST_MS = 100, BETWEEN_MOST_MS = 10000 };

#define UNKNOWN UINT64_MAX

struct row {
    char id[ID_SIZE], name[64], owner[32];
    const char *state; /* static */
    unsigned sessions;
    uint64_t limit, request, cpu_milli, pids; /* 0: none */
    struct engine_room room;
    uint64_t memory, processes, cpu_us, cpu_before_us;
    uint64_t cpu_milli_used; /* between the looks */
};

struct top {
    struct call *call;
    struct loop_timer timer;
    struct row *rows; /* owned */
    size_t n;
    uint64_t began_us;
    bool by_cpu, raw, sums;
};

/* ---- who ---- */

static void one_server(void *owner, const struct fleet_view *view, const struct engine_server *spec,
                       const char *name)
{
    struct top *t = owner;
    bool sleeps = view->state == LIFE_ASLEEP || view->state == LIFE_FAILED;
    struct row *r;

    if ((sleeps && view->place == 0) || (t->call->uid != 0 && !str_is(spec->login, t->call->self)))
        return;
    t->rows = mem_resize(t->rows, (t->n + 1) * sizeof(*t->rows));
    r = &t->rows[t->n++];
    *r = (struct row){
        .state = sleeps ? "queued" : life_state_name(view->state),
        .sessions = view->sessions,
        .limit = spec->memory,
        .request = spec->request_memory,
        .cpu_milli = spec->cpu_milli,
        .pids = spec->pids,
        .cpu_milli_used = UNKNOWN,
    };
    (void)snprintf(r->id, sizeof(r->id), "%s", spec->id);
    (void)snprintf(r->name, sizeof(r->name), "%s", name);
    (void)snprintf(r->owner, sizeof(r->owner), "%s", spec->login);
}

/* ---- how much ---- */

static void look(struct top *t)
{
    struct engine *engine = t->call->hub->engine;

    for (size_t i = 0; i < t->n; i++) {
        struct row *r = &t->rows[i];
        struct engine_usage usage;
        struct err ignored;

        r->memory = r->processes = r->cpu_us = UNKNOWN;
        engine->ops->room(engine, r->id, &r->room);
        if (engine->ops->usage(engine, r->id, &usage, &ignored) < 0)
            continue; /* it is being made, or has just gone */
        r->memory = usage.memory;
        r->processes = usage.processes == UINT32_MAX ? UNKNOWN : usage.processes;
        r->cpu_us = usage.cpu_us;
    }
}

/* A server that was made anew between the looks counts from nothing. */
static void look_again(struct top *t)
{
    uint64_t took = clock_us() - t->began_us;

    for (size_t i = 0; i < t->n; i++)
        t->rows[i].cpu_before_us = t->rows[i].cpu_us;
    look(t);
    for (size_t i = 0; i < t->n; i++) {
        struct row *r = &t->rows[i];
        uint64_t from = r->cpu_before_us;

        if (from == UNKNOWN || from > r->cpu_us)
            from = 0;
        if (r->cpu_us != UNKNOWN && took > 0)
            r->cpu_milli_used = (r->cpu_us - from) * 1000 / took;
    }
}

static uint64_t known(uint64_t value)
{
    return value == UNKNOWN ? 0 : value;
}

static int descending(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b);
}

static int by_memory(const void *a, const void *b)
{
    const struct row *p = a, *q = b;
    int order = descending(known(p->memory), known(q->memory));

    return order != 0 ? order : strcmp(p->name, q->name);
}

static int by_cpu(const void *a, const void *b)
{
    const struct row *p = a, *q = b;
    int order = descending(known(p->cpu_milli_used), known(q->cpu_milli_used));

    return order != 0 ? order : by_memory(a, b);
}

/* ---- in words ---- */

enum { CELL = 48 };

/* "" when it is not known. */
static char *number(char at[CELL], uint64_t value)
{
    at[0] = '\0';
    if (value != UNKNOWN)
        (void)snprintf(at, CELL, "%" PRIu64, value);
    return at;
}

static char *size_of(char at[CELL], uint64_t value)
{
    return value == UNKNOWN ? number(at, value) : str_size(at, CELL, value);
}

/* "120Mi/512Mi", or one of the two. */
static char *of(char at[CELL], const char *used, const char *most)
{
    (void)snprintf(at, CELL, "%s%s%s", *used == '\0' ? "?" : used, *most == '\0' ? "" : "/", most);
    return at;
}

/* Of the limit, or of one processor where there is none. */
static uint64_t percent(const struct row *r)
{
    if (r->cpu_milli_used == UNKNOWN)
        return UNKNOWN;
    return r->cpu_milli_used * 100 / (r->cpu_milli == 0 ? 1000 : r->cpu_milli);
}

static uint64_t disk_used(const struct row *r)
{
    return r->room.total == 0 ? UNKNOWN : r->room.total - r->room.free;
}

static void put_row(const struct top *t, const struct row *r)
{
    char sessions[CELL], a[CELL], b[CELL], memory[CELL], request[CELL], cpu[CELL], pids[CELL],
        disk[CELL];

    (void)of(memory, size_of(a, r->memory), r->limit == 0 ? "" : size_of(b, r->limit));
    (void)of(pids, number(a, r->processes), r->pids == 0 ? "" : number(b, r->pids));
    (void)of(disk, size_of(a, disk_used(r)), r->room.total == 0 ? "" : size_of(b, r->room.total));
    (void)snprintf(cpu, sizeof(cpu), "%s%s", percent(r) == UNKNOWN ? "?" : number(a, percent(r)),
                   percent(r) == UNKNOWN ? "" : "%");
    call_row(t->call, r->name, r->state, number(sessions, r->sessions), memory,
             size_of(request, r->request), cpu, pids, disk, r->room.held ? "held" : "");
}

/* For programs: bytes, thousandths of a core, one value a column. */
static void put_raw(const struct top *t, const struct row *r)
{
    char sessions[CELL], memory[CELL], limit[CELL], request[CELL], cpu[CELL], cores[CELL],
        processes[CELL], most[CELL], disk[CELL], capacity[CELL];

    call_row(t->call, r->name, r->owner, r->state, number(sessions, r->sessions),
             number(memory, r->memory), number(limit, r->limit), number(request, r->request),
             number(cpu, r->cpu_milli_used), number(cores, r->cpu_milli),
             number(processes, r->processes), number(most, r->pids), number(disk, disk_used(r)),
             number(capacity, r->room.total == 0 ? UNKNOWN : r->room.total),
             r->room.held ? "yes" : "no");
}

static void say_sums(const struct top *t)
{
    struct engine *engine = t->call->hub->engine;
    struct engine_usage all = {.memory = UNKNOWN};
    uint64_t request = 0, cpu = 0, sessions = 0, memory = 0;
    uint64_t budget = fleet_memory(t->call->hub->fleet);
    char a[CELL], b[CELL], c[CELL];
    struct err ignored;

    for (size_t i = 0; i < t->n; i++) {
        request += t->rows[i].request;
        cpu += known(t->rows[i].cpu_milli_used);
        sessions += t->rows[i].sessions;
        memory += known(t->rows[i].memory);
    }
    if (engine->ops->usage(engine, NULL, &all, &ignored) < 0 || all.memory == UNKNOWN)
        all.memory = memory;
    call_say(t->call,
             "%zu server%s, %" PRIu64 " session%s; memory %s%s%s in use, %s requested; "
             "%" PRIu64 ".%02" PRIu64 " cores",
             t->n, t->n == 1 ? "" : "s", sessions, sessions == 1 ? "" : "s", size_of(a, all.memory),
             budget == 0 ? "" : " of ", budget == 0 ? "" : size_of(b, budget), size_of(c, request),
             cpu / 1000, cpu % 1000 / 10);
}

static void answer(struct loop_timer *timer)
{
    struct top *t = list_of(timer, struct top, timer);
    struct call *c = t->call;

    look_again(t);
    if (t->n > 0)
        qsort(t->rows, t->n, sizeof(*t->rows), t->by_cpu ? by_cpu : by_memory);
    if (t->sums)
        say_sums(t);
    if (t->raw)
        call_columns(c, "name", "owner", "state", "sessions", "memory", "memory_limit",
                     "memory_request", "cpu_milli", "cpu_milli_limit", "processes",
                     "processes_limit", "disk", "disk_capacity", "held");
    else
        call_columns(c, "name", "state", "sessions", "memory", "request", "cpu", "processes",
                     "disk", "held");
    for (size_t i = 0; i < t->n; i++)
        (t->raw ? put_raw : put_row)(t, &t->rows[i]);
    call_done(c);
}

static void gone(struct call *c)
{
    struct top *t = c->state;

    loop_timer_stop(c->hub->loop, &t->timer);
    free(t->rows);
}

static void begin(struct call *c, uint64_t between_ms)
{
    struct top *t = mem_new(sizeof(*t));
    const char *sort = call_arg(c, "sort");

    *t = (struct top){.call = c,
                      .by_cpu = sort != NULL && str_is(sort, "cpu"),
                      .raw = call_arg(c, "raw") != NULL,
                      .sums = call_arg(c, "sums") != NULL && c->uid == 0};
    c->state = t;
    c->gone = gone;
    fleet_each(c->hub->fleet, one_server, t);
    t->began_us = clock_us();
    look(t);
    loop_timer_set(c->hub->loop, &t->timer, loop_now(c->hub->loop) + between_ms, answer);
}

static void top(struct call *c)
{
    const char *sort = call_arg(c, "sort"), *between = call_arg(c, "between");
    uint64_t between_ms = BETWEEN_MS;
    struct err e;

    if (sort != NULL && !str_is(sort, "cpu") && !str_is(sort, "memory"))
        (void)err_set(&e, ERR_INPUT, "sort: memory or cpu");
    else if (between != NULL && (!str_u64(between, &between_ms) || between_ms < BETWEEN_LEAST_MS ||
                                 between_ms > BETWEEN_MOST_MS))
        (void)err_set(&e, ERR_INPUT, "between: milliseconds from %d to %d", BETWEEN_LEAST_MS,
                      BETWEEN_MOST_MS);
    else {
        begin(c, between_ms);
        return;
    }
    call_fail(c, &e);
}

const struct verb verbs_top[] = {{"top", VERB_SELF, top}, {NULL, VERB_ROOT, NULL}};
