#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "dormd/door-int.h"
#include "dormd/fleet.h"

enum { ASKED_MAX = 64 };

struct ask {
    struct list node;
    char server[ID_SIZE];
    uint64_t number, ms; /* the least so far */
    unsigned of[ASKED_MAX];
    size_t left;
};

static void settle(struct door *d, struct ask *a)
{
    if (a->left > 0)
        return;
    list_remove(&a->node);
    fleet_quiet(d->hub->fleet, a->server, a->number, a->ms);
    loop_free_later(d->hub->loop, a);
}

/* An answer to an earlier question is of no use. */
static void drop_earlier(struct door *d, const char *server)
{
    list_each (&d->asks, node) {
        struct ask *a = list_of(node, struct ask, node);

        if (!str_is(a->server, server))
            continue;
        list_remove(&a->node);
        free(a);
    }
}

void door_ask_quiet(struct door *d, const char *server, uint64_t number)
{
    struct ask *a;

    if (d == NULL)
        return;
    drop_earlier(d, server);
    a = mem_new(sizeof(*a));
    *a = (struct ask){.number = number, .ms = UINT64_MAX};
    (void)snprintf(a->server, sizeof(a->server), "%s", server);
    list_each (&d->gates, node) {
        struct gate *g = list_of(node, struct gate, node);

        if (g->conn.fd < 0 || a->left == ASKED_MAX)
            continue;
        a->of[a->left++] = g->number;
        ipc_send(&g->conn, -1, IPC_GATE_NAP, server, number);
    }
    if (a->left == 0) { /* nobody can say: it is asked again later */
        free(a);
        return;
    }
    list_append(&d->asks, &a->node);
}

/* True when this gate had still to answer it. */
static bool strike_out(struct ask *a, const struct gate *g)
{
    for (size_t i = 0; i < a->left; i++)
        if (a->of[i] == g->number) {
            a->of[i] = a->of[--a->left];
            return true;
        }
    return false;
}

void door_quiet_said(struct gate *g, const char *server, uint64_t number, uint64_t ms)
{
    list_each (&g->door->asks, node) {
        struct ask *a = list_of(node, struct ask, node);

        if (a->number != number || !str_is(a->server, server) || !strike_out(a, g))
            continue;
        a->ms = ms < a->ms ? ms : a->ms;
        settle(g->door, a);
        return;
    }
}

void door_quiet_lost(struct gate *g)
{
    list_each (&g->door->asks, node) {
        struct ask *a = list_of(node, struct ask, node);

        if (strike_out(a, g))
            settle(g->door, a);
    }
}

void door_quiet_done(struct door *d)
{
    list_each (&d->asks, node) {
        list_remove(node);
        free(list_of(node, struct ask, node));
    }
}
