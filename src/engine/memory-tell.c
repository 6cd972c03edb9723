/*
 * Saying whose memory was taken: the users at their next prompt, and the log.
 *
 * What a session did is asked of its server, in a child and after it was stopped: there is no time
 * before. The server still knows, unless that session has begun something else.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/str.h"
#include "memory-int.h"
#include "pg/greedy.h"

enum { ASK_MS = 2000, READY_MS = 10000, READY_AGAIN_MS = 5, STAYS_MS = 100, QUIET_MS = 1000 };

static const char advice[] = "Take less at a time: a smaller work_mem, fewer sessions at once, "
                             "LIMIT; or ask the administrator of the hub for more memory.";

static int64_t unix_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int dial(void *pod, struct err *e)
{
    return pod_dial(pod, e);
}

/* ---- in the child ---- */

static int find_query(void *arg, struct err *e)
{
    const struct pod_memory *m = arg;
    struct pg_dial way = {.dial = dial, .of = m->pod};

    if (INJECT("memory.asking", e) < 0)
        return -1;
    return pg_greedy_query(&(struct pg_greedy_ask){.way = &way,
                                                   .superuser = m->pod->spec->superuser,
                                                   .pid = m->now.inside,
                                                   .until_ms = m->now.until_ms,
                                                   .deadline = clock_ms() + ASK_MS},
                           m->page->query, sizeof(m->page->query), e);
}

/*
 * Does the server keep this connection for a moment? One that has not yet heard of the death of its
 * child still takes some.
 */
static bool stays(const struct pg_client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLRDHUP};

    return poll(&p, 1, STAYS_MS) == 0;
}

/* After a kill PostgreSQL ends every session and recovers; who comes meanwhile is refused. */
static int wait_ready(void *arg, struct err *e)
{
    const struct pod_memory *m = arg;
    uint64_t deadline = clock_ms() + READY_MS;

    while (clock_ms() < deadline) {
        struct timespec pause = {.tv_nsec = READY_AGAIN_MS * 1000000L};
        struct pg_client c = {.fd = -1};
        int fd = pod_dial(m->pod, e);

        if (fd >= 0 && pg_client_start(&c, fd, m->pod->spec->superuser, "template1",
                                       clock_ms() + ASK_MS, e) == 0) {
            uint64_t took = clock_ms() - m->kill_ms;
            bool ready = stays(&c);

            pg_client_close(&c);
            m->page->ready_ms = took;
            if (ready)
                return 0;
        }
        (void)nanosleep(&pause, NULL);
    }
    return err_set(e, ERR_BUSY, "the server takes no connections after the kernel has killed");
}

/* ---- the words ---- */

static void tell(struct pod_memory *m, struct err *e)
{
    struct engine *engine = &m->pod->local->engine;

    m->told_ms = loop_now(m->pod->local->loop);
    (void)err_hint(e, "%s", advice);
    log_warn(NULL, "server %s (%s): %s", m->pod->id, m->pod->spec->login, e->msg);
    engine->on_event(engine->owner, m->pod->id, ENGINE_TOLD, e);
}

static void tell_stopped(struct pod_memory *m, const char *query)
{
    const struct memory_story *s = &m->now;
    char used[16], all[16], others[40] = "";
    struct err e;

    (void)str_size(used, sizeof(used), s->bytes);
    (void)str_size(all, sizeof(all), s->limit);
    if (s->others > 0)
        (void)snprintf(others, sizeof(others), " (and %u more)", s->others);
    if (s->program)
        (void)err_set(&e, ERR_LIMIT,
                      "a program of yours%s used %s of the %s of memory of %s and was "
                      "ended",
                      others, used, all, s->of_all ? "all servers together" : "this server");
    else
        (void)err_set(&e, ERR_LIMIT,
                      "your query%s used %s of the %s of memory of %s and was "
                      "cancelled%s%s",
                      others, used, all, s->of_all ? "all servers together" : "this server",
                      query[0] == '\0' ? "" : ": ", query);
    tell(m, &e);
}

/* What the server said of it, if that is new: the beginning of the line has its time. */
static void find_in_log(struct pod_memory *m, char query[STORY_QUERY])
{
    struct pod_log *log = &m->pod->log;
    char line[sizeof(m->kill_line)] = "";
    size_t place, begin;

    query[0] = '\0';
    pod_log_drain(log);
    if (!pg_greedy_killed(log->tail, log->tail_len, &place, query, STORY_QUERY))
        return;
    for (begin = place; begin > 0 && log->tail[begin - 1] != '\n'; begin--)
        ;
    memcpy(line, log->tail + begin, place - begin < sizeof(line) ? place - begin : sizeof(line));
    if (memcmp(line, m->kill_line, sizeof(line)) == 0)
        query[0] = '\0';
    memcpy(m->kill_line, line, sizeof(line));
}

