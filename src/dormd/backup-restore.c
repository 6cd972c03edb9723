/* One server, from a backup into the hub that runs: its image becomes a snapshot of the volume, and
 * the volume is restored from it as from any other. */
#include "backup-restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/backups.h"
#include "dormd/deed.h"
#include "dormd/find.h"
#include "dormd/keeper.h"
#include "dormd/people.h"
#include "engine/local.h"

enum { NAMED_MOST = 12 };

/* What the first child found, in a page we share. */
struct found {
    char image[ROSTER_IMAGE_SIZE], hub[BACKUP_NAME_SIZE];
    uint64_t size, stored, major;
    int64_t created;
};

struct restoring {
    struct backup_job job;
    struct hub *hub;
    struct call *call;
    char target[PATH_MAX], name[BACKUP_NAME_SIZE];
    struct store_account a;
    struct store_snapshot s;
    struct found *found; /* owned: a page */
};

int backup_split(const char *path, char target[PATH_MAX], char *name, size_t name_size,
                 struct err *e)
{
    AUTO_FREE char *copy = mem_copy(path);
    size_t len = strlen(copy);
    char *slash;

    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    slash = strrchr(copy, '/');
    if (path[0] != '/' || slash[1] == '\0' || !str_copy(name, name_size, slash + 1))
        return err_set(e, ERR_INPUT, "this is not the path of a backup");
    slash[slash == copy ? 1 : 0] = '\0';
    return str_copy(target, PATH_MAX, copy)
               ? 0
               : err_set(e, ERR_INPUT, "this is not the path of a backup");
}

int backup_read_roster(const struct backup *b, struct roster *ret, struct err *e)
{
    char *text = NULL;
    size_t len;

    if (backup_read_file(b, ROSTER_FILE, ROSTER_MAX, &text, &len, e) < 0)
        return -1;
    return roster_parse(text, len, ret, e);
}

static void restoring_free(struct restoring *r)
{
    if (r->found != NULL)
        (void)munmap(r->found, sizeof(*r->found));
    free(r);
}

static void give_up(struct restoring *r, const struct err *e)
{
    struct call *c = r->call;

    restoring_free(r);
    call_finish(c, e);
}

static int start(struct restoring *r, const char *what, job_fn run, job_done_fn done, struct err *e)
{
    struct job_spec spec = {.loop = r->hub->loop,
                            .what = what,
                            .run = run,
                            .arg = r,
                            .done = done,
                            .owner = r,
                            .limit_ms = BACKUP_LIMIT_MS};

    return backups_job(r->hub, &r->job, &spec, e);
}

/* ---- looking, in a child ---- */

static int nobody(const struct roster *roster, const struct restoring *r, struct err *e)
{
    char names[200] = "", shown[80];
    unsigned n = 0;

    for (size_t i = 0; i < roster->n && n <= NAMED_MOST; i++) {
        size_t at = strlen(names);

        if (!str_is(roster->at[i].component, "postgres"))
            continue;
        (void)snprintf(names + at, sizeof(names) - at, "%s%s", n == 0 ? "" : ", ",
                       n == NAMED_MOST ? "..."
                                       : str_show(shown, sizeof(shown), roster->at[i].server,
                                                  strlen(roster->at[i].server)));
        n++;
    }
    (void)err_set(e, ERR_NOT_FOUND, "server \"%s\" is not in backup %s", r->a.server.name, r->name);
    return n == 0 ? err_hint(e, "there is none in it") : err_hint(e, "it has: %s", names);
}

