/* What `dorm events` asks for. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/units.h"
#include "dormd/control.h"
#include "dormd/events.h"
#include "dormd/people.h"

enum { LINES = 50, LINES_MAX = 100000 };

/* What is asked for, and what is wanted of it. Dies with the call. */
struct asked {
    struct call *call;
    struct event_watcher watcher;
    bool watching;
    int64_t since; /* 0: whenever */
    bool of_kind;
    enum event_kind kind;
    const char *name; /* of a server or user; NULL: any. Of the call */
    uint64_t skip;    /* so many of the oldest are more than was asked for */
};

static bool wanted(const struct asked *a, const struct event *e)
{
    return e->at >= a->since && (!a->of_kind || e->kind == a->kind) &&
           (a->name == NULL || str_is(e->name, a->name));
}

static void show(const struct asked *a, const struct event *e)
{
    char at[WHEN_SIZE];

    call_row(a->call, when_second(at, e->at), event_kind_name(e->kind), e->name, e->text);
}

static void count_one(void *arg, const struct event *e)
{
    struct asked *a = arg;

    a->skip += wanted(a, e);
}

static void show_one(void *arg, const struct event *e)
{
    struct asked *a = arg;

    if (!wanted(a, e))
        return;
    if (a->skip > 0)
        a->skip--;
    else
        show(a, e);
}

static void seen(struct event_watcher *w, const struct event *e)
{
    const struct asked *a = list_of(w, struct asked, watcher);

    if (wanted(a, e))
        show(a, e);
}

static void gone(struct call *c)
{
    struct asked *a = c->state;

    if (a->watching)
        events_unwatch(&a->watcher);
}

static int read_since(struct asked *a, struct err *e)
{
    const char *text = call_arg(a->call, "since"), *from = call_arg(a->call, "from");
    char why[UNITS_WHY];
    uint64_t ms;

    if (from != NULL && str_u64(from, &ms) && ms < INT64_MAX) {
        a->since = (int64_t)ms; /* when who follows lost an earlier dormd */
        return 0;
    }
    if (text == NULL)
        return 0;
    if (units_duration(text, &ms, why) < 0)
        return err_set(e, ERR_INPUT, "since: \"%.40s\" %s", text, why);
    a->since = clock_unix() - (int64_t)(ms / 1000);
    return 0;
}

static int read_wishes(struct asked *a, uint64_t *ret_lines, struct err *e)
{
    const struct call *c = a->call;
    const char *kind = call_arg(c, "kind"), *lines = call_arg(c, "lines");

    *ret_lines = call_arg(c, "since") == NULL && call_arg(c, "from") == NULL ? LINES : LINES_MAX;
    if (lines != NULL && (!str_u64(lines, ret_lines) || *ret_lines > LINES_MAX))
        return err_set(e, ERR_INPUT, "lines: a number from 0 to %d", LINES_MAX);
    a->of_kind = kind != NULL;
    if (kind != NULL && !event_kind_of(kind, &a->kind)) {
        (void)err_set(e, ERR_INPUT, "there are no events of the kind \"%.40s\"", kind);
#define X(kind_, name_) " " name_
        return err_hint(e, "kinds:" EVENT_KINDS(X));
#undef X
    }
    a->name = call_arg(c, "name");
    if (c->uid != 0)
        a->name = c->self; /* others' are none of theirs */
    return read_since(a, e);
}

static void events(struct call *c)
{
    struct asked *a = mem_new(sizeof(*a));
    uint64_t lines;
    struct err e;

    *a = (struct asked){.call = c, .watcher = {.seen = seen}};
    c->state = a;
    c->gone = gone;
    if (read_wishes(a, &lines, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    call_columns(c, "time", "kind", "name", "event");
    events_each(c->hub->events, count_one, a);
    a->skip = a->skip > lines ? a->skip - lines : 0;
    events_each(c->hub->events, show_one, a);
    if (call_arg(c, "follow") == NULL) {
        call_done(c);
        return;
    }
    a->watching = true; /* until who asked hangs up */
    events_watch(c->hub->events, &a->watcher);
}

const struct verb verbs_events[] = {
    {"events", VERB_SELF, events},
    {NULL, VERB_ROOT, NULL},
};
