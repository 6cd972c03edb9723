/*
 * Memory: asking the largest query to stop before the kernel kills, which ends every session.
 *
 * One backend is bounded by RLIMIT_DATA (plan.c): its statement fails by itself. This is about the
 * sum. The kernel tells when usage passes a level or has to be won back from page cache; then what
 * is held is looked at, as often as it could grow to the limit meanwhile, until it rests again. All
 * of this is in the loop: it reads numbers that the kernel has, and waits for nobody.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups-memory.h"
#include "box/look.h"
#include "memory-int.h"
#include "tool-int.h"

enum {
    SHRINK_MS = 200,
    LEAVE_MS = 500,
    SPARED_MS = 10000,
    BLIND_MS = 50,
    TELL_MS = 10000,
    EATERS = 2048,
    HASTEN = 256,
    EXACT = 64
};

struct memory_all {
    struct memory_watch watch;
};

/* ---- the watch of one group ---- */

static void look(struct memory_watch *w);

static void timer_came(struct loop_timer *t)
{
    look(list_of(t, struct memory_watch, timer));
}

static void event_came(struct loop_io *io, uint32_t events)
{
    struct memory_watch *w = list_of(io, struct memory_watch, io);

    (void)events;
    box_groups_memory_noted(w->fd);
    look(w);
}

/* A child that tells the kernel which levels; it may outlive the watch. */
struct telling {
    struct list node; /* in local.tellings: what it holds of the machine is in the way of leaving */
    struct memory_watch *watch; /* NULL: it is gone, or wants other levels */
    struct loop *loop;
    struct job *job;
    int fd; /* owned */
};

static int tell_levels(void *arg, struct err *e)
{
    const struct telling *t = arg;
    const struct memory_watch *w = t->watch;
    uint64_t levels[MEMORY_LEVELS];
    size_t n = memory_levels(w->levels_of, levels);

    return box_groups_memory_levels(w->local->groups, w->id, t->fd, levels, n, e);
}

static void telling_free(struct telling *t)
{
    list_remove(&t->node);
    close_fd(&t->fd);
    loop_free_later(t->loop, t);
}

static void levels_told(void *owner, int status, const struct err *e)
{
    struct telling *t = owner;
    struct memory_watch *w = t->watch;

    (void)status;
    if (w != NULL) {
        w->telling = NULL;
        if (e == NULL)
            w->fd = take_fd(&t->fd);
        else
            log_warn(NULL, "%s; it is looked at %d times a second", e->msg, 1000 / BLIND_MS);
    }
    telling_free(t);
    if (w != NULL)
        look(w);
}

static void levels_forget(struct memory_watch *w)
{
    if (w->telling != NULL)
        w->telling->watch = NULL;
    w->telling = NULL;
    loop_io_stop(w->local->loop, &w->io);
    close_fd(&w->fd);
}

/* Until it is done, it is looked at all the time. */
static void levels_set(struct memory_watch *w, uint64_t limit)
{
    struct telling *t = mem_new(sizeof(*t));
    struct local *l = w->local;
    struct err e;

    levels_forget(w);
    w->levels_of = limit;
    *t = (struct telling){.watch = w, .loop = l->loop, .fd = -1};
    list_append(&l->tellings, &t->node);
    if (box_groups_memory_events(l->groups, w->id, &t->fd, &w->events, &e) == 0) {
        t->job = job_start(&(struct job_spec){.loop = l->loop,
                                              .what = "be told of the memory of a pod",
                                              .run = tell_levels,
                                              .arg = t,
                                              .done = levels_told,
                                              .owner = t,
                                              .limit_ms = TELL_MS},
                           &e);
        if (t->job != NULL) {
            w->telling = t;
            return;
        }
    }
    telling_free(t);
    log_warn(NULL, "%s; it is looked at %d times a second", e.msg, 1000 / BLIND_MS);
}

/* Out of epoll, not only unwanted: a file of v2 would report an error all the time. */
static void deafen(struct memory_watch *w)
{
    loop_io_stop(w->local->loop, &w->io);
}

static void listen_again(struct memory_watch *w)
{
    struct err e;

    if (loop_io_start(w->local->loop, &w->io, w->fd, w->events, event_came, &e) < 0) {
        log_warn(NULL, "%s; memory is looked at %d times a second", e.msg, 1000 / BLIND_MS);
        close_fd(&w->fd);
    }
}

/*
 * Until then nothing can happen that matters, whatever events come: with a page cache that is
 * always full they come all the time.
 */
