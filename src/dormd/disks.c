#include "disks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "claim/claim.h"
#include "conf/conf.h"

#define COMPONENT_EXTRA "extra-pvc"

/* ---- static volumes ---- */

struct offers {
    struct hub *hub;
    struct claim_offer *at; /* owned; texts borrow from rows and the hub file */
    struct store_volume *rows;
    size_t n;
};

static const struct conf_volume *conf_volume_of(const struct hub *h, const char *name)
{
    for (size_t i = 0; i < h->conf->volume_n; i++)
        if (str_is(h->conf->volumes[i].name, name))
            return &h->conf->volumes[i];
    return NULL;
}

static int note_offer(void *arg, const struct store_volume *v, const char *server,
                      const char *owner, struct err *e)
{
    struct offers *o = arg;

    (void)owner, (void)server, (void)e;
    if (v->path[0] == '\0')
        return 0;
    o->rows = mem_resize(o->rows, (o->n + 1) * sizeof(*o->rows));
    o->rows[o->n++] = *v;
    return 0;
}

static void offers_done(struct offers *o)
{
    free(o->at);
    free(o->rows);
}

static int offers_load(struct hub *h, struct offers *ret, struct err *e)
{
    struct offers o = {.hub = h};

    *ret = o;
    if (h->conf->volume_n == 0)
        return 0;
    if (store_volumes(h->store, NULL, note_offer, &o, e) < 0) {
        offers_done(&o);
        return -1;
    }
    o.at = mem_new((o.n + 1) * sizeof(*o.at));
    for (size_t i = 0; i < o.n; i++) {
        const struct store_volume *v = &o.rows[i];
        const struct conf_volume *c = conf_volume_of(h, v->claim);

        o.at[i] = (struct claim_offer){
            .name = v->claim,
            .class = v->class,
            .capacity = v->capacity,
            .modes = v->modes,
            .ref_hub = c == NULL ? "" : c->ref_hub,
            .ref_name = c == NULL ? "" : c->ref_name,
            .bound_to =
                v->phase == STORE_BOUND ? (v->server[0] != '\0' ? v->server : "others") : "",
            .released = v->phase == STORE_RELEASED || c == NULL,
        };
    }
    *ret = o;
    return 0;
}

int disks_sync_static(struct hub *h, struct err *e)
{
    for (size_t i = 0; i < h->conf->volume_n; i++) {
        const struct conf_volume *c = &h->conf->volumes[i];
        struct store_volume v = {.capacity = c->capacity,
                                 .modes = c->modes,
                                 .phase = STORE_AVAILABLE,
                                 .created = clock_unix()};

        if (store_volume_by_claim(h->store, c->name, &v, e) == 0)
            continue;
        if (e->kind != ERR_NOT_FOUND)
            return -1;
        if (!str_copy(v.claim, sizeof(v.claim), c->name) ||
            !str_copy(v.class, sizeof(v.class), c->class) ||
            !str_copy(v.path, sizeof(v.path), c->host_path))
            return err_set(e, ERR_CONFIG, "volume \"%s\" has a path that is too long", c->name);
        if (store_volume_add(h->store, &v, e) < 0)
            return err_prefix(e, "volume \"%s\"", c->name);
    }
    return 0;
}

/* 1 and the offer's number, 0 when a new volume is to be made, -1. */
static int choose(struct hub *h, const struct conf_claim *c, const char *name,
                  const struct offers *o, size_t *ret_i, struct err *e)
{
    struct claim want = {.name = name,
                         .hub = h->conf->hub,
                         .class = c->static_only ? "" : c->class,
                         .capacity = c->capacity,
                         .modes = c->modes};
    ssize_t i = claim_choose(&want, o->at, o->n, e);

    if (i >= 0 && (size_t)i < o->n) {
        *ret_i = (size_t)i;
        return 1;
    }
    if (i == CLAIM_REFUSED)
        return err_prefix(e, "claim \"%s\"", name);
    if (!c->static_only)
        return 0;
    (void)err_set(e, ERR_CONFIG, "claim \"%s\" has class \"\", and no volume of the hub file fits",
                  name);
    return err_hint(e, "add one under volumes:, or name a class");
}