static void tell_killed(struct pod_memory *m, bool ready)
{
    char query[STORY_QUERY], all[16], used[16], took[48];
    struct err e;

    find_in_log(m, query);
    (void)str_size(all, sizeof(all), m->watch.pace.limit);
    (void)str_size(used, sizeof(used), m->largest);
    if (ready)
        (void)snprintf(took, sizeof(took), "ready again after %llu ms",
                       (unsigned long long)m->page->ready_ms);
    else
        (void)snprintf(took, sizeof(took), "not ready again yet");
    (void)err_set(&e, ERR_LIMIT,
                  "the memory of this server, %s, was used up%s%s: the system killed %s%s%s (%s)",
                  all, m->largest == 0 ? "" : ", at least ", m->largest == 0 ? "" : used,
                  m->kills == 1 ? "a process" : "processes",
                  query[0] == '\0' ? "" : " that did: ", query, took);
    tell(m, &e);
}

/* ---- one job at a time ---- */

static void later(struct pod_memory *m);
static void story_due(struct loop_timer *t);

static void found(void *owner, int status, const struct err *e)
{
    struct pod_memory *m = owner;

    (void)status;
    m->job = NULL;
    if (e != NULL)
        log_debug(NULL, "server %s: %s", m->pod->id, e->msg);
    m->page->query[e == NULL ? STORY_QUERY - 1 : 0] = '\0';
    later(m);
}

static void back(void *owner, int status, const struct err *e)
{
    struct pod_memory *m = owner;

    (void)status;
    m->job = NULL;
    tell_killed(m, e == NULL);
    later(m);
}

static void begin(struct pod_memory *m, const char *what, job_fn run, job_done_fn done,
                  uint64_t limit_ms)
{
    struct err e;

    if (m->page == NULL)
        m->page =
            mmap(NULL, sizeof(*m->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m->page == MAP_FAILED) {
        m->page = NULL;
        later(m); /* less is said, then */
        return;
    }
    *m->page = (struct memory_page){0};
    m->job = job_start(&(struct job_spec){.loop = m->pod->local->loop,
                                          .what = what,
                                          .run = run,
                                          .arg = m,
                                          .done = done,
                                          .owner = m,
                                          .limit_ms = limit_ms},
                       &e);
    if (m->job == NULL) {
        log_err(NULL, LOG_WARN_, &e);
        later(m);
    }
}

/* Not all the time. True: the timer will come back. */
static bool too_early(struct pod_memory *m)
{
    struct loop *loop = m->pod->local->loop;
    uint64_t at = m->told_ms == 0 ? 0 : m->told_ms + QUIET_MS;

    if (at <= loop_now(loop))
        return false;
    loop_timer_set(loop, &m->story_timer, at, story_due);
    return true;
}

/* Those that were stopped since are told along, by their number. */
static void tell_asked(struct pod_memory *m)
{
    if (m->next[0].bytes > 0)
        m->now.others += 1 + m->next[0].others;
    m->next[0] = (struct memory_story){0};
    tell_stopped(m, m->page == NULL ? "" : m->page->query);
    m->now = (struct memory_story){0};
}

/*
 * What a session did is asked at once, for it may begin something else; it is told when the last
 * words are a while ago. A kill comes first: after it nobody knows what the sessions before it did.
 */
static void go_on(struct pod_memory *m)
{
    if (m->job != NULL)
        return;
    if (m->kills_next > 0) {
        m->kills = m->kills_next;
        m->kills_next = 0;
        m->now = (struct memory_story){0};
        begin(m, "see a server come back", wait_ready, back, READY_MS + ASK_MS);
        return;
    }
    if (m->now.bytes > 0) {
        if (too_early(m))
            return;
        tell_asked(m);
    }
    if (m->next[0].bytes > 0) {
        m->now = m->next[0];
        m->next[0] = (struct memory_story){0};
        begin(m, "find out what a session did", find_query, found, 2 * ASK_MS);
    } else if (m->next[1].bytes > 0 && !too_early(m)) {
        m->now = m->next[1];
        m->next[1] = (struct memory_story){0};
        tell_stopped(m, "");
        m->now = (struct memory_story){0};
    }
}

static void story_due(struct loop_timer *t)
{
    go_on(list_of(t, struct pod_memory, story_timer));
}

/* In a later turn, so that those of one moment are told in one sentence. */
static void later(struct pod_memory *m)
{
    loop_timer_set(m->pod->local->loop, &m->story_timer, 0, story_due);
}

void memory_story_add(struct pod_memory *m, const struct victim *v, bool of_all, uint64_t limit)
{
    struct memory_story *s = &m->next[v->held.kind == BOX_EATER_PROGRAM];
    unsigned others = s->bytes > 0 ? s->others + 1 : 0;

    later(m);
    if (s->bytes >= v->weight && others > 0) {
        s->others = others;
        return;
    }
    *s = (struct memory_story){.inside = v->held.inside,
                               .bytes = v->weight > 0 ? v->weight : 1,
                               .program = v->held.kind == BOX_EATER_PROGRAM,
                               .of_all = of_all,
                               .limit = limit,
                               .others = others,
                               .until_ms = unix_ms()};
}

void memory_story_killed(struct pod_memory *m, uint64_t n)
{
    if (m->kills_next == 0)
        m->kill_ms = clock_ms();
    m->kills_next += n;
    later(m);
}

void memory_story_forget(struct pod_memory *m)
{
    loop_timer_stop(m->pod->local->loop, &m->story_timer);
    if (m->job != NULL) {
        job_forget(m->job);
        job_kill(m->job);
    }
    if (m->page != NULL)
        (void)munmap(m->page, sizeof(*m->page));
}
