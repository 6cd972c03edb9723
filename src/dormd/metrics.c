#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/mem.h"
#include "dormd/events.h"
#include "dormd/fleet.h"
#include "dormd/listen.h"
#include "dormd/scrape.h"
#include "engine/local.h"
#include "store/store.h"

enum {
    ASKERS_MOST = 8,
    ASK_MS = 5000,      /* to ask, and to take the answer */
    TEXT_MAX = 4 << 20, /* of an answer: some hundred bytes for each server that is awake */
};

static const uint64_t wake_bounds_ms[] = {50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000};
enum { WAKE_BOUNDS = sizeof(wake_bounds_ms) / sizeof(wake_bounds_ms[0]) };

struct metrics {
    struct hub *hub;
    struct loop_io io;
    int fd; /* owned */
    struct list askers;
    size_t askers_n;
    uint64_t wakes[WAKE_BOUNDS + 1], wakes_n, wakes_ms;
};

struct asker {
    struct list node;
    struct metrics *of;
    struct loop_io io;
    struct loop_timer late;
    int fd; /* owned */
    struct buf in, out;
};

void metrics_woke(struct metrics *m, uint64_t ms)
{
    size_t i = 0;

    if (m == NULL)
        return; /* what was found running is not a wake of ours */
    while (i < WAKE_BOUNDS && ms > wake_bounds_ms[i])
        i++;
    m->wakes[i]++;
    m->wakes_n++;
    m->wakes_ms += ms;
}

/* ---- the text ---- */

/* False as soon as there is no room: half a page would be taken for a whole one. */
struct page {
    struct buf *out;
    const struct hub *hub;
    bool fits;
    const char *name; /* of the family that is being written */
};