static int find_in(const struct backup *b, struct restoring *r, struct err *e)
{
    struct roster roster;
    const struct roster_line *line;
    const struct backup_file *file;
    int done = 0;

    if (backup_read_roster(b, &roster, e) < 0)
        return -1;
    line = roster_find(&roster, r->a.server.name);
    if (line == NULL) {
        done = nobody(&roster, r, e);
    } else {
        (void)roster_image(r->found->image, line->volume);
        r->found->major = line->major;
        file = backup_find(b, r->found->image);
        if (file == NULL || file->kind != BACKUP_IMAGE) {
            done = err_set(e, ERR_INPUT, "backup %s has no image of server \"%s\"", r->name,
                           r->a.server.name);
        } else {
            r->found->size = file->size;
            r->found->stored = file->stored;
        }
    }
    roster_done(&roster);
    return done;
}

static int look(void *arg, struct err *e)
{
    struct restoring *r = arg;
    struct backup *b = NULL;
    int done;

    if (backup_open(r->target, r->name, &b, e) < 0)
        return -1;
    (void)snprintf(r->found->hub, sizeof(r->found->hub), "%s", backup_hub(b));
    r->found->created = backup_created(b);
    done = find_in(b, r, e);
    backup_close(b);
    return done;
}

/* ---- copying, in a child ---- */

/* What is copied must not take the room that running servers may still need. */
static int watch_room(void *owner, uint64_t done, uint64_t total, struct err *e)
{
    const struct restoring *r = owner;

    (void)done, (void)total;
    return local_room_for(r->hub->engine, r->s.class, 0, e);
}

static int copy_from(const struct backup *b, struct restoring *r, struct err *e)
{
    const struct engine *engine = r->hub->engine;
    AUTO_CLOSE int fd = local_import_begin(engine, r->s.class, r->s.id, e);

    if (fd < 0 || local_room_for(engine, r->s.class, r->found->stored, e) < 0 ||
        backup_extract_image(b, r->found->image, fd, watch_room, r, e) < 0)
        return -1;
    return local_import_finish(engine, r->s.class, fd, r->s.id, e);
}

static int copy(void *arg, struct err *e)
{
    struct restoring *r = arg;
    struct backup *b = NULL;
    int done;

    if (backup_open(r->target, r->name, &b, e) < 0)
        return -1;
    done = copy_from(b, r, e);
    backup_close(b);
    return done;
}

/* ---- in dormd ---- */

static void say_what(const struct restoring *r)
{
    struct call *c = r->call;
    struct fleet_view view = fleet_look(r->hub->fleet, r->a.server.id);
    char host[65] = "this machine", when[WHEN_SIZE], size[16];

    (void)gethostname(host, sizeof(host) - 1);
    call_say(c, "hub %s on %s:", r->hub->conf->hub, host);
    call_say(c, "  server \"%s\" of %s becomes what it was in backup %s of hub %s, made %s UTC, %s",
             r->a.server.name, r->a.user.login, r->name, r->found->hub,
             when_second(when, r->found->created), str_size(size, sizeof(size), r->found->size));
    call_say(c, "    %u sessions open now end; what it is now is kept and can be brought back",
             view.sessions);
}

static void copied(void *owner, int status, const struct err *e)
{
    struct restoring *r = owner;
    struct call *c = r->call;
    struct store_snapshot s = r->s;
    struct store_volume v;
    struct deed *d;
    struct err why;

    (void)status;
    backups_job_over(&r->job);
    if (e == NULL && INJECT("backup.copied", &why) < 0)
        e = &why;
    if (e == NULL && r->hub->going_down) {
        (void)err_set(&why, ERR_BUSY, "the hub is going down: nothing was restored");
        e = &why;
    }
    if (e != NULL) {
        keeper_drop(r->hub, &s);
        give_up(r, e);
        return;
    }
    /* it may have moved or gone meanwhile */
    if (store_volume_by_id(r->hub->store, s.volume, &v, &why) < 0 ||
        (d = deed_new(c, &v, &why)) == NULL) {
        keeper_drop(r->hub, &s);
        give_up(r, &why);
        return;
    }
    restoring_free(r);
    deed_restore(d, &s);
}

