/* Deleting a volume, and undoing what was done to one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "deed-int.h"
#include "dormd/events.h"
#include "dormd/people.h"

/* ---- delete ---- */

/* Whoever has it attached goes on until their server sleeps: the image is destroyed only when the
 * time for undoing this is over. */
static int remove_row(struct hub *h, const struct store_volume *v, struct store_undo *u,
                      struct err *e)
{
    struct store *s = h->store;

    if (store_begin(s, e) < 0)
        return -1;
    if (store_undo_add(s, u, e) < 0 || store_volume_remove(s, v->id, clock_unix(), e) < 0) {
        store_rollback(s);
        return -1;
    }
    return store_commit(s, e);
}

static void delete_extra(struct deed *d)
{
    struct err e;

    if (remove_row(d->hub, &d->v, &d->undo, &e) < 0) {
        call_fail(d->call, &e);
        return;
    }
    deed_tell_users(d->call, &d->undo);
    call_say(d->call, "%s", d->undo.text);
    deed_say_undo(d);
    call_done(d->call);
}

int deed_delete_row(struct call *c, const struct store_volume *v, struct err *e)
{
    struct store_undo u = {
        .deed = STORE_DID_DELETE, .done_at = clock_unix(), .until = deed_undo_until(c->hub)};

    memcpy(u.server, v->server, ID_SIZE);
    memcpy(u.volume, v->id, ID_SIZE);
    (void)snprintf(u.text, sizeof(u.text), "volume \"%.100s\" was deleted", v->claim);
    if (remove_row(c->hub, v, &u, e) < 0)
        return -1;
    deed_tell_users(c, &u);
    call_say(c, "%s; undo: dorm undo %lld", u.text, (long long)u.number);
    return 0;
}

void deed_delete(struct deed *d)
{
    char text[STORE_TEXT_SIZE];

    (void)snprintf(text, sizeof(text), "volume \"%.100s\" was deleted", d->v.claim);
    if (str_is(d->v.component, "postgres")) {
        if (deed_never_used(d))
            return;
        deed_will_keep(d, STORE_BEFORE_DELETE, false);
        deed_will_undo(d, STORE_DID_DELETE, text);
        deed_rest_then(d, "losing its volume", deed_replace);
        return;
    }
    deed_will_undo(d, STORE_DID_DELETE, text);
    delete_extra(d);
}

/* ---- undo ---- */

static void bring_back(struct call *c, const struct store_undo *u)
{
    struct err e;

    if (store_volume_restore(c->hub->store, u->volume, &e) < 0 ||
        store_undo_remove(c->hub->store, u->number, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    call_say(c, "undone: %s", u->text);
    event_add(c->hub, EVENT_DEED, u->server, NULL, "undone: %s", u->text);
    call_remark(c, "its server has it again from its next wake on");
    call_done(c);
}

static void put_back(struct call *c, struct deed *d, const struct store_undo *u)
{
    struct store_snapshot from;
    char text[STORE_TEXT_SIZE];
    struct err e;

    if (store_snapshot_by_id(c->hub->store, u->snapshot, &from, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (u->deed == STORE_DID_RESIZE)
        d->capacity = from.capacity;
    (void)snprintf(text, sizeof(text), "undone: %.200s", u->text);
    deed_will_keep(d, STORE_BEFORE_RESTORE, false);
    deed_will_undo(d, STORE_DID_RESTORE, text);
    deed_restore_from(d, &from);
}

void deed_undo(struct call *c, const struct store_undo *u)
{
    struct store_volume v;
    struct deed *d;
    struct err e;

    if (u->deed == STORE_DID_DELETE && u->snapshot[0] == '\0') {
        bring_back(c, u);
        return;
    }
    if (store_volume_by_id(c->hub->store, u->volume, &v, &e) < 0 ||
        (d = deed_new(c, &v, &e)) == NULL) {
        call_fail(c, &e);
        return;
    }
    if (u->deed == STORE_DID_MOVE)
        deed_move(d, u->before);
    else
        put_back(c, d, u);
}