int disks_choose_data(struct hub *h, const char *claim, char ret[ID_SIZE], struct err *e)
{
    struct offers o;
    size_t i = 0;
    int r;

    ret[0] = '\0';
    if (offers_load(h, &o, e) < 0)
        return -1;
    r = choose(h, &h->conf->server.claim, claim, &o, &i, e);
    if (r == 1 && i < o.n)
        memcpy(ret, o.rows[i].id, ID_SIZE);
    offers_done(&o);
    return r < 0 ? -1 : 0;
}

/* ---- the disks of one server ---- */

static int note_row(void *arg, const struct store_disk *disk, const struct store_volume *volume,
                    struct err *e)
{
    struct disks *d = arg;

    if (d->n == ENGINE_DISKS_MAX)
        return err_set(e, ERR_LIMIT, "a server has at most %d disks", ENGINE_DISKS_MAX);
    d->rows = mem_resize(d->rows, (d->n + 1) * sizeof(*d->rows));
    d->rows[d->n++] = (struct disks_row){*disk, *volume};
    return 0;
}

static bool is_shared(const struct conf_claim *c)
{
    return strstr(c->name, "{username}") == NULL;
}

static bool only_reads(unsigned modes)
{
    return (modes & (CONF_RWO | CONF_RWOP | CONF_RWX)) == 0;
}

/* A new row for a claim of the hub file that nothing fits yet. */
static int make_volume(struct hub *h, const struct store_account *a, const struct conf_claim *c,
                       const char *name, struct store_volume *ret, struct err *e)
{
    struct store_volume v = {.capacity = c->capacity,
                             .modes = c->modes,
                             .phase = STORE_PENDING,
                             .component = COMPONENT_EXTRA,
                             .created = clock_unix()};

    if (!str_copy(v.claim, sizeof(v.claim), name) || !str_copy(v.class, sizeof(v.class), c->class))
        return err_set(e, ERR_CONFIG, "the name \"%s\" is too long", name);
    if (!is_shared(c))
        memcpy(v.server, a->server.id, ID_SIZE);
    if (store_volume_add(h->store, &v, e) < 0)
        return -1;
    *ret = v;
    return 0;
}

static int provide(struct hub *h, const struct store_account *a, const struct conf_claim *c,
                   const char *name, struct store_volume *ret, struct err *e)
{
    struct offers o;
    size_t i = 0;
    int r;

    if (store_volume_by_claim(h->store, name, ret, e) == 0) {
        if (is_shared(c) ? ret->server[0] == '\0' : str_is(ret->server, a->server.id))
            return 0;
        return err_set(e, ERR_EXISTS, "claim \"%s\": a volume of that name is another server's",
                       name);
    }
    if (e->kind != ERR_NOT_FOUND || offers_load(h, &o, e) < 0)
        return -1;
    r = choose(h, c, name, &o, &i, e);
    if (r == 1 && i < o.n) {
        *ret = o.rows[i];
        r = store_volume_bind(h->store, ret->id, is_shared(c) ? "" : a->server.id, STORE_BOUND, e);
    } else if (r == 0) {
        r = make_volume(h, a, c, name, ret, e);
    }
    offers_done(&o);
    return r;
}

static bool row_is_for(const struct disks_row *r, const struct conf_claim *c, const char *name)
{
    return str_is(r->volume.claim, name) ||
           (r->volume.path[0] != '\0' && str_is(r->disk.mount, c->mount));
}

static bool same_disk(const struct store_disk *a, const struct store_disk *b)
{
    return a->place == b->place && a->read_only == b->read_only && str_is(a->volume, b->volume) &&
           str_is(a->mount, b->mount);
}

