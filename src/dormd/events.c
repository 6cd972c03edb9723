#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "dormd/people.h"

#define FILE_NAME "events"
#define FILE_OLD  "events.1"

enum {
    KEPT = 2000,        /* in memory */
    FILE_MAX = 1 << 20, /* then it becomes FILE_OLD */
    READ_MAX = 2 << 20, /* a line may go past FILE_MAX */
    TEXT_MAX = 1000,    /* bytes, escaped */
    WINDOW_MS = 10000,  /* within which one server may cause so many */
    WINDOW_EVENTS = 20,
    SOURCES_MAX = 1024, /* then those that are quiet are forgotten */
};

/* How many events one server has caused lately. */
struct source {
    char server[ID_SIZE];
    uint64_t since_ms;
    unsigned n, withheld;
};

struct events {
    struct hub *hub;
    struct event ring[KEPT];
    size_t first, n;
    uint64_t counts[EVENT_KIND_N];
    struct list watchers;
    struct map sources;
    int fd; /* owned; -1 when it cannot be written */
};

static const char *const names[EVENT_KIND_N] = {
#define X(kind, name) [EVENT_##kind] = name,
    EVENT_KINDS(X)
#undef X
};

const char *event_kind_name(enum event_kind kind)
{
    return names[kind];
}

bool event_kind_of(const char *name, enum event_kind *ret_kind)
{
    for (size_t i = 0; i < EVENT_KIND_N; i++)
        if (str_is(names[i], name)) {
            *ret_kind = (enum event_kind)i;
            return true;
        }
    return false;
}

/* ---- memory ---- */

static void event_done(struct event *e)
{
    free(e->name);
    free(e->text);
}

/* Takes the texts of e. */
static const struct event *keep(struct events *ev, const struct event *e)
{
    struct event *at = &ev->ring[(ev->first + ev->n) % KEPT];

    if (ev->n == KEPT) {
        event_done(at);
        ev->first = (ev->first + 1) % KEPT;
    } else {
        ev->n++;
    }
    *at = *e;
    return at;
}

void events_each(const struct events *ev, event_fn fn, void *arg)
{
    for (size_t i = 0; i < ev->n; i++)
        fn(arg, &ev->ring[(ev->first + i) % KEPT]);
}

uint64_t events_count(const struct events *ev, enum event_kind kind)
{
    return ev->counts[kind];
}

/* ---- the file: time, kind, server, name and text, with tabs between: in none of them is one ----
 */

