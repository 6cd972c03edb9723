#include "fake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

struct fake {
    struct engine engine;
    struct map servers;
    bool refuse;
};

static struct fake *fake_of(struct engine *engine)
{
    return (struct fake *)(void *)engine;
}

struct fake_server *fake_server(struct engine *engine, const char *id)
{
    struct fake *f = fake_of(engine);
    struct fake_server *s = map_get(&f->servers, id);

    if (s == NULL) {
        s = mem_new(sizeof(*s));
        if (!str_copy(s->id, sizeof(s->id), id))
            abort();
        map_add(&f->servers, s->id, s);
    }
    return s;
}

void fake_refuse(struct engine *engine, bool refuse)
{
    fake_of(engine)->refuse = refuse;
}

void fake_ready(struct engine *engine, const char *id)
{
    fake_server(engine, id)->ready = true;
    engine->on_event(engine->owner, id, ENGINE_READY, NULL);
}

void fake_looked(struct engine *engine, const char *id)
{
    struct fake_server *s = fake_server(engine, id);
    engine_look_fn done = s->looked;
    struct err e;

    s->looked = NULL;
    if (done == NULL)
        return;
    if (s->look_fails || !s->ready)
        (void)err_set(&e, ERR_BUSY, "told to fail");
    done(s->look_owner, s->look_fails || !s->ready ? NULL : &s->doing,
         s->look_fails || !s->ready ? &e : NULL);
}

void fake_ended(struct engine *engine, const char *id, const char *why)
{
    struct fake_server *s = fake_server(engine, id);
    struct err e;

    s->process = s->ready = s->frozen = false;
    fake_looked(engine, id);
    if (why != NULL)
        (void)err_set(&e, ERR_OS, "%s", why);
    engine->on_event(engine->owner, id, ENGINE_ENDED, why == NULL ? NULL : &e);
}

static int start(struct engine *engine, const struct engine_server *spec, struct err *e)
{
    struct fake_server *s = fake_server(engine, spec->id);

    if (fake_of(engine)->refuse)
        return err_set(e, ERR_LIMIT, "could not start server \"%s\": told not to", spec->login);
    s->twice += s->process;
    s->memory = spec->memory;
    s->exists = s->process = true;
    s->starts++;
    return 0;
}

static int ask(struct engine *engine, const struct engine_server *spec, struct err *e)
{
    (void)e;
    fake_server(engine, spec->id)->process = true;
    return 0;
}

static int stop(struct engine *engine, const char *server, struct err *e)
{
    (void)e;
    fake_server(engine, server)->stops++;
    fake_server(engine, server)->frozen = false;
    return 0;
}

static int kill_all(struct engine *engine, const char *server, struct err *e)
{
    (void)e;
    fake_server(engine, server)->kills++;
    return 0;
}

static int freeze(struct engine *engine, const char *server, struct err *e)
{
    struct fake_server *s = fake_server(engine, server);

    if (s->freeze_fails)
        return err_set(e, ERR_BUSY, "told not to freeze");
    s->frozen = true;
    s->freezes++;
    return 0;
}

static int thaw(struct engine *engine, const char *server, struct err *e)
{
    struct fake_server *s = fake_server(engine, server);

    (void)e;
    s->frozen = false;
    s->thaws++;
    return 0;
}

static int look(struct engine *engine, const char *server, engine_look_fn done, void *owner,
                struct err *e)
{
    struct fake_server *s = fake_server(engine, server);

    if (!s->ready || s->frozen || s->looked != NULL)
        return err_set(e, ERR_BUSY, "server \"%s\" cannot be looked into", server);
    s->looks++;
    s->looked = done;
    s->look_owner = owner;
    if (!s->look_waits)
        fake_looked(engine, server);
    return 0;
}

static int connect_to(struct engine *engine, const char *server, int *ret_fd, struct err *e)
{
    struct fake_server *s = fake_server(engine, server);
    int pair[2];

    if (!s->ready || s->frozen || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(e, ERR_BUSY, "server \"%s\" takes no connections", server);
    s->connects++;
    (void)close(pair[1]);
    *ret_fd = pair[0];
    return 0;
}

static int work(struct engine *engine, const struct engine_task *task, engine_task_fn done,
                void *owner, struct err *e)
{
    struct engine_outcome outcome = {0};

    (void)engine, (void)task, (void)e;
    done(owner, &outcome, NULL);
    return 0;
}

static int prepare(struct engine *engine, const struct engine_server *spec, engine_done_fn done,
                   void *owner, struct err *e)
{
    (void)engine, (void)e;
    done(owner, spec->id, NULL);
    return 0;
}

static int observe(struct engine *engine, engine_found_fn found, void *owner, struct err *e)
{
    (void)e;
    map_each (&fake_of(engine)->servers, slot) {
        const struct fake_server *s = slot->value;

        if (s->process)
            found(owner, s->id);
    }
    return 0;
}

static int usage(struct engine *engine, const char *server, struct engine_usage *ret, struct err *e)
{
    const struct fake_server *s = fake_server(engine, server);

    (void)e;
    *ret = (struct engine_usage){.processes = s->process, .memory = s->held, .held = s->held};
    return 0;
}

static int limit(struct engine *engine, const struct engine_server *spec, struct err *e)
{
    (void)e;
    fake_server(engine, spec->id)->memory = spec->memory;
    return 0;
}

static void room(struct engine *engine, const char *server, struct engine_room *ret)
{
    (void)engine, (void)server;
    *ret = (struct engine_room){0};
}

static void fake_free(struct engine *engine)
{
    struct fake *f = fake_of(engine);

    map_each (&f->servers, slot)
        free(slot->value);
    map_done(&f->servers);
    free(f);
}

struct engine *fake_new(engine_event_fn on_event, void *owner)
{
    static const struct engine_ops ops = {
        .start = start,
        .ask = ask,
        .stop = stop,
        .kill = kill_all,
        .freeze = freeze,
        .thaw = thaw,
        .look = look,
        .connect = connect_to,
        .work = work,
        .prepare = prepare,
        .observe = observe,
        .usage = usage,
        .limit = limit,
        .room = room,
        .free = fake_free,
    };
    struct fake *f = mem_new(sizeof(*f));

    f->engine = (struct engine){.ops = &ops, .on_event = on_event, .owner = owner};
    return &f->engine;
}