static void rest(struct memory_watch *w)
{
    struct loop *loop = w->local->loop;
    uint64_t pause = memory_pause(&w->pace);
    bool again = memory_restless(&w->pace);

    if (w->fd >= 0 && !again && !w->io.started) {
        listen_again(w);
    } else {
        deafen(w);
        if (w->fd < 0 && !again)
            pause = BLIND_MS;
        loop_timer_set(loop, &w->timer, loop_now(loop) + pause, timer_came);
    }
}

static void look(struct memory_watch *w)
{
    struct box_memory now;
    struct err e;

    if (box_groups_memory(w->local->groups, w->id, &now, &e) < 0)
        return; /* it is on its way out */
    if (now.limit != w->levels_of)
        levels_set(w, now.limit);
    memory_look(&w->pace, now.limit, now.held, now.processes == BOX_UNKNOWN ? 0 : now.processes,
                loop_now(w->local->loop));
    w->killed = now.oom_kills > w->oom_kills && now.oom_kills != BOX_UNKNOWN
                    ? now.oom_kills - w->oom_kills
                    : 0;
    w->oom_kills = now.oom_kills;
    w->act(w);
    if (now.limit != 0)
        rest(w);
}

static void watch_begin(struct memory_watch *w, struct local *l, const char *id,
                        void (*act)(struct memory_watch *))
{
    struct box_memory now;
    struct err ignored;

    *w = (struct memory_watch){.local = l, .id = id, .act = act, .fd = -1};
    if (box_groups_memory(l->groups, id, &now, &ignored) < 0)
        return;                   /* this host has no such limits */
    w->oom_kills = now.oom_kills; /* of a life before this dormd's */
    levels_set(w, now.limit);
    look(w);
}

static void watch_end(struct memory_watch *w)
{
    loop_timer_stop(w->local->loop, &w->timer);
    levels_forget(w);
}

/* ---- those who were asked ---- */

static bool send_to(const struct victim *v, int signal_number)
{
    return syscall(SYS_pidfd_send_signal, v->held.fd, signal_number, NULL, 0) == 0;
}

static uint64_t coming(const struct pod_memory *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < m->victims_n; i++)
        if (m->victims[i].stage != VICTIM_SPARED)
            sum += m->victims[i].weight;
    return sum;
}

/* Has it given back what it was asked for? Read before the pidfd is: so it was this process's. */
static bool gave(const struct pod_memory *m, const struct victim *v)
{
    struct box_eater now = box_eater_now(v->pid);

    return memory_weight(m->watch.pace.limit, now.own, now.shared) < v->weight / 4 * 3 ||
           !send_to(v, 0);
}

/* False: there is nothing more to be had from it, or to be waited for. */
static bool urge(struct pod_memory *m, struct victim *v, uint64_t now_ms)
{
    uint64_t age = now_ms - v->at_ms;

    if (gave(m, v))
        return false;
    if (v->stage == VICTIM_SPARED)
        return age < SPARED_MS;
    if (age < (v->stage == VICTIM_ASKED ? SHRINK_MS : LEAVE_MS))
        return true;
    if (memory_need(&m->watch.pace, coming(m) - v->weight) == 0)
        return false; /* others have given enough */
    if (v->stage == VICTIM_ASKED && v->held.kind == BOX_EATER_SESSION) {
        log_info(NULL, "server %s: process %d kept its memory when it was cancelled, and is ended",
                 m->pod->id, v->held.inside);
        (void)send_to(v, SIGTERM);
        v->stage = VICTIM_TOLD;
    } else {
        v->stage = VICTIM_SPARED; /* and not asked again for a while: others are */
    }
    v->at_ms = now_ms;
    return true;
}

static void urge_all(struct pod_memory *m)
{
    uint64_t now_ms = loop_now(m->pod->local->loop);

    for (size_t i = m->victims_n; i-- > 0;)
        if (!urge(m, &m->victims[i], now_ms)) {
            box_eater_hurry(&m->victims[i].held, m->victims[i].pid, false);
            close_fd(&m->victims[i].held.fd);
            m->victims[i] = m->victims[--m->victims_n];
        }
}

/* ---- asking ---- */

/* Its postmaster. */
static bool find_payload(struct pod_memory *m)
{
    struct box_seen seen;
    struct err ignored;

    if (m->payload_fd >= 0)
        return true;
    if (box_look(m->pod->local->groups, m->pod->id, &seen, &ignored) == 0 && seen.payload != 0) {
        m->payload = seen.payload;
        m->payload_fd = take_fd(&seen.payload_fd);
    }
    box_seen_done(&seen);
    return m->payload_fd >= 0;
}

static bool is_asked(const struct pod_memory *m, pid_t pid)
{
    for (size_t i = 0; i < m->victims_n; i++)
        if (m->victims[i].pid == pid)
            return true;
    return false;
}

