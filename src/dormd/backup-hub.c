/*
 * A whole hub from a backup, where there is none. The state directory gets, in this order: a file
 * that says that this has begun, and of which backup; the record by another name; secrets, hub
 * file; volumes, each named when it is whole; and last the record gets its name. Until then no
 * dormd starts there, and a second run goes on where the first was killed.
 */
#include "backup-restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "conf/conf.h"
#include "dormd/classes.h"
#include "dormd/identity.h"
#include "store/store.h"

#define RECORD   IDENTITY_RESTORING /* the record until it counts */
#define BEGUN    IDENTITY_BEGUN
#define OLD_CONF "before-restore"

enum { SMALL_MAX = 1 << 20, RECORD_MAX = 1 << 30, BEGUN_MAX = 256 };

/* How far it is, as written in BEGUN. */
enum stage {
    STAGE_BEGUN,
    STAGE_FILES, /* secrets and hub file are written: that may be changed by hand from here on */
    STAGE_POOLS, /* the pools were empty: what is in them is ours */
};

struct revival {
    struct hub *hub;
    struct backup *backup; /* owned */
    char name[BACKUP_NAME_SIZE];
    enum stage stage;
    struct roster roster;        /* owned */
    struct class_texts *texts;   /* owned; these three are one for each class */
    struct vol_place_spec *spec; /* owned */
    struct vol_place *place;     /* owned */
    size_t n;
    unsigned tenths; /* of the check, said already */
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)putchar('\n');
    (void)fflush(stdout);
}

/* ---- the backup ---- */

static int said_progress(void *owner, uint64_t done, uint64_t total, struct err *e)
{
    struct revival *r = owner;
    unsigned tenths = total == 0 ? 10 : (unsigned)(done / (total / 10 + 1));

    (void)e;
    if (tenths > r->tenths) {
        r->tenths = tenths;
        say("  checked %u0%%", tenths);
    }
    return 0;
}

static int check_backup(struct revival *r, struct err *e)
{
    static const char *const needed[] = {"record.db", "hub.yaml", "password.key", "mock.key",
                                         "tls-ca.crt"};
    char when[WHEN_SIZE];

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (backup_find(r->backup, needed[i]) == NULL) {
            (void)err_set(e, ERR_INPUT, "backup %s is not of a whole hub: it has no \"%s\"",
                          r->name, needed[i]);
            return err_hint(e, "such a one is made by: dorm backup create --all");
        }
    say("backup %s of hub %s, made %s UTC: checking all of it", r->name, backup_hub(r->backup),
        when_second(when, backup_created(r->backup)));
    if (backup_verify(r->backup, said_progress, r, e) < 0)
        return -1;
    return backup_read_roster(r->backup, &r->roster, e);
}

/* ---- how far it is ---- */

static int write_stage(struct revival *r, enum stage stage, struct err *e)
{
    AUTO_FREE char *text =
        mem_printf("%d %lld %s\n", (int)stage, (long long)backup_created(r->backup), r->name);

    if (fd_write_file(r->hub->state_fd, BEGUN, 0600, 0, 0, text, strlen(text), e) < 0)
        return -1;
    r->stage = stage;
    return 0;
}

/* 1: of this backup, 0: nothing that matters, -1. */
static int read_stage(struct revival *r, struct err *e)
{
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *ours = mem_printf(" %lld %s\n", (long long)backup_created(r->backup), r->name);
    int len = fd_read_file(r->hub->state_fd, BEGUN, BEGUN_MAX, &text, e);

    if (len < 0)
        return e->os_errno == ENOENT ? 0 : -1;
    if (len > 1 && str_is(text + 1, ours) && text[0] >= '0' && text[0] <= '2') {
        r->stage = (enum stage)(text[0] - '0');
        return 1;
    }
    if (text[0] != '2')
        return 0;
    text[strcspn(text, "\n")] = '\0';
    (void)err_set(e, ERR_EXISTS,
                  "another restore was begun in \"%.120s\" and is not finished: %.60s",
                  r->hub->state_dir, strrchr(text, ' ') == NULL ? "" : strrchr(text, ' ') + 1);
    return err_hint(e, "finish it with that backup, or restore this one into another directory");
}

/* ---- the record ---- */

