/* In a child: from snapshots and the hub's own files to a backup on a target. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/backup-create.h"
#include "dormd/roster.h"
#include "engine/local.h"

/* ---- is the target worth anything? ---- */

struct nearness {
    dev_t dev;
    bool near;
};

static void look_at_place(void *owner, const struct local_place_view *p)
{
    struct nearness *n = owner;
    struct stat st;

    n->near = n->near || (p->missing == NULL && stat(p->path, &st) == 0 && st.st_dev == n->dev);
}

static void remark_near(struct backup_run *r)
{
    struct nearness n = {.near = false};
    struct stat target, state;
    struct err e;

    if (stat(r->target, &target) < 0 || fstat(r->hub->state_fd, &state) < 0)
        return;
    n.dev = target.st_dev;
    n.near = state.st_dev == target.st_dev;
    (void)local_places(r->hub->engine, look_at_place, &n, &e);
    if (n.near)
        backup_tell(r,
                    "%.200s is on the same disk as the hub: this helps against mistakes, not "
                    "when the disk fails",
                    r->target);
}

/* ---- what the hub itself needs ---- */

static int add_file(struct backup_writer *w, int dir, const char *path, const char *name,
                    bool optional, struct err *e)
{
    AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && optional)
        return 0;
    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\" for the backup", path);
    return backup_add_file(w, name, fd, e);
}

static int add_hub(struct backup_run *r, struct backup_writer *w, struct err *e)
{
    const struct hub *h = r->hub;
    /* the authority's key may be kept elsewhere; the server's pair can be made again */
    static const char *const tls[] = {"ca.crt", "ca.key", "server.crt", "server.key"};

    if (add_file(w, h->state_fd, BACKUP_RECORD, "record.db", false, e) < 0 ||
        add_file(w, h->state_fd, "password.key", "password.key", false, e) < 0 ||
        add_file(w, h->state_fd, "mock.key", "mock.key", false, e) < 0 ||
        add_file(w, AT_FDCWD, h->conf_path, "hub.yaml", false, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++) {
        char path[32], name[32];

        (void)snprintf(path, sizeof(path), "tls/%s", tls[i]);
        (void)snprintf(name, sizeof(name), "tls-%s", tls[i]);
        if (add_file(w, h->state_fd, path, name, i > 0, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- volumes ---- */

static int add_roster(const struct backup_run *r, struct backup_writer *w, struct err *e)
{
    static const uint8_t nothing[1];
    AUTO(buf_done) struct buf text;

    buf_init(&text, ROSTER_MAX);
    for (size_t i = 0; i < r->n; i++) {
        const struct backup_item *x = &r->items[i];
        struct roster_line line = {.server = x->server,
                                   .owner = x->owner,
                                   .volume = x->shot.volume,
                                   .claim = x->claim,
                                   .class = x->shot.class,
                                   .component = x->component,
                                   .capacity = x->shot.capacity,
                                   .major = x->major};

        if (x->taken && !roster_put(&text, &line))
            return err_set(e, ERR_LIMIT, "volume \"%s\" cannot be written into a list", x->claim);
    }
    return backup_add_bytes(w, ROSTER_FILE, buf_len(&text) == 0 ? nothing : buf_data(&text),
                            buf_len(&text), e);
}

static int add_image(struct backup_run *r, struct backup_writer *w, const struct backup_item *x,
                     struct err *e)
{
    AUTO_CLOSE int fd = local_snapshot_open(r->hub->engine, x->shot.class, x->shot.id, e);
    char name[ROSTER_IMAGE_SIZE];

    if (fd < 0)
        return -1;
    return backup_add_image(w, roster_image(name, x->shot.volume), fd, NULL, NULL, e);
}

static int add_images(struct backup_run *r, struct backup_writer *w, struct err *e)
{
    size_t all = 0, done = 0;

    for (size_t i = 0; i < r->n; i++)
        all += r->items[i].taken;
    for (size_t i = 0; i < r->n; i++) {
        const struct backup_item *x = &r->items[i];
        char size[16];

        if (!x->taken)
            continue;
        if (r->call != NULL)
            backup_tell(r, "%zu of %zu: %s, %s", ++done, all, x->claim,
                        str_size(size, sizeof(size), x->shot.capacity));
        if (add_image(r, w, x, e) < 0)
            return err_prefix(e, "volume \"%s\"", x->claim);
    }
    r->result->images = all;
    return INJECT("backup.written", e);
}

/* What is not whole must not push out what is. */
static void prune(struct backup_run *r)
{
    struct err e;

    if (!r->all || r->left_out > 0)
        return;
    r->result->pruned = backup_prune(r->target, r->hub->conf->hub, r->hub->conf->backup.keep, &e);
    if (r->result->pruned < 0)
        backup_tell(r, "the backup is made, but %s", e.msg);
}

int backup_write(struct backup_run *r, struct err *e)
{
    struct backup_label label = {.name = r->name, .hub = r->hub->conf->hub, .created = r->created};
    struct backup_writer *w = NULL;

    if (backup_begin(r->target, &label, &w, e) < 0)
        return -1;
    remark_near(r);
    if ((r->all && add_hub(r, w, e) < 0) || add_roster(r, w, e) < 0 || add_images(r, w, e) < 0) {
        backup_abort(w);
        return -1;
    }
    if (backup_finish(w, &r->result->bytes, e) < 0)
        return -1;
    prune(r);
    return 0;
}