static int check_found(const struct restoring *r, struct err *e)
{
    if (r->hub->going_down)
        return err_set(e, ERR_BUSY, "the hub is going down: nothing was restored");
    if (r->found->major == 0 || r->found->major == (uint64_t)r->a.server.image)
        return 0;
    (void)err_set(e, ERR_INPUT, "in backup %s server \"%s\" is of PostgreSQL %llu, here of %d",
                  r->name, r->a.server.name, (unsigned long long)r->found->major,
                  r->a.server.image);
    return err_hint(e, "what one major version has written no other can read");
}

/* The row first: what is in a pool and not in the record would be lost to everybody. */
static int begin_copy(struct restoring *r, struct err *e)
{
    const struct hub *h = r->hub;

    r->s = (struct store_snapshot){
        .why = STORE_FROM_BACKUP,
        .capacity = r->found->size,
        .taken_at = r->found->created,
        .keep_until = clock_unix() + (int64_t)(h->conf->undo_ms / 1000),
    };
    rand_id(r->s.id);
    memcpy(r->s.volume, r->a.volume.id, ID_SIZE);
    (void)snprintf(r->s.class, sizeof(r->s.class), "%s", r->a.volume.class);
    if (store_snapshot_add(h->store, &r->s, e) < 0)
        return -1;
    call_remark(r->call, "checking and copying the backup; the server goes on meanwhile");
    if (start(r, "copy from a backup", copy, copied, e) == 0)
        return 0;
    (void)store_snapshot_remove(h->store, r->s.id, &(struct err){0});
    return -1;
}

static void looked(void *owner, int status, const struct err *e)
{
    struct restoring *r = owner;
    struct err why;

    (void)status;
    backups_job_over(&r->job);
    if (e == NULL && check_found(r, &why) < 0)
        e = &why;
    if (e != NULL) {
        give_up(r, e);
    } else if (call_arg(r->call, "dry") != NULL) {
        say_what(r);
        give_up(r, NULL);
    } else if (begin_copy(r, &why) < 0) {
        give_up(r, &why);
    }
}

/* ---- the question ---- */

static int understand(struct restoring *r, const char *backup, struct err *e)
{
    struct call *c = r->call;
    const struct store_volume *v = &r->a.volume;

    if (people_server(c->hub, call_arg(c, "name"), &r->a, e) < 0)
        return -1;
    if (c->hub->conf->server.ephemeral)
        return err_set(e, ERR_INPUT,
                       "the servers of this hub are ephemeral: each start is from "
                       "the template");
    if (v->path[0] != '\0' || !local_is_image(c->hub->engine, v->class)) {
        (void)err_set(e, ERR_INPUT, "volume \"%s\" is a directory: no image can be put there",
                      v->claim);
        return err_hint(e, v->path[0] != '\0' ? "copy its files back by hand"
                                              : "move it to a class of images first: dorm volume "
                                                "move");
    }
    if (strchr(backup, '/') != NULL)
        return backup_split(backup, r->target, r->name, sizeof(r->name), e);
    if (!str_copy(r->name, sizeof(r->name), backup))
        return err_set(e, ERR_INPUT, "this cannot be the name of a backup");
    return backups_target(c, r->target, e);
}

void backup_restore_server(struct call *c)
{
    const char *backup = call_need(c, "backup");
    struct restoring *r;
    struct err e;

    if (backup == NULL || call_need(c, "name") == NULL)
        return;
    r = mem_new(sizeof(*r));
    *r = (struct restoring){.hub = c->hub, .call = c};
    list_init(&r->job.node);
    call_hold(c); /* who asked may leave: what has begun is finished */
    r->found =
        mmap(NULL, sizeof(*r->found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r->found == MAP_FAILED) {
        r->found = NULL;
        (void)err_set_os(&e, errno, "could not get a page of memory");
        give_up(r, &e);
    } else if (understand(r, backup, &e) < 0 ||
               start(r, "look at a backup", look, looked, &e) < 0) {
        give_up(r, &e);
    }
}