static void rotate(struct events *ev)
{
    struct stat st;

    if (ev->fd >= 0 && (fstat(ev->fd, &st) < 0 || st.st_size < FILE_MAX))
        return;
    if (ev->fd >= 0)
        (void)renameat(ev->hub->state_fd, FILE_NAME, ev->hub->state_fd, FILE_OLD);
    close_fd(&ev->fd);
    ev->fd = openat(ev->hub->state_fd, FILE_NAME,
                    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void put_line(struct events *ev, const struct event *e)
{
    AUTO_FREE char *line = mem_printf("%lld\t%s\t%s\t%s\t%s\n", (long long)e->at, names[e->kind],
                                      e->server, e->name, e->text);

    rotate(ev);
    if (ev->fd >= 0 && write(ev->fd, line, strlen(line)) < 0)
        close_fd(&ev->fd); /* the disk is full: the next one tries again */
}

/* The last line of a dormd that was killed may be torn: it has too few fields, and is left out. */
static void take_line(struct events *ev, char *line)
{
    char *field[5], *rest = line;
    struct event e = {0};
    uint64_t at;

    for (size_t i = 0; i < 5; i++) {
        field[i] = strsep(&rest, i < 4 ? "\t" : "");
        if (field[i] == NULL)
            return;
    }
    if (!str_u64(field[0], &at) || !event_kind_of(field[1], &e.kind) ||
        !str_copy(e.server, sizeof(e.server), field[2]))
        return;
    e.at = (int64_t)at;
    e.name = mem_copy(field[3]);
    e.text = mem_copy(field[4]);
    (void)keep(ev, &e);
}

static void read_back(struct events *ev, const char *file)
{
    AUTO_FREE char *text = NULL;
    char *rest;
    struct err e;

    if (fd_read_file(ev->hub->state_fd, file, READ_MAX, &text, &e) < 0) {
        if (e.os_errno != ENOENT)
            log_err(NULL, LOG_WARN_, &e);
        return;
    }
    for (rest = text; rest != NULL && *rest != '\0';) {
        char *line = strsep(&rest, "\n");

        if (rest != NULL)
            take_line(ev, line);
    }
}

struct events *events_open(struct hub *h)
{
    struct events *ev = mem_new(sizeof(*ev));

    *ev = (struct events){.hub = h, .fd = -1};
    list_init(&ev->watchers);
    read_back(ev, FILE_OLD);
    read_back(ev, FILE_NAME);
    return ev;
}

static void forget_sources(struct events *ev, bool all)
{
    uint64_t now = loop_now(ev->hub->loop);
    size_t n = 0;
    AUTO_FREE struct source **gone = mem_new((ev->sources.used + 1) * sizeof(struct source *));

    map_each (&ev->sources, slot) {
        struct source *s = slot->value;

        if (all || now - s->since_ms > WINDOW_MS)
            gone[n++] = s;
    }
    for (size_t i = 0; i < n; i++) {
        (void)map_remove(&ev->sources, gone[i]->server);
        free(gone[i]);
    }
}

void events_free(struct events *ev)
{
    if (ev == NULL)
        return;
    for (size_t i = 0; i < ev->n; i++)
        event_done(&ev->ring[(ev->first + i) % KEPT]);
    forget_sources(ev, true);
    map_done(&ev->sources);
    close_fd(&ev->fd);
    free(ev);
}

/* ---- adding ---- */

static void publish(struct events *ev, const struct event *e)
{
    const struct event *kept = keep(ev, e);

    ev->counts[e->kind]++;
    put_line(ev, kept);
    list_each (&ev->watchers, node) {
        struct event_watcher *w = list_of(node, struct event_watcher, node);

        w->seen(w, kept);
    }
}

static char *fit_to_print(const char *text)
{
    char *at = mem_new(TEXT_MAX);

    return str_show(at, TEXT_MAX, text, strlen(text));
}

/* False: it has caused enough lately. *ret_withheld: so many were not shown before this one. */
static bool may_speak(struct events *ev, const char *server, unsigned *ret_withheld)
{
    uint64_t now = loop_now(ev->hub->loop);
    struct source *s = map_get(&ev->sources, server);

    *ret_withheld = 0;
    if (s == NULL) {
        if (ev->sources.used >= SOURCES_MAX)
            forget_sources(ev, false);
        s = mem_new(sizeof(*s));
        *s = (struct source){.since_ms = now};
        (void)snprintf(s->server, sizeof(s->server), "%s", server);
        map_add(&ev->sources, s->server, s);
    }
    if (now - s->since_ms > WINDOW_MS) {
        *ret_withheld = s->withheld;
        s->since_ms = now;
        s->n = s->withheld = 0;
    }
    if (s->n++ < WINDOW_EVENTS)
        return true;
    s->withheld++;
    return false;
}

static const char *name_of(struct hub *h, const char *server, char known[STORE_NAME_SIZE])
{
    struct store_account account;
    struct err ignored;

    known[0] = '\0';
    if (server[0] != '\0' && people_account(h, server, &account, &ignored) == 0)
        (void)snprintf(known, STORE_NAME_SIZE, "%s", account.server.name);
    return known;
}

void event_add(struct hub *h, enum event_kind kind, const char *server, const char *name,
               const char *fmt, ...)
{
    struct event e = {.at = clock_unix(), .kind = kind};
    char text[TEXT_MAX], known[STORE_NAME_SIZE];
    unsigned withheld = 0;
    va_list ap;

    if (h->events == NULL)
        return;
    if (server != NULL && server[0] != '\0') {
        if (!str_copy(e.server, sizeof(e.server), server) ||
            !may_speak(h->events, server, &withheld))
            return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    e.name = fit_to_print(name != NULL ? name : name_of(h, e.server, known));
    e.text = fit_to_print(text);
    if (withheld > 0) {
        char *longer = mem_printf("%s (and %u events before, not shown)", e.text, withheld);

        free(e.text);
        e.text = longer;
    }
    publish(h->events, &e);
}

/* ---- looking on ---- */

void events_watch(struct events *ev, struct event_watcher *w)
{
    list_append(&ev->watchers, &w->node);
}

void events_unwatch(struct event_watcher *w)
{
    list_remove(&w->node);
}