/* Put the disk of an extra claim at its place, making what is missing. */
static int settle_extra(struct hub *h, const struct store_account *a, const struct disks *had,
                        size_t i, struct disks *ret, struct err *e)
{
    const struct conf_claim *c = &h->conf->server.extra[i];
    char name[STORE_CLAIM_SIZE];
    struct disks_row row = {.disk = {.place = (uint32_t)i + 1}};
    const struct disks_row *old = NULL;

    if (!conf_expand(name, sizeof(name), c->name, a->user.login, h->conf->hub))
        return err_set(e, ERR_CONFIG, "the claim \"%s\" would be too long for \"%s\"", c->name,
                       a->user.login);
    for (size_t j = 1; j < had->n; j++)
        if (row_is_for(&had->rows[j], c, name))
            old = &had->rows[j];
    if (old != NULL)
        row.volume = old->volume;
    else if (provide(h, a, c, name, &row.volume, e) < 0)
        return -1;
    memcpy(row.disk.server, a->server.id, ID_SIZE);
    memcpy(row.disk.volume, row.volume.id, ID_SIZE);
    (void)snprintf(row.disk.mount, sizeof(row.disk.mount), "%s", c->mount);
    row.disk.read_only = only_reads(row.volume.modes) || only_reads(c->modes);
    if (old == NULL || !same_disk(&old->disk, &row.disk)) {
        if (old != NULL && store_disk_remove(h->store, a->server.id, row.volume.id, e) < 0)
            return -1;
        if (store_disk_add(h->store, &row.disk, e) < 0)
            return -1;
    }
    return note_row(ret, &row.disk, &row.volume, e);
}

static bool is_kept(const struct disks *d, const char *volume)
{
    for (size_t i = 0; i < d->n; i++)
        if (str_is(d->rows[i].volume.id, volume))
            return true;
    return false;
}

static int detach_rest(struct hub *h, const struct disks *had, const struct disks *now,
                       struct err *e)
{
    for (size_t j = 1; j < had->n; j++) {
        const struct disks_row *r = &had->rows[j];

        if (is_kept(now, r->volume.id))
            continue;
        log_info(NULL, "volume \"%s\" is no longer asked for by the hub file: detached, and kept",
                 r->volume.claim);
        if (store_disk_remove(h->store, r->disk.server, r->volume.id, e) < 0)
            return -1;
    }
    return 0;
}

/* It grows with the hub file; what was grown by command stays grown. */
static int take_capacity(struct hub *h, struct disks_row *r, uint64_t wished, struct err *e)
{
    if (r->volume.path[0] != '\0' || wished <= r->volume.capacity)
        return 0;
    r->volume.capacity = wished;
    return store_volume_set_capacity(h->store, r->volume.id, wished, e);
}

static int settle(struct hub *h, const struct store_account *a, struct disks *had,
                  struct disks *ret, struct err *e)
{
    const struct conf_server *server = &h->conf->server;

    if (had->n == 0)
        return err_set(e, ERR_INTERNAL, "server \"%s\" has no volume", a->server.name);
    if (note_row(ret, &had->rows[0].disk, &had->rows[0].volume, e) < 0 ||
        (a->server.kind == STORE_PERSONAL &&
         take_capacity(h, &ret->rows[0], server->claim.capacity, e) < 0))
        return -1;
    if (a->server.kind != STORE_PERSONAL)
        return 0; /* what the hub file says is about the users' own */
    for (size_t i = 0; i < server->extra_n; i++)
        if (settle_extra(h, a, had, i, ret, e) < 0 ||
            take_capacity(h, &ret->rows[ret->n - 1], server->extra[i].capacity, e) < 0)
            return -1;
    return detach_rest(h, had, ret, e);
}