static int remove_record(const struct hub *h, struct err *e)
{
    static const char *const names[] = {RECORD, RECORD "-wal", RECORD "-shm"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (unlinkat(h->state_fd, names[i], 0) < 0 && errno != ENOENT)
            return err_set_os(e, errno, "could not remove \"%s/%s\"", h->state_dir, names[i]);
    return 0;
}

static int write_record(struct revival *r, struct err *e)
{
    AUTO_FREE char *data = NULL;
    size_t len;

    return remove_record(r->hub, e) < 0 ||
                   backup_read_file(r->backup, "record.db", RECORD_MAX, &data, &len, e) < 0 ||
                   fd_write_file(r->hub->state_fd, RECORD, 0600, 0, 0, data, len, e) < 0
               ? -1
               : INJECT("restore.record", e);
}

static int open_record(struct revival *r, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/" RECORD, r->hub->state_dir);
    int same = read_stage(r, e);

    if (same < 0)
        return -1;
    if (same == 0 && write_stage(r, STAGE_BEGUN, e) < 0)
        return -1;
    if (r->stage == STAGE_BEGUN && write_record(r, e) < 0)
        return -1;
    if (r->stage != STAGE_BEGUN)
        say("going on with a restore that was interrupted");
    return store_open(path, &r->hub->store, e);
}

/* ---- secrets and the hub file ---- */

static int write_small(struct revival *r, const char *name, const char *path, mode_t mode,
                       struct err *e)
{
    AUTO_FREE char *data = NULL;
    size_t len;

    if (backup_find(r->backup, name) == NULL)
        return 0; /* of those that may be missing: the others were looked for */
    if (backup_read_file(r->backup, name, SMALL_MAX, &data, &len, e) < 0)
        return -1;
    return fd_write_file(r->hub->state_fd, path, mode, 0, 0, data, len, e);
}

/* What is there and says something else may have been written with care. */
static int keep_conf(const struct hub *h, const char *data, struct err *e)
{
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *kept = mem_printf("%s." OLD_CONF, h->conf_path);
    int len = fd_read_file(AT_FDCWD, h->conf_path, SMALL_MAX, &text, e);

    if (len < 0)
        return e->os_errno == ENOENT ? 0 : -1;
    if (str_is(text, data))
        return 0;
    if (fd_write_file(AT_FDCWD, kept, 0644, 0, 0, text, (size_t)len, e) < 0)
        return -1;
    say("the hub file that was there is now %s", kept);
    return 0;
}

static int write_conf(struct revival *r, struct err *e)
{
    AUTO_FREE char *data = NULL;
    struct hub *h = r->hub;
    size_t len;

    if (h->default_place && mkdir("/etc/dormouse", 0755) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make /etc/dormouse");
    return backup_read_file(r->backup, "hub.yaml", SMALL_MAX, &data, &len, e) < 0 ||
                   keep_conf(h, data, e) < 0
               ? -1
               : fd_write_file(AT_FDCWD, h->conf_path, 0644, 0, 0, data, len, e);
}

static int write_files(struct revival *r, struct err *e)
{
    AUTO_CLOSE int tls = -1;

    if (r->stage >= STAGE_FILES)
        return 0;
    tls = fd_open_dir(r->hub->state_fd, "tls", 0711, e);
    if (tls < 0 || write_small(r, "password.key", "password.key", 0600, e) < 0 ||
        write_small(r, "mock.key", "mock.key", 0600, e) < 0 ||
        write_small(r, "tls-ca.key", "tls/ca.key", 0600, e) < 0 ||
        write_small(r, "tls-ca.crt", "tls/ca.crt", 0644, e) < 0 ||
        write_small(r, "tls-server.key", "tls/server.key", 0600, e) < 0 ||
        write_small(r, "tls-server.crt", "tls/server.crt", 0644, e) < 0 || write_conf(r, e) < 0)
        return -1;
    return write_stage(r, STAGE_FILES, e) < 0 ? -1 : INJECT("restore.files", e);
}

static int load_conf(struct revival *r, struct err *e)
{
    static struct conf_problems problems;
    struct hub *h = r->hub;

    if (conf_load(h->conf_path, &h->conf, &problems, e) == 0)
        return 0;
    return e->hint[0] != '\0' ? -1 : err_hint(e, "mend %.120s, then restore again", h->conf_path);
}

/* ---- pools ---- */

static int found_image(void *owner, const struct vol_image *image, struct err *e)
{
    const struct vol_place *p = owner;

    (void)image;
    (void)err_set(e, ERR_EXISTS, "the pool %.200s holds volumes of this hub already: left as it is",
                  p->path);
    return err_hint(e, "move it away, or give the class another pool in the hub file");
}

/* The disks are others than when the backup was made. */
static int open_place(struct revival *r, size_t i, const char *own, struct err *e)
{
    struct hub *h = r->hub;
    const struct conf_class *c = &h->conf->storage[i];

    if (r->stage < STAGE_POOLS && class_record(h, c->name, "", e) < 0)
        return -1;
    if (class_describe(h, c, own, &r->texts[i], &r->spec[i], e) < 0)
        return -1;
    r->spec[i].hub = r->spec[i].pool.hub = h->id;
    if (vol_place_open(&r->spec[i], &r->place[i], e) < 0) {
        (void)err_prefix(e, "storage class \"%s\"", c->name);
        return e->hint[0] != '\0' ? -1
                                  : err_hint(e, "see %.120s, then restore again", h->conf_path);
    }
    r->n = i + 1;
    if (r->stage < STAGE_POOLS && r->place[i].driver == VOL_IMAGE &&
        vol_place_list(&r->place[i], found_image, &r->place[i], e) < 0)
        return -1;
    return class_record(h, c->name, r->place[i].id, e);
}

static int open_places(struct revival *r, struct err *e)
{
    AUTO_FREE char *own = mem_printf("%s/pool", r->hub->state_dir);
    size_t n = r->hub->conf->storage_n;

    r->texts = mem_new(n * sizeof(*r->texts));
    r->spec = mem_new(n * sizeof(*r->spec));
    r->place = mem_new(n * sizeof(*r->place));
    say("opening the storage classes");
    for (size_t i = 0; i < n; i++)
        if (open_place(r, i, own, e) < 0)
            return -1;
    if (r->stage < STAGE_POOLS && write_stage(r, STAGE_POOLS, e) < 0)
        return -1;
    return INJECT("restore.pools", e);
}

/* Given back: the dormd that comes opens them as its own. */
static void close_places(struct revival *r)
{
    struct err e;

    for (size_t i = 0; i < r->n; i++) {
        vol_place_done(&r->place[i]);
        (void)vol_place_close(&r->spec[i], &e);
    }
}

/* ---- volumes ---- */

static const struct vol_place *place_of(const struct revival *r, const struct roster_line *line,
                                        struct err *e)
{
    char shown[80];

    for (size_t i = 0; i < r->n; i++)
        if (str_is(r->spec[i].class, line->class) && r->place[i].driver == VOL_IMAGE)
            return &r->place[i];
    (void)err_set(e, ERR_CONFIG, "there is no storage class \"%s\" of images for volume %s",
                  str_show(shown, sizeof(shown), line->class, strlen(line->class)), line->volume);
    (void)err_hint(e, "add it to %.120s, then restore again", r->hub->conf_path);
    return NULL;
}

static int import(struct revival *r, const struct vol_place *p, const struct roster_line *line,
                  struct err *e)
{
    AUTO_CLOSE int fd = vol_import_begin(&p->pool, line->volume, e);
    char image[ROSTER_IMAGE_SIZE];

    if (fd < 0 ||
        backup_extract_image(r->backup, roster_image(image, line->volume), fd, NULL, NULL, e) < 0)
        return -1;
    return vol_import_finish(&p->pool, fd, line->volume, false, e);
}

static int bring(struct revival *r, size_t i, struct err *e)
{
    const struct roster_line *line = &r->roster.at[i];
    const struct vol_place *p = place_of(r, line, e);
    char shown[80], size[16];
    int there;

    if (p == NULL || (there = vol_place_exists(p, line->volume, e)) < 0)
        return -1;
    say("  %zu of %zu: %s, %s%s", i + 1, r->roster.n,
        str_show(shown, sizeof(shown), line->claim, strlen(line->claim)),
        str_size(size, sizeof(size), line->capacity), there == 1 ? " (there already)" : "");
    if (there == 0 && import(r, p, line, e) < 0) {
        if (e->kind == ERR_NO_SPACE)
            (void)err_hint(e, "class \"%.60s\" needs more room; then restore again", line->class);
        return err_prefix(e, "volume %s", shown);
    }
    return INJECT("restore.imported", e);
}

/* ---- the record is made to fit what is there ---- */

struct shots {
    char (*at)[ID_SIZE]; /* owned */
    size_t n;
};

static int note_shot(void *arg, const struct store_snapshot *s, const struct store_volume *v,
                     struct err *e)
{
    struct shots *x = arg;

    (void)v, (void)e;
    x->at = mem_resize(x->at, (x->n + 1) * sizeof(*x->at));
    memcpy(x->at[x->n++], s->id, ID_SIZE);
    return 0;
}

/* Snapshots are not in a backup. */
static int forget_snapshots(struct store *s, struct err *e)
{
    struct shots shots = {.n = 0};
    int done = store_snapshots(s, NULL, note_shot, &shots, e);

    for (size_t i = 0; done >= 0 && i < shots.n; i++)
        done = store_snapshot_remove(s, shots.at[i], e);
    free(shots.at);
    return done < 0 ? -1 : 0;
}

/* The record is a little older than the images: a volume may have grown, a server got its name. */
static int fit_volume(const struct revival *r, const struct roster_line *line, struct err *e)
{
    struct store *s = r->hub->store;
    char image[ROSTER_IMAGE_SIZE];
    const struct backup_file *f = backup_find(r->backup, roster_image(image, line->volume));
    struct store_volume v;

    if (store_volume_by_id(s, line->volume, &v, e) < 0)
        return err_prefix(e, "the record does not know volume %s", line->volume);
    if (!str_is(v.class, line->class))
        return err_set(e, ERR_INPUT, "the record has volume %s in another class", line->volume);
    if (f != NULL && f->size > v.capacity && store_volume_set_capacity(s, v.id, f->size, e) < 0)
        return -1;
    return str_is(v.component, "postgres") && v.server[0] != '\0'
               ? store_server_set_named(s, v.server, false, e)
               : 0;
}

static int fit_record(struct revival *r, struct err *e)
{
    struct store *s = r->hub->store;
    int done = store_begin(s, e);

    if (done < 0)
        return -1;
    done = forget_snapshots(s, e);
    for (size_t i = 0; done >= 0 && i < r->roster.n; i++)
        done = fit_volume(r, &r->roster.at[i], e);
    if (done >= 0)
        return store_commit(s, e);
    store_rollback(s);
    return -1;
}

/* From here on there is a hub. */
static int name_record(struct revival *r, struct err *e)
{
    struct hub *h = r->hub;
    struct stat log;

    store_close(h->store);
    h->store = NULL;
    if (fstatat(h->state_fd, RECORD "-wal", &log, AT_SYMLINK_NOFOLLOW) == 0 && log.st_size > 0)
        return err_set(e, ERR_OS, "the record in \"%s\" could not be closed", h->state_dir);
    if (renameat2(h->state_fd, RECORD, h->state_fd, "record.db", RENAME_NOREPLACE) < 0 ||
        fsync(h->state_fd) < 0)
        return err_set_os(e, errno, "could not name the record in \"%s\"", h->state_dir);
    if (INJECT("restore.named", e) < 0)
        return -1;
    identity_restored(h);
    return 0;
}

/* ---- all of it ---- */

static int revive(struct revival *r, struct err *e)
{
    if (check_backup(r, e) < 0 || open_record(r, e) < 0 || identity_check_alone(r->hub, e) < 0 ||
        write_files(r, e) < 0 || load_conf(r, e) < 0 || open_places(r, e) < 0)
        return -1;
    say("restoring %zu volume%s", r->roster.n, r->roster.n == 1 ? "" : "s");
    for (size_t i = 0; i < r->roster.n; i++)
        if (bring(r, i, e) < 0)
            return -1;
    return fit_record(r, e) < 0 ? -1 : name_record(r, e);
}

static int revive_alone(struct revival *r, const char *path, struct err *e)
{
    char target[PATH_MAX];

    if (flock(r->hub->state_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(e, ERR_BUSY, "another restore works in \"%s\"", r->hub->state_dir)
                   : err_set_os(e, errno, "could not lock \"%s\"", r->hub->state_dir);
    if (backup_split(path, target, r->name, sizeof(r->name), e) < 0 ||
        backup_open(target, r->name, &r->backup, e) < 0)
        return -1;
    return revive(r, e);
}

int backup_restore_hub(struct hub *h, const char *path, struct err *e)
{
    struct revival r = {.hub = h};
    int done = revive_alone(&r, path, e);

    close_places(&r);
    free(r.texts);
    free(r.spec);
    free(r.place);
    roster_done(&r.roster);
    backup_close(r.backup);
    store_close(h->store);
    h->store = NULL;
    if (done == 0)
        say("hub %s is restored", h->conf->hub);
    conf_free(h->conf);
    h->conf = NULL;
    return done;
}
