#include "backup-create.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/events.h"
#include "dormd/keeper.h"
#include "dormd/people.h"
#include "engine/local.h"

enum { LEFTOVER_S = 24 * 3600 };

void backup_tell(struct backup_run *r, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (r->call != NULL)
        call_remark(r->call, "%s", text);
    else
        log_warn(NULL, "backup: %s", text);
}

void backup_run_free(struct backup_run *r)
{
    if (r == NULL)
        return;
    if (r->result != NULL)
        (void)munmap(r->result, sizeof(*r->result));
    free(r->items);
    free(r);
}

/* ---- the end ---- */

static void remember(struct hub *h, const char *key, const char *value)
{
    struct err e;

    if (store_setting_set(h->store, key, value, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

/* Only of the whole hub is it remembered how it went: that is what brings a hub back. */
static void remember_result(const struct backup_run *r, const struct err *e)
{
    char when[32], place[PATH_MAX + BACKUP_NAME_SIZE];

    if (!r->all)
        return;
    remember(r->hub, "backup.last_error", e == NULL ? "" : e->msg);
    if (e != NULL)
        event_add(r->hub, EVENT_BACKUP, NULL, NULL, "no backup: %s", e->msg);
    if (e != NULL)
        return;
    (void)snprintf(when, sizeof(when), "%lld", (long long)r->created);
    (void)snprintf(place, sizeof(place), "%s/%s", r->target, r->name);
    remember(r->hub, "backup.last_place", place);
    remember(r->hub, "backup.last_good", when);
}

static void say_done(const struct backup_run *r)
{
    char size[16], text[400];

    (void)snprintf(text, sizeof(text), "backup %s: %llu volume%s, %s, in %.200s", r->name,
                   (unsigned long long)r->result->images, r->result->images == 1 ? "" : "s",
                   str_size(size, sizeof(size), r->result->bytes), r->target);
    log_info(NULL, "%s", text);
    event_add(r->hub, EVENT_BACKUP, NULL, NULL, "%s", text);
    if (r->call == NULL)
        return;
    call_say(r->call, "%s", text);
    if (r->result->pruned > 0)
        call_remark(r->call, "older ones removed: %d (backup.keep)", r->result->pruned);
}

static void over(struct backup_run *r, const struct err *e)
{
    struct hub *h = r->hub;

    h->backups->run = NULL;
    (void)unlinkat(h->state_fd, BACKUP_RECORD, 0);
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].taken)
            keeper_drop(h, &r->items[i].shot);
    remember_result(r, e);
    if (e != NULL)
        log_warn(NULL, "backup %s: %s", r->name, e->msg);
    if (r->call != NULL)
        call_finish(r->call, e);
    backup_run_free(r);
}

static int partly(const struct backup_run *r, struct err *e)
{
    (void)err_set(e, r->why.kind, "backup %s is without %zu volume%s: %.180s", r->name, r->left_out,
                  r->left_out == 1 ? "" : "s", r->why.msg);
    return err_hint(e, "the others are in it");
}

static void written(void *owner, int status, const struct err *e)
{
    struct backup_run *r = owner;
    struct err part;

    (void)status;
    backups_job_over(&r->job);
    if (e == NULL)
        say_done(r);
    if (e == NULL && r->left_out > 0) {
        (void)partly(r, &part);
        e = &part;
    }
    over(r, e);
}

/* ---- writing, in a child ---- */

static int write_it(void *arg, struct err *e)
{
    struct backup_run *r = arg;
    int done;

    if (r->call != NULL)
        r->call->conn.io.started = false; /* the epoll is the parent's too: leave it alone */
    done = backup_write(r, e);
    if (r->call != NULL && r->call->conn.fd >= 0)
        (void)ipc_flush_now(&r->call->conn); /* whoever asked may have left */
    return done;
}

static void begin_writing(struct backup_run *r)
{
    struct job_spec spec = {.loop = r->hub->loop,
                            .what = "write a backup",
                            .run = write_it,
                            .arg = r,
                            .done = written,
                            .owner = r,
                            .limit_ms = BACKUP_LIMIT_MS};
    struct err e;

    if (INJECT("backup.snapped", &e) < 0 || backups_job(r->hub, &r->job, &spec, &e) < 0)
        over(r, &e);
}

/* ---- snapshots, one after the other ---- */

static void leave_out(struct backup_run *r, const char *claim, const struct err *e)
{
    r->left_out++;
    r->why = *e;
    backup_tell(r, "not in this backup: volume %s: %s", claim, e->msg);
}

static void go_on(struct backup_run *r);

static void snapped(void *owner, const struct engine_outcome *outcome, const struct err *e)
{
    struct backup_run *r = owner;
    struct backup_item *x = &r->items[r->at++];
    struct err why;

    if (e == NULL && store_snapshot_taken(r->hub->store, x->shot.id, outcome->extents,
                                          outcome->took_us, &why) < 0)
        e = &why;
    x->taken = e == NULL;
    if (e != NULL) {
        leave_out(r, x->claim, e);
        keeper_drop(r->hub, &x->shot);
    }
    go_on(r);
}

/* A row that is kept for so long only is one that a dormd that is killed leaves to the next. */
static int snap(struct backup_run *r, struct backup_item *x, struct err *e)
{
    struct engine_task task = {.what = ENGINE_SNAPSHOT,
                               .server = "",
                               .volume = x->shot.volume,
                               .class = x->shot.class,
                               .snapshot = x->shot.id};
    struct engine *engine = r->hub->engine;

    rand_id(x->shot.id);
    x->shot.why = STORE_BY_HAND;
    x->shot.taken_at = clock_unix();
    x->shot.keep_until = x->shot.taken_at + LEFTOVER_S;
    if (store_snapshot_add(r->hub->store, &x->shot, e) < 0)
        return -1;
    if (engine->ops->work(engine, &task, snapped, r, e) == 0)
        return 0;
    (void)store_snapshot_remove(r->hub->store, x->shot.id, &(struct err){0});
    return -1;
}

static void go_on(struct backup_run *r)
{
    struct err e;

    for (; r->at < r->n; r->at++) {
        if (r->hub->going_down)
            break;
        if (snap(r, &r->items[r->at], &e) == 0)
            return;
        leave_out(r, r->items[r->at].claim, &e);
    }
    if (r->hub->going_down) {
        (void)err_set(&e, ERR_BUSY, "the hub is going down: no backup was made");
        over(r, &e);
        return;
    }
    begin_writing(r);
}

/* ---- what is to be in it ---- */

struct choosing {
    struct backup_run *run;
    size_t files, ephemeral; /* volumes that are not in it for these reasons */
    char file_class[STORE_CLAIM_SIZE];
};

static bool is_wanted(const struct backup_run *r, const char *server)
{
    const struct call *c = r->call;

    if (r->all)
        return true;
    for (size_t i = 1; i + 1 < c->words_n; i += 2)
        if (str_is(c->words[i], "server") && str_is(c->words[i + 1], server))
            return true;
    return false;
}

static void add_item(struct backup_run *r, const struct store_volume *v, const char *server,
                     const char *owner)
{
    struct backup_item *x;
    struct store_server s;
    struct err e;

    r->items = mem_resize(r->items, (r->n + 1) * sizeof(*r->items));
    x = &r->items[r->n++];
    *x = (struct backup_item){.shot = {.capacity = v->capacity}};
    memcpy(x->shot.volume, v->id, ID_SIZE);
    (void)snprintf(x->shot.class, sizeof(x->shot.class), "%s", v->class);
    (void)snprintf(x->claim, sizeof(x->claim), "%s", v->claim);
    (void)snprintf(x->component, sizeof(x->component), "%s", v->component);
    (void)snprintf(x->server, sizeof(x->server), "%s", server);
    (void)snprintf(x->owner, sizeof(x->owner), "%s", owner);
    if (v->server[0] == '\0' || store_server_by_id(r->hub->store, v->server, &s, &e) < 0)
        return;
    x->major = str_is(v->component, "postgres") ? (uint64_t)s.image : 0;
    x->shot.running = fleet_runs(r->hub->fleet, v->server);
}

static int choose_one(void *arg, const struct store_volume *v, const char *server,
                      const char *owner, struct err *e)
{
    struct choosing *x = arg;
    struct hub *h = x->run->hub;
    struct err why;
    int there;

    (void)e;
    if (!is_wanted(x->run, server))
        return 0;
    if (v->path[0] != '\0') {
        backup_tell(x->run,
                    "not in this backup: volume %s is the directory %s, back it up as files",
                    v->claim, v->path);
        return 0;
    }
    if (h->conf->server.ephemeral && str_is(v->component, "postgres")) {
        x->ephemeral++;
        return 0;
    }
    there = local_has(h->engine, v->class, v->id, &why);
    if (there < 0) {
        leave_out(x->run, v->claim, &why);
    } else if (there > 0 && !local_is_image(h->engine, v->class)) {
        x->files++;
        (void)snprintf(x->file_class, sizeof(x->file_class), "%s", v->class);
    } else if (there > 0) {
        add_item(x->run, v, server, owner);
    }
    return 0;
}

static int check_names(const struct backup_run *r, struct err *e)
{
    const struct call *c = r->call;
    struct store_account a;
    size_t n = 0;

    for (size_t i = 1; !r->all && i + 1 < c->words_n; i += 2)
        if (str_is(c->words[i], "server")) {
            n++;
            if (people_server(r->hub, c->words[i + 1], &a, e) < 0)
                return -1;
        }
    return r->all || n > 0 ? 0 : err_set(e, ERR_INPUT, "no server is named");
}

static int choose(struct backup_run *r, struct err *e)
{
    struct choosing x = {.run = r};

    if (check_names(r, e) < 0 || store_volumes(r->hub->store, NULL, choose_one, &x, e) < 0)
        return -1;
    if (x.files > 0)
        backup_tell(r,
                    "not in this backup: %zu volume%s: class %s is a directory, back it up as "
                    "files",
                    x.files, x.files == 1 ? "" : "s", x.file_class);
    if (x.ephemeral > 0)
        backup_tell(r, "not in this backup: the data of %zu server%s, which %s ephemeral",
                    x.ephemeral, x.ephemeral == 1 ? "" : "s", x.ephemeral == 1 ? "is" : "are");
    if (r->n > 0 || r->all)
        return 0;
    if (r->left_out > 0) {
        *e = r->why;
        return -1;
    }
    return err_set(e, ERR_NOT_FOUND,
                   "there is nothing to back up: no image was made for what was named yet");
}

/* ---- the beginning ---- */

/* The record first: it is as of a moment before the snapshots, and does not know of them. */
static int copy_record(struct hub *h, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" BACKUP_RECORD, h->state_dir);

    people_flush(h);
    if (unlinkat(h->state_fd, BACKUP_RECORD, 0) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not replace \"%s\"", path);
    return store_backup(h->store, path, e);
}

static int prepare(struct backup_run *r, struct err *e)
{
    char when[WHEN_SIZE];

    (void)snprintf(r->name, sizeof(r->name), "%s-%s", r->hub->conf->hub,
                   when_name(when, r->created));
    r->result =
        mmap(NULL, sizeof(*r->result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r->result == MAP_FAILED) {
        r->result = NULL;
        return err_set_os(e, errno, "could not get a page of memory");
    }
    return choose(r, e) < 0 || (r->all && copy_record(r->hub, e) < 0) ? -1 : 0;
}

void backup_create(struct hub *h, struct call *c)
{
    struct backup_run *r = mem_new(sizeof(*r));
    struct err e;

    *r = (struct backup_run){.hub = h, .call = c, .created = clock_unix()};
    list_init(&r->job.node);
    r->all = c == NULL || call_arg(c, "all") != NULL;
    if (c != NULL)
        call_hold(c); /* who asked may leave: the backup is made all the same */
    if (h->backups->run != NULL) {
        (void)err_set(&e, ERR_BUSY, "backup %s is being made at this moment",
                      h->backups->run->name);
        if (c != NULL)
            call_finish(c, &e);
        backup_run_free(r);
        return;
    }
    h->backups->run = r;
    if (c == NULL)
        (void)snprintf(r->target, sizeof(r->target), "%s", h->conf->backup.target);
    else if (backups_target(c, r->target, &e) < 0) {
        over(r, &e);
        return;
    }
    if (prepare(r, &e) < 0)
        over(r, &e);
    else
        go_on(r);
}
