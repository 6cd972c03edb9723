/* fake.h: an engine of which tests pull the strings. Starts no process, needs no privilege. */
#pragma once

#include "engine/engine.h"

struct fake_server {
    char id[ID_SIZE];
    bool exists;  /* a volume was made */
    bool process; /* it runs, or is about to */
    bool ready;
    uint64_t held;   /* bytes that it is said to use */
    uint64_t memory; /* bytes it may use */
    bool frozen;
    struct engine_doing doing;   /* what a look finds */
    bool look_fails, look_waits; /* until fake_looked() */
    bool freeze_fails;
    uint32_t looks, freezes, thaws;
    engine_look_fn looked; /* a look is under way */
    void *look_owner;
    uint32_t starts, stops, kills, connects, twice; /* twice: started while it had a process */
};

/* Owned by the caller; free with engine->ops->free. */
struct engine *fake_new(engine_event_fn on_event, void *owner);
struct fake_server *fake_server(struct engine *, const char *id); /* made on first mention */
void fake_refuse(struct engine *, bool refuse);                   /* start() fails from now on */
/* Let a thing happen now, as if the machine had done it. */
void fake_ready(struct engine *, const char *id);
void fake_ended(struct engine *, const char *id, const char *why);
/* The look that waits is over. */
void fake_looked(struct engine *, const char *id);