static size_t list_eaters(const struct pod_memory *m, struct memory_eater *ret)
{
    AUTO_FREE struct box_eater *all = mem_new(EATERS * sizeof(*all));
    struct err ignored;
    int found = box_eaters(m->pod->local->groups, m->pod->id, all, EATERS, &ignored);
    size_t n = 0;

    for (int i = 0; i < found; i++)
        if (all[i].pid != m->payload && !is_asked(m, all[i].pid))
            ret[n++] = (struct memory_eater){
                .pid = all[i].pid,
                .weight = memory_weight(m->watch.pace.limit, all[i].own, all[i].shared)};
    memory_sort(ret, n);
    for (size_t i = 0; i < n && i < EXACT; i++) {
        struct box_eater now = box_eater_now(ret[i].pid);

        ret[i].weight = memory_weight(m->watch.pace.limit, now.own, now.shared);
    }
    memory_sort(ret, n < EXACT ? n : EXACT);
    return n;
}

/* A session is asked to give up its statement; a program of the user's knows no such thing. */
static bool ask(struct pod_memory *m, const struct memory_eater *eater, bool of_all, uint64_t limit)
{
    struct victim v = {.pid = eater->pid,
                       .weight = eater->weight,
                       .at_ms = loop_now(m->pod->local->loop),
                       .held = {.fd = -1}};
    struct err ignored;

    if (INJECT("memory.ask", &ignored) < 0)
        return false;
    if (box_eater_hold(m->pod->local->groups, m->pod->id, eater->pid, m->payload, &v.held,
                       &ignored) < 0)
        return false;
    if (v.held.kind == BOX_EATER_PILLAR ||
        !send_to(&v, v.held.kind == BOX_EATER_SESSION ? SIGINT : SIGKILL)) {
        close_fd(&v.held.fd);
        return false;
    }
    box_eater_hurry(&v.held, v.pid, true);
    v.stage = v.held.kind == BOX_EATER_SESSION ? VICTIM_ASKED : VICTIM_TOLD;
    m->victims[m->victims_n++] = v;
    memory_story_add(m, &v, of_all, limit);
    return true;
}

/* In this pod, until `need` bytes are on their way; one at least if `dire`. How many are. */
static uint64_t relieve(struct pod_memory *m, uint64_t need, bool dire, bool of_all, uint64_t limit)
{
    AUTO_FREE struct memory_eater *eaters = NULL;
    uint64_t asked = 0;
    size_t n;

    if (!find_payload(m))
        return 0;
    eaters = mem_new(EATERS * sizeof(*eaters));
    n = list_eaters(m, eaters);
    if (n > 0)
        m->largest = eaters[0].weight;
    for (size_t i = 0; i < n && asked < need && m->victims_n < VICTIMS; i++) {
        if (eaters[i].weight < memory_least(m->watch.pace.limit) && (!dire || m->victims_n > 0))
            break;
        if (ask(m, &eaters[i], of_all, limit))
            asked += eaters[i].weight;
    }
    return asked;
}

/*
 * The kernel has killed. If it was a session, PostgreSQL is about to end all of them; but as long
 * as they are there they fight for the last page, and those who shall die get no processor to do it
 * with: a second and more went by. So what must end anyway is ended now.
 */
static void hasten(struct pod_memory *m)
{
    AUTO_FREE struct memory_eater *eaters = mem_new(EATERS * sizeof(*eaters));
    struct box_eater_held *held = mem_new(HASTEN * sizeof(*held));
    bool session = false;
    size_t n;

    n = find_payload(m) ? list_eaters(m, eaters) : 0;
    n = n < HASTEN ? n : HASTEN;
    for (size_t i = 0; i < n; i++) {
        struct err ignored;

        held[i].fd = -1;
        if (box_eater_hold(m->pod->local->groups, m->pod->id, eaters[i].pid, m->payload, &held[i],
                           &ignored) < 0)
            continue;
        if (held[i].dying)
            box_eater_hurry(&held[i], eaters[i].pid, true);
        session |= held[i].dying && held[i].kind == BOX_EATER_SESSION;
    }
    for (size_t i = 0; i < n; i++) {
        /* not the small ones: PostgreSQL's own helpers look the same */
        if (held[i].fd >= 0 && session && held[i].kind == BOX_EATER_SESSION &&
            eaters[i].weight >= memory_least(m->watch.pace.limit) / 4)
            (void)syscall(SYS_pidfd_send_signal, held[i].fd, SIGKILL, NULL, 0);
        close_fd(&held[i].fd);
    }
    free(held);
}