static void describe(struct disks *d, const struct store_account *a)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct disks_row *r = &d->rows[i];

        d->at[i] = (struct engine_disk){
            .volume = r->volume.id,
            .class = r->volume.class,
            .path = r->volume.path[0] == '\0' ? NULL : r->volume.path,
            .mount = i == 0 ? NULL : r->disk.mount,
            .capacity = r->volume.capacity,
            .read_only = r->disk.read_only,
            .shared = r->volume.server[0] == '\0',
            .kept = i == 0 ? a->server.named : r->volume.phase == STORE_BOUND,
        };
    }
}

/* What is written to the old place while a copy is on its way would be lost. */
static int none_moves(const struct disks *d, struct err *e)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->rows[i].volume.moving_to[0] != '\0') {
            (void)err_set(e, ERR_BUSY, "volume \"%s\" is being moved to class \"%s\"",
                          d->rows[i].volume.claim, d->rows[i].volume.moving_to);
            return err_hint(e, "Try again when it is there.");
        }
    return 0;
}

int disks_of(struct hub *h, const struct store_account *a, struct disks *ret, struct err *e)
{
    struct disks had = {0};
    int r;

    *ret = (struct disks){0};
    r = store_disks(h->store, a->server.id, note_row, &had, e);
    if (r >= 0 && store_begin(h->store, e) < 0)
        r = -1;
    else if (r >= 0) {
        r = settle(h, a, &had, ret, e);
        if (r < 0)
            store_rollback(h->store);
        else
            r = store_commit(h->store, e);
    }
    disks_done(&had);
    if (r >= 0)
        r = none_moves(ret, e);
    if (r < 0) {
        disks_done(ret);
        return -1;
    }
    describe(ret, a);
    return 0;
}

void disks_done(struct disks *d)
{
    free(d->rows);
    *d = (struct disks){0};
}

/* ---- what a new hub file cannot change ---- */

struct comparing {
    struct hub *hub;
    const struct conf *now;
    disks_remark_fn fn;
    void *arg;
};

static const struct conf_claim *claim_of(const struct conf *c, const struct store_volume *v,
                                         const char *owner)
{
    char name[STORE_CLAIM_SIZE];

    if (str_is(v->component, "postgres"))
        return &c->server.claim;
    for (size_t i = 0; i < c->server.extra_n; i++)
        if (conf_expand(name, sizeof(name), c->server.extra[i].name, owner, c->hub) &&
            str_is(name, v->claim))
            return &c->server.extra[i];
    return NULL;
}

static int compare_one(void *arg, const struct store_volume *v, const char *server,
                       const char *owner, struct err *e)
{
    const struct comparing *x = arg;
    const struct conf_claim *c = claim_of(x->now, v, owner);
    const struct conf_claim *was = claim_of(x->hub->conf, v, owner);
    char text[400], had[16], wanted[16];

    (void)server, (void)e;
    if (c == NULL || v->path[0] != '\0')
        return 0;
    if (!str_is(c->class, v->class) && (was == NULL || !str_is(c->class, was->class))) {
        (void)snprintf(
            text, sizeof(text),
            "volume \"%.80s\" stays in class \"%.80s\": a class is fixed when a volume is made "
            "(dorm volume move %.80s --to %.31s)",
            v->claim, v->class, v->claim, c->class);
        x->fn(x->arg, text);
    }
    if (c->capacity < v->capacity && (was == NULL || c->capacity != was->capacity)) {
        (void)snprintf(text, sizeof(text),
                       "volume \"%.80s\" keeps its %s: a volume never shrinks to %s", v->claim,
                       str_size(had, sizeof(had), v->capacity),
                       str_size(wanted, sizeof(wanted), c->capacity));
        x->fn(x->arg, text);
    }
    return 0;
}

int disks_compare(struct hub *h, const struct conf *now, disks_remark_fn fn, void *arg,
                  struct err *e)
{
    struct comparing x = {.hub = h, .now = now, .fn = fn, .arg = arg};

    return store_volumes(h->store, NULL, compare_one, &x, e);
}
