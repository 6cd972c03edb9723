/*
 * drowse.h: when a server sleeps or naps because nobody needs it; for the files of the fleet alone.
 *
 * Nobody in it for `after`: it sleeps. Somebody in it, but nobody has spoken for `nap`: it is
 * frozen. Nobody has spoken for `connected`: those in it are told, and it sleeps. Before each it is
 * looked into, for a server can be at work for nobody who is connected; what it does counts, that
 * we look does not.
 *
 * How nobody's word is lost: the gate is asked how long it has been quiet, and says from then on
 * when somebody speaks (GATE_STIR). What was said before is in its answer; what is said between the
 * answer and the frost is in a message that is read after it; what is said later thaws.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/loop.h"

struct fleet_server;
struct drowse_look;

/* What it waits for, from the levels of its server. */
enum drowse_mode {
    DROWSE_NOTHING, /* it is not awake, or somebody is being let in */
    DROWSE_EMPTY,   /* awake, and nobody is in it */
    DROWSE_CROWD,   /* awake, with sessions */
    DROWSE_NAP,     /* frozen */
};

struct drowse {
    enum drowse_mode mode;
    struct loop_timer timer;
    uint64_t since_ms;        /* nobody is in it, or has spoken, since then, for all we know */
    uint64_t asked;           /* number of the question that the gate has yet to answer; 0: none */
    struct drowse_look *look; /* under way; an answer to another one is not heard */
    unsigned failed;          /* looks that failed, in a row */
    bool dismissed;           /* those in it have been told to leave */
    char doing[96];           /* why it stays awake although nobody speaks; "" */
    struct list nappers;      /* waiters: an operator wants it to nap now */
};

void drowse_init(struct fleet_server *s);
/* As in struct fleet_want. */
void drowse_times(struct fleet_server *s, uint64_t after_ms, uint64_t nap_ms,
                  uint64_t connected_ms);
/* It is being forgotten: nothing that is under way will reach it. */
void drowse_done(struct fleet_server *s);
/* Its state, its sessions or its waiters may have changed. */
void drowse_changed(struct fleet_server *s);
/* Somebody came: those who were told to leave are not waited for. */
void drowse_came(struct fleet_server *s);
/* Somebody left or spoke. */
void drowse_stirred(struct fleet_server *s);