static void act_on_pod(struct memory_watch *w)
{
    struct pod_memory *m = list_of(w, struct pod_memory, watch);
    uint64_t need;

    if (m->pod->phase != POD_UP)
        return;
    if (w->killed > 0) {
        memory_story_killed(m, w->killed);
        hasten(m);
    }
    urge_all(m);
    need = memory_need(&w->pace, coming(m));
    if (need > 0)
        (void)relieve(m, need, memory_dire(&w->pace), false, w->pace.limit);
}

/* ---- all pods together ---- */

/* Who has most beyond what it was counted with: the others are where they were promised to be. */
static struct pod *most_beyond(struct local *l, uint64_t *ret_beyond, uint64_t *ret_coming)
{
    struct pod *most = NULL;
    uint64_t beyond = 0;

    map_each (&l->pods, slot) {
        struct pod *p = slot->value;
        struct box_memory now;
        struct err ignored;
        uint64_t soon = 0;

        if (box_groups_memory(l->groups, p->id, &now, &ignored) < 0)
            continue;
        if (p->memory != NULL) {
            urge_all(p->memory);
            soon = coming(p->memory);
        }
        if (p->phase == POD_ENDING)
            soon = now.held;
        *ret_coming += soon;
        if (now.held > p->spec->request_memory + beyond + soon) {
            beyond = now.held - p->spec->request_memory - soon;
            most = p;
        }
    }
    *ret_beyond = beyond;
    return most;
}

/*
 * Memory that is no process's: files in its /tmp, what a memfd holds; or of one that is frozen, or
 * not ready yet, and cannot be told anything. It goes with the pod alone; and if it does not go,
 * the kernel kills somebody else's session.
 */
static void end_hoarder(struct local *l, struct pod *p, uint64_t beyond)
{
    char used[16];
    struct err e;

    (void)err_set(&p->why, ERR_LIMIT,
                  "the server was ended: it held %s of memory that no query would have given back, "
                  "in files in /tmp and /dev/shm for one, and all servers together had used up "
                  "theirs",
                  str_size(used, sizeof(used), beyond));
    (void)err_hint(&p->why, "nothing that was committed is lost; keep large files in tables");
    if (pod_kill(l, p->id, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

static void relieve_all(struct memory_watch *w, struct pod *most, uint64_t beyond, uint64_t need)
{
    bool dire = memory_dire(&w->pace), hears = most->memory != NULL && !most->frozen;
    uint64_t asked = hears ? relieve(most->memory, need, dire, true, w->pace.limit) : 0;

    if (dire && asked < need / 4 && beyond >= need)
        end_hoarder(w->local, most, beyond);
}

static void act_on_all(struct memory_watch *w)
{
    struct local *l = w->local;
    struct pod *most;
    struct tool *tool;
    uint64_t asked = 0, beyond, beside, need;

    if (memory_need(&w->pace, 0) == 0)
        return;
    most = most_beyond(l, &beyond, &asked);
    beside = tool_memory(l, &tool, &asked); /* nobody has counted with any of it */
    need = memory_need(&w->pace, asked);
    if (need == 0)
        return;
    if (beside > beyond)
        tool_give_up(tool);
    else if (most != NULL)
        relieve_all(w, most, beyond, need);
}

void memory_new(struct local *l)
{
    l->memory = mem_new(sizeof(*l->memory));
    watch_begin(&l->memory->watch, l, NULL, act_on_all);
}

void memory_free(struct local *l)
{
    if (l->memory == NULL)
        return;
    watch_end(&l->memory->watch);
    list_each (&l->tellings, node) {
        struct telling *t = list_of(node, struct telling, node);

        job_forget(t->job);
        telling_free(t);
    }
    free(l->memory);
    l->memory = NULL;
}

void memory_limited(struct local *l)
{
    /* in a later turn: whoever calls may be in the middle of a pod that would be ended here */
    if (l->memory != NULL)
        loop_timer_set(l->loop, &l->memory->watch.timer, 0, timer_came);
}

/* ---- from READY to the end ---- */

void pod_memory_watch(struct pod *p)
{
    struct pod_memory *m;

    if (p->memory != NULL)
        return;
    m = mem_new(sizeof(*m));
    *m = (struct pod_memory){.pod = p, .payload_fd = -1};
    p->memory = m;
    watch_begin(&m->watch, p->local, p->id, act_on_pod);
    memory_limited(p->local);
}

void pod_memory_limited(struct pod *p)
{
    if (p->memory != NULL)
        look(&p->memory->watch);
}

void pod_memory_forget(struct pod *p)
{
    struct pod_memory *m = p->memory;

    if (m == NULL)
        return;
    p->memory = NULL;
    watch_end(&m->watch);
    memory_story_forget(m);
    for (size_t i = 0; i < m->victims_n; i++)
        close_fd(&m->victims[i].held.fd);
    close_fd(&m->payload_fd);
    loop_free_later(p->local->loop, m);
}