static void family(struct page *p, const char *name, const char *type, const char *help)
{
    p->name = name;
    p->fits = p->fits && buf_printf(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void sample(struct page *p, const char *key, const char *value, double number)
{
    char escaped[256];
    size_t n = 0;

    if (key == NULL) {
        p->fits = p->fits && buf_printf(p->out, "%s %.17g\n", p->name, number);
        return;
    }
    for (; *value != '\0' && n + 3 < sizeof(escaped); value++) {
        if (*value == '\\' || *value == '"')
            escaped[n++] = '\\';
        escaped[n++] = *value == '\n' ? ' ' : *value;
    }
    escaped[n] = '\0';
    p->fits = p->fits && buf_printf(p->out, "%s{%s=\"%s\"} %.17g\n", p->name, key, escaped, number);
}

struct sums {
    struct page *page;
    double sessions, waiting, queued;
    double (*figure)(const struct page *p, const struct fleet_view *v,
                     const struct engine_server *s);
};

static void add_one(void *owner, const struct fleet_view *v, const struct engine_server *s,
                    const char *name)
{
    struct sums *sums = owner;

    (void)s, (void)name;
    sums->sessions += v->sessions;
    sums->waiting += v->waiting;
    sums->queued += v->place > 0;
}

static void put_fleet(struct page *p)
{
    struct sums sums = {.page = p};

    family(p, "dormouse_servers", "gauge", "Servers that are not simply asleep, by state.");
    for (int state = 0; state < LIFE_STATE_N; state++)
        if (state != LIFE_ASLEEP)
            sample(p, "state", life_state_name((enum life_state)state),
                   (double)fleet_count(p->hub->fleet, (enum life_state)state));
    fleet_each(p->hub->fleet, add_one, &sums);
    family(p, "dormouse_sessions", "gauge", "Clients that are in a server.");
    sample(p, NULL, NULL, sums.sessions);
    family(p, "dormouse_waiting", "gauge", "Clients that wait for a server.");
    sample(p, NULL, NULL, sums.waiting);
    family(p, "dormouse_queued", "gauge", "Servers that wait for their turn to wake.");
    sample(p, NULL, NULL, sums.queued);
}

static void put_wakes(struct page *p, const struct metrics *m)
{
    uint64_t so_far = 0;

    family(p, "dormouse_wake_seconds", "histogram",
           "From the wish until a server takes connections.");
    for (size_t i = 0; i <= WAKE_BOUNDS; i++) {
        char bound[24] = "+Inf";

        if (i < WAKE_BOUNDS)
            (void)snprintf(bound, sizeof(bound), "%g", (double)wake_bounds_ms[i] / 1e3);
        so_far += m->wakes[i];
        p->fits = p->fits &&
                  buf_printf(p->out, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", p->name, bound, so_far);
    }
    p->fits = p->fits && buf_printf(p->out, "%s_sum %.17g\n%s_count %" PRIu64 "\n", p->name,
                                    (double)m->wakes_ms / 1e3, p->name, m->wakes_n);
}

static void put_events(struct page *p)
{
    family(p, "dormouse_events_total", "counter", "What happened, by kind; see dorm events.");
    for (int kind = 0; kind < EVENT_KIND_N; kind++)
        sample(p, "kind", event_kind_name((enum event_kind)kind),
               (double)events_count(p->hub->events, (enum event_kind)kind));
}

/* ---- of each server that has processes: there may be ten thousand that have none ---- */

static bool usage_of(const struct page *p, const struct engine_server *s, struct engine_usage *ret)
{
    struct engine *engine = p->hub->engine;
    struct err ignored;

    return engine->ops->usage(engine, s->id, ret, &ignored) == 0;
}

/* What the kernel does not tell is left out. */
static double known(uint64_t figure)
{
    return figure == UINT64_MAX ? -1 : (double)figure;
}

static double memory(const struct page *p, const struct fleet_view *v,
                     const struct engine_server *s)
{
    struct engine_usage u;

    (void)v;
    return usage_of(p, s, &u) ? known(u.memory) : -1;
}

static double memory_limit(const struct page *p, const struct fleet_view *v,
                           const struct engine_server *s)
{
    (void)p, (void)v;
    return (double)s->memory;
}

static double cpu(const struct page *p, const struct fleet_view *v, const struct engine_server *s)
{
    struct engine_usage u;

    (void)v;
    return usage_of(p, s, &u) ? known(u.cpu_us) / 1e6 : -1;
}

static double processes(const struct page *p, const struct fleet_view *v,
                        const struct engine_server *s)
{
    struct engine_usage u;

    (void)v;
    return usage_of(p, s, &u) && u.processes != UINT32_MAX ? (double)u.processes : -1;
}

static double kills(const struct page *p, const struct fleet_view *v, const struct engine_server *s)
{
    struct engine_usage u;

    (void)v;
    return usage_of(p, s, &u) ? known(u.oom_kills) : -1;
}

static double sessions(const struct page *p, const struct fleet_view *v,
                       const struct engine_server *s)
{
    (void)p, (void)s;
    return v->sessions;
}

static void put_one(void *owner, const struct fleet_view *v, const struct engine_server *s,
                    const char *name)
{
    const struct sums *sums = owner;
    double figure;

    if (v->state != LIFE_AWAKE && v->state != LIFE_NAPPING)
        return;
    figure = sums->figure(sums->page, v, s);
    if (figure >= 0)
        sample(sums->page, "server", name, figure);
}

static void put_servers(struct page *p)
{
    static const struct {
        const char *name, *type, *help;
        double (*figure)(const struct page *, const struct fleet_view *,
                         const struct engine_server *);
    } rows[] = {
        {"dormouse_server_sessions", "gauge", "Clients in it.", sessions},
        {"dormouse_server_memory_bytes", "gauge", "Memory of all its processes.", memory},
        {"dormouse_server_memory_limit_bytes", "gauge", "What it may have.", memory_limit},
        {"dormouse_server_cpu_seconds_total", "counter", "Since it woke.", cpu},
        {"dormouse_server_processes", "gauge", "Processes in its pod.", processes},
        {"dormouse_server_oom_kills_total", "counter", "By the kernel, since it woke.", kills},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sums sums = {.page = p, .figure = rows[i].figure};

        family(p, rows[i].name, rows[i].type, rows[i].help);
        fleet_each(p->hub->fleet, put_one, &sums);
    }
}

/* ---- of the machine ---- */

static void put_total(void *owner, const struct local_place_view *v)
{
    if (v->missing == NULL)
        sample(owner, "class", v->class, (double)v->total);
}

static void put_free(void *owner, const struct local_place_view *v)
{
    if (v->missing == NULL)
        sample(owner, "class", v->class, (double)v->free);
}

static void put_there(void *owner, const struct local_place_view *v)
{
    sample(owner, "class", v->class, v->missing == NULL);
}

static void put_places(struct page *p)
{
    struct err ignored;

    family(p, "dormouse_storage_up", "gauge", "Is the disk of a storage class there?");
    (void)local_places(p->hub->engine, put_there, p, &ignored);
    family(p, "dormouse_storage_bytes", "gauge", "Size of a storage class.");
    (void)local_places(p->hub->engine, put_total, p, &ignored);
    family(p, "dormouse_storage_free_bytes", "gauge", "What is free in a storage class.");
    (void)local_places(p->hub->engine, put_free, p, &ignored);
}

static void put_hub(struct page *p)
{
    char when[24] = "";
    struct rusage self;
    struct err ignored;

    if (store_setting_get(p->hub->store, "backup.last_good", when, sizeof(when), &ignored) > 0) {
        family(p, "dormouse_backup_last_good_timestamp_seconds", "gauge",
               "When the last backup of the whole hub was made.");
        sample(p, NULL, NULL, strtod(when, NULL));
    }
    if (getrusage(RUSAGE_SELF, &self) == 0) {
        family(p, "process_cpu_seconds_total", "counter", "Of dormd.");
        sample(p, NULL, NULL,
               (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) +
                   (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6);
        family(p, "dormouse_dormd_peak_memory_bytes", "gauge", "The most that dormd has had.");
        sample(p, NULL, NULL, (double)self.ru_maxrss * 1024);
    }
}

/* ---- asking and answering ---- */

static void asker_free(struct asker *a)
{
    struct loop *loop = a->of->hub->loop;

    loop_timer_stop(loop, &a->late);
    loop_io_stop(loop, &a->io);
    close_fd(&a->fd);
    buf_done(&a->in);
    buf_done(&a->out);
    list_remove(&a->node);
    a->of->askers_n--;
    loop_free_later(loop, a);
}

static void answer(struct asker *a, int status)
{
    struct page p = {.hub = a->of->hub, .out = &a->out, .fits = true};
    const char *type = "text/plain; version=0.0.4; charset=utf-8";

    p.fits = buf_printf(&a->out, "HTTP/1.0 %d %s\r\nContent-Type: %s\r\nConnection: close\r\n\r\n",
                        status, status == 200 ? "OK" : "No", type);
    if (status == 200) {
        put_fleet(&p);
        put_wakes(&p, a->of);
        put_events(&p);
        put_servers(&p);
        put_places(&p);
        put_hub(&p);
    } else {
        p.fits = p.fits && buf_printf(&a->out, "ask for /metrics\n");
    }
    if (!p.fits)
        buf_eat(&a->out, buf_len(&a->out));
}

/* True: it is over. */
static bool send_rest(struct asker *a)
{
    while (buf_len(&a->out) > 0) {
        ssize_t n = send(a->fd, buf_data(&a->out), buf_len(&a->out), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
            return errno != EAGAIN;
        buf_eat(&a->out, (size_t)n);
    }
    return true;
}

/* True: there is nothing to read now. */
static bool read_more(struct asker *a, bool *ret_ended)
{
    ssize_t n;

    if (!buf_reserve(&a->in, 512)) {
        *ret_ended = true;
        return true;
    }
    n = recv(a->fd, buf_tail(&a->in), buf_room(&a->in), MSG_DONTWAIT);
    if (n <= 0) {
        *ret_ended = n == 0 || errno != EAGAIN;
        return true;
    }
    buf_wrote(&a->in, (size_t)n);
    return false;
}

static void asker_ready(struct loop_io *io, uint32_t events)
{
    struct asker *a = list_of(io, struct asker, io);
    bool ended = false;
    int status = 0;

    (void)events;
    while (buf_len(&a->out) == 0 && status == 0 && !read_more(a, &ended))
        status = scrape_read((const char *)buf_data(&a->in), buf_len(&a->in));
    if (status != 0)
        answer(a, status);
    if (ended || (status != 0 && buf_len(&a->out) == 0) || (buf_len(&a->out) > 0 && send_rest(a))) {
        asker_free(a);
        return;
    }
    loop_io_want(a->of->hub->loop, io, buf_len(&a->out) > 0 ? EPOLLOUT : EPOLLIN);
}

static void too_slow(struct loop_timer *t)
{
    asker_free(list_of(t, struct asker, late));
}

static void came(struct loop_io *io, uint32_t events)
{
    struct metrics *m = list_of(io, struct metrics, io);
    AUTO_CLOSE int fd = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct loop *loop = m->hub->loop;
    struct asker *a;
    struct err e;

    (void)events;
    if (fd < 0 || m->askers_n >= ASKERS_MOST)
        return;
    a = mem_new(sizeof(*a));
    *a = (struct asker){.of = m, .fd = -1};
    if (loop_io_start(loop, &a->io, fd, EPOLLIN, asker_ready, &e) < 0) {
        free(a);
        return;
    }
    a->fd = take_fd(&fd);
    buf_init(&a->in, SCRAPE_MAX + 512);
    buf_init(&a->out, TEXT_MAX);
    list_append(&m->askers, &a->node);
    m->askers_n++;
    loop_timer_set(loop, &a->late, loop_now(loop) + ASK_MS, too_slow);
}

struct metrics *metrics_open(struct hub *h, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/metrics", h->run_dir);
    struct metrics *m = mem_new(sizeof(*m));

    *m = (struct metrics){.hub = h, .fd = -1};
    list_init(&m->askers);
    /* whose group it is given to is the administrator's to decide */
    if (listen_unix(path, SOCK_STREAM, 0660, &m->fd, e) < 0 ||
        loop_io_start(h->loop, &m->io, m->fd, EPOLLIN, came, e) < 0) {
        close_fd(&m->fd);
        free(m);
        return NULL;
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    list_each (&m->askers, node)
        asker_free(list_of(node, struct asker, node));
    loop_io_stop(m->hub->loop, &m->io);
    close_fd(&m->fd);
    free(m);
}
