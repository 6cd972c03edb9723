/* What is on a target, and what of it may go. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "backup-int.h"

struct entry {
    char name[BACKUP_NAME_SIZE];
    struct backup_info info;
};

struct entries {
    int target_fd;    /* borrowed */
    struct entry *at; /* owned */
    size_t n, room;
};

static void entries_done(struct entries *l)
{
    free(l->at);
}

static int look(void *owner, const char *name, struct err *e)
{
    struct entries *l = owner;
    struct entry new = {.info = {.created = 0}};
    struct backup *b = NULL;
    struct err reason;
    AUTO_FREE char *manifest = mem_printf("%s/" MANIFEST_NAME, name);
    struct stat st;

    (void)e;
    /* What never had a manifest is not ours. */
    if (fstatat(l->target_fd, manifest, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !str_copy(new.name, sizeof(new.name), name))
        return 0;
    if (backup_open_at(l->target_fd, name, &b, &reason) == 0) {
        (void)snprintf(new.info.hub, sizeof(new.info.hub), "%s", b->m.hub);
        new.info.created = b->m.created;
        new.info.bytes = b->m.bytes;
        new.info.complete = backup_whole(b, &reason) == 0;
        backup_close(b);
    }
    if (l->n == l->room) {
        l->room = l->room == 0 ? 16 : 2 * l->room;
        l->at = mem_resize(l->at, l->room * sizeof(new));
    }
    l->at[l->n++] = new;
    return 0;
}

static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->info.complete != y->info.complete)
        return x->info.complete ? 1 : -1;
    if (x->info.created != y->info.created)
        return x->info.created < y->info.created ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int collect(int target_fd, struct entries *l, struct err *e)
{
    l->target_fd = target_fd;
    if (target_each(target_fd, look, l, e) < 0)
        return -1;
    if (l->n > 0)
        qsort(l->at, l->n, sizeof(*l->at), by_age);
    for (size_t i = 0; i < l->n; i++)
        l->at[i].info.name = l->at[i].name;
    return 0;
}

int backup_list(const char *target, backup_info_fn fn, void *owner, struct err *e)
{
    AUTO_CLOSE int fd = target_open(target, e);
    AUTO(entries_done) struct entries l = {.n = 0};

    if (fd < 0 || collect(fd, &l, e) < 0)
        return -1;
    for (size_t i = 0; i < l.n; i++)
        if (fn(owner, &l.at[i].info, e) < 0)
            return -1;
    return 0;
}

/* First it is no longer a backup, then it is removed: half of one must not be found. */
static int remove_backup(int target_fd, const char *name, struct err *e)
{
    char part[PART_SIZE];
    int lock = -1, r = -1;

    target_part(name, part);
    if (target_lock(target_fd, name, &lock, e) < 0)
        return -1;
    if (fd_remove_tree(target_fd, part, e) < 0)
        r = -1;
    else if (renameat(target_fd, name, target_fd, part) < 0 || fsync(target_fd) < 0)
        r = err_set_os(e, errno, "could not take its name away");
    else if (INJECT("backup.pruning", e) == 0)
        r = fd_remove_tree(target_fd, part, e);
    target_unlock(target_fd, name, &lock);
    return r;
}

int backup_prune(const char *target, const char *hub, unsigned keep, struct err *e)
{
    AUTO_CLOSE int fd = target_open(target, e);
    AUTO(entries_done) struct entries l = {.n = 0};
    unsigned kept = 0;
    int removed = 0;

    if (fd < 0 || collect(fd, &l, e) < 0)
        return -1;
    for (size_t i = l.n; i-- > 0;) {
        const struct backup_info *b = &l.at[i].info;

        if (!b->complete || !str_is(b->hub, hub))
            continue;
        if (kept < keep || kept == 0) {
            kept++;
            continue;
        }
        if (remove_backup(fd, b->name, e) < 0)
            return err_prefix(e, "could not remove backup \"%s\" from \"%s\"", b->name, target);
        removed++;
    }
    return removed;
}
