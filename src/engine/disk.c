/*
 * The disks of a server on this machine. Data is attached at <run>/vol/<volume>, under the lock of
 * the volume, which its pod holds. Everything else is at <run>/vol/<volume>.<server>: it is in use
 * while that server has processes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups.h"
#include "local-int.h"
#include "pg/pg.h"
#include "vol/hold.h"
#include "vol/host.h"
#include "vol/shared.h"

/* To start after a crash PostgreSQL may have to make a segment of 16 MiB, and a few files. */
#define SHARED ".shared" /* below <run>/vol: root's alone, for mounts with the ids of the disk */

enum { SHARED_LOCK_MS = 10000, TRIM_MS = 10000 };

enum { START_BYTES = 20 << 20, START_INODES = 64, LAST_BYTES = 17 << 20, LAST_INODES = 16 };

void disk_point(const struct local *l, const struct engine_server *spec, size_t i,
                char at[PATH_ROOM])
{
    const struct engine_disk *d = &spec->disks[i];

    if (i == 0 && d->path == NULL)
        (void)snprintf(at, PATH_ROOM, "%s/vol/%s", l->run_dir, d->volume);
    else
        (void)snprintf(at, PATH_ROOM, "%s/vol/%s.%s", l->run_dir, d->volume, spec->id);
}

/* ---- attaching ---- */

struct attaching {
    const struct disk_want *want;
    const struct engine_disk *disk;
    const struct vol_place *place; /* NULL of a static one */
    size_t i;
    char point[PATH_ROOM];
};

static int make_missing(const struct attaching *a, struct err *e)
{
    const struct engine_server *spec = a->want->spec;
    const struct engine_disk *d = a->disk;
    int there = vol_place_exists(a->place, d->volume, e);

    if (there == 1 && a->i == 0 && spec->ephemeral) {
        if (disk_detach(a->want->local, a->point, e) < 0 ||
            vol_place_destroy(a->place, d->volume, e) < 0)
            return -1;
        there = 0;
    }
    if (there != 0)
        return there < 0 ? -1 : 0;
    if (d->kept && !spec->ephemeral) {
        (void)err_set(e, ERR_MISSING, "a volume of server \"%s\" is not in %s", spec->login,
                      a->place->path);
        return err_hint(e, "is the disk of storage class \"%s\" mounted? dorm storage list",
                        d->class);
    }
    return a->i == 0 ? vol_place_clone(a->place, a->want->template_name, d->volume, d->capacity,
                                       spec->uid, spec->uid, e)
                     : vol_place_make(a->place, d->volume, d->capacity, spec->uid, spec->uid, e);
}

/* A directory can be shown on the file system that it is on: devices do not tell. */
static bool is_attached(const char *point)
{
    struct statx at;

    return statx(AT_FDCWD, point, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &at) == 0 &&
           (at.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* A trim, which nobody waits for, may still be at work on it. */
static int detach_patiently(const struct attaching *a, struct err *e)
{
    uint64_t deadline = clock_ms() + TRIM_MS;

    while (disk_detach(a->want->local, a->point, e) < 0) {
        struct timespec pause = {.tv_nsec = 2000000};

        if (e->kind != ERR_BUSY || clock_ms() > deadline)
            return -1;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* What was asked for while it could not be done is done now. */
static int grow_to_wish(const struct attaching *a, struct err *e)
{
    const struct engine_disk *d = a->disk;
    bool attached = is_attached(a->point);

    if (vol_place_grow(a->place, d->volume, d->capacity, attached ? a->point : NULL, e) >= 0)
        return 0;
    if (e->kind == ERR_NO_SPACE || e->kind == ERR_LIMIT) {
        log_err(NULL, LOG_WARN_, e); /* as large as it was is better than not there */
        return 0;
    }
    if (!attached || e->kind != ERR_BUSY)
        return e->kind == ERR_INPUT ? 0 : -1; /* larger than wished already: it never shrinks */
    return detach_patiently(a, e) < 0 ||
                   vol_place_grow(a->place, d->volume, d->capacity, NULL, e) < 0
               ? -1
               : 0;
}

static int attach_host(const struct attaching *a, struct err *e)
{
    const struct engine_server *spec = a->want->spec;
    struct vol_host host = {.path = a->disk->path,
                            .mountpoint = a->point,
                            .uid = spec->uid,
                            .gid = spec->uid,
                            .read_only = a->disk->read_only};

    return vol_host_attach(&host, e);
}

int disk_lock_data(const struct local *l, const struct engine_server *spec, int *ret_fd,
                   struct err *e)
{
    const struct engine_disk *d = &spec->disks[0];
    struct disk_want want = {.local = l, .spec = spec};
    struct attaching a = {.want = &want, .disk = d};
    char name[VOL_NAME_MAX + 1];

    if (d->path == NULL)
        return vol_lock(l->locks_fd, d->volume, ret_fd, e);
    /* shown before it is locked: a directory that is missing is made by that. Two volumes can name
     * one directory: the lock is the directory's */
    disk_point(l, spec, 0, a.point);
    return attach_host(&a, e) < 0 || vol_host_lock_name(d->path, name, e) < 0
               ? -1
               : vol_lock(l->locks_fd, name, ret_fd, e);
}

/*
 * A volume that is full gets what is kept back for that, so that its server starts and its owner
 * can delete; one that has room again gives it back.
 */
static int settle_reserve(const struct attaching *a, struct err *e)
{
    uid_t uid = a->want->spec->uid;
    enum vol_reserve is = VOL_RESERVE_CLOSED, to = VOL_RESERVE_CLOSED;
    struct statfs fs;
    uint64_t block, total;

    if (statfs(a->point, &fs) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", a->point);
    block = (uint64_t)fs.f_bsize;
    total = (uint64_t)fs.f_blocks * block;
    if ((uint64_t)fs.f_bavail * block < START_BYTES || fs.f_ffree < START_INODES)
        to = VOL_RESERVE_OPEN;
    if ((uint64_t)fs.f_bfree * block < LAST_BYTES || fs.f_ffree < LAST_INODES)
        to = VOL_RESERVE_SPENT;
    if (vol_reserve_get(a->point, &is, e) < 0)
        return -1;
    /* between "full" and "a tenth is free" it stays as it is */
    if (is > to && (uint64_t)fs.f_bavail * block < total / 10)
        to = is;
    return is == to ? 0 : vol_reserve_set(a->point, uid, to, e);
}

static void shared_base(const struct local *l, const char *volume, char at[PATH_ROOM])
{
    (void)snprintf(at, PATH_ROOM, "%s/vol/" SHARED "/%s", l->run_dir, volume);
}

/* One at a time: another server may be attaching or detaching the same volume just now. */
static int lock_shared(const struct local *l, const char *volume, int *ret_fd, struct err *e)
{
    uint64_t deadline = clock_ms() + SHARED_LOCK_MS;

    while (vol_lock(l->locks_fd, volume, ret_fd, e) < 0) {
        struct timespec pause = {.tv_nsec = 2000000};

        if (e->kind != ERR_BUSY || clock_ms() > deadline)
            return -1;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int attach_shared(const struct attaching *a, struct err *e)
{
    const struct local *l = a->want->local;
    const struct engine_server *spec = a->want->spec;
    AUTO_CLOSE int lock_fd = -1;
    char base[PATH_ROOM];
    struct vol_shared shared = {.image = a->disk->volume,
                                .base = base,
                                .mountpoint = a->point,
                                .uid = spec->uid,
                                .gid = spec->uid,
                                .read_only = a->disk->read_only};

    shared_base(l, a->disk->volume, base);
    if (lock_shared(l, a->disk->volume, &lock_fd, e) < 0)
        return -1;
    if (make_missing(a, e) < 0 || vol_shared_attach(&a->place->pool, &shared, e) < 0)
        return -1;
    if (vol_bound_dirty(base, LOCAL_DIRTY_BYTES, e) < 0)
        log_err(NULL, LOG_WARN_, e);
    return 0;
}

/* What the kernel says of a broken disk helps nobody who wants their tables back. */
static int explain_damage(const struct attaching *a, struct err *e)
{
    bool damaged = e->kind == ERR_OS &&
                   (e->os_errno == EIO || e->os_errno == EUCLEAN || e->os_errno == EBADMSG);

    if (!damaged)
        return -1;
    (void)err_prefix(e, "the disk of server \"%s\" is damaged", a->want->spec->login);
    return err_hint(e,
                    "go back to a snapshot: dorm snapshot list %s; or begin anew: dorm server "
                    "reset %s",
                    a->want->spec->login, a->want->spec->login);
}

static int attach_one(struct attaching *a, struct err *e)
{
    const struct engine_server *spec = a->want->spec;
    struct vol_attach attach = {.image = a->disk->volume,
                                .mountpoint = a->point,
                                .uid = spec->uid,
                                .gid = spec->uid,
                                .flags = a->disk->read_only ? VOL_READ_ONLY : 0};

    if (a->disk->path != NULL)
        return attach_host(a, e);
    if (a->disk->shared && a->i > 0 && a->place->driver == VOL_IMAGE)
        return attach_shared(a, e);
    if (make_missing(a, e) < 0 || INJECT("pod.cloned", e) < 0 || grow_to_wish(a, e) < 0 ||
        vol_place_attach(a->place, &attach, e) < 0)
        return explain_damage(a, e);
    if (a->place->driver != VOL_IMAGE)
        return 0;
    if (vol_bound_dirty(a->point, LOCAL_DIRTY_BYTES, e) < 0)
        log_err(NULL, LOG_WARN_, e); /* a neighbour is safe as long as the pool has room */
    return a->i == 0 ? settle_reserve(a, e) : 0;
}

int disks_attach(const struct disk_want *want, char where[8], struct err *e)
{
    (void)snprintf(where, 8, "%s", PG_DATA_NAME);
    for (size_t i = 0; i < want->spec->disks_n; i++) {
        struct attaching a = {.want = want, .disk = &want->spec->disks[i], .i = i};
        const struct local_place *place = NULL;

        disk_point(want->local, want->spec, i, a.point);
        if (a.disk->path == NULL) {
            place = local_place_of(want->local, a.disk->class, e);
            if (place == NULL)
                return -1;
            a.place = &place->place;
        }
        if (attach_one(&a, e) < 0)
            return i == 0 ? -1 : err_prefix(e, "disk \"%s\"", a.disk->mount);
        if (i == 0 && a.disk->path != NULL && static_settle(want, a.point, where, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- detaching ---- */

/* 1: it was a view of a shared volume, and is gone. */
static int detach_view(const struct local *l, const char *mountpoint, struct err *e)
{
    const char *name = strrchr(mountpoint, '/') + 1, *dot = strchr(name, '.');
    char volume[ID_SIZE], base[PATH_ROOM];
    AUTO_CLOSE int lock_fd = -1;

    if (dot == NULL || (size_t)(dot - name) != ID_LEN)
        return 0;
    (void)snprintf(volume, sizeof(volume), "%s", name);
    shared_base(l, volume, base);
    if (!is_attached(base))
        return 0;
    return lock_shared(l, volume, &lock_fd, e) < 0 || vol_shared_detach(mountpoint, base, e) < 0
               ? -1
               : 1;
}

int disk_detach(const struct local *l, const char *mountpoint, struct err *e)
{
    int view = detach_view(l, mountpoint, e);

    if (view != 0)
        return view < 0 ? -1 : 0;
    if (!is_attached(mountpoint) && rmdir(mountpoint) < 0 && errno != ENOENT)
        return vol_host_detach(mountpoint, e);
    if (vol_detach(mountpoint, e) == 0)
        return 0;
    for (size_t i = 0; e->kind == ERR_EXISTS && i < l->places_n; i++)
        if (l->places[i].place.driver != VOL_IMAGE && l->places[i].place.ops != NULL &&
            vol_place_detach(&l->places[i].place, mountpoint, e) == 0)
            return 0;
    return -1;
}

typedef int (*point_fn)(const struct local *l, const char *name, void *arg, struct err *e);

static int each_point(const struct local *l, point_fn fn, void *arg, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/vol", l->run_dir);
    AUTO_CLOSEDIR DIR *dir = opendir(path);
    const struct dirent *entry;

    if (dir == NULL)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not list \"%s\"", path);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && fn(l, entry->d_name, arg, e) < 0)
            return -1;
    return 0;
}

static int detach_name(const struct local *l, const char *name, struct err *e)
{
    AUTO_FREE char *point = mem_printf("%s/vol/%s", l->run_dir, name);

    return disk_detach(l, point, e);
}

struct naming {
    const char *volume, *server;
};

static int detach_if_theirs(const struct local *l, const char *name, void *arg, struct err *e)
{
    const struct naming *n = arg;
    const char *dot = strchr(name, '.');
    bool theirs = dot == NULL ? str_is(name, n->volume)
                              : str_is(dot + 1, n->server) ||
                                    ((size_t)(dot - name) == strlen(n->volume) &&
                                     strncmp(name, n->volume, (size_t)(dot - name)) == 0);

    return theirs ? detach_name(l, name, e) : 0;
}

int disks_detach(const struct local *l, const char *volume, const char *server, struct err *e)
{
    struct naming n = {.volume = volume, .server = server};

    return each_point(l, detach_if_theirs, &n, e);
}

/* 1 while a process uses it. */
static int in_use(const struct local *l, const char *name, struct err *e)
{
    const char *dot = strchr(name, '.');
    pid_t pid;
    int n;

    if (dot == NULL)
        return strlen(name) == ID_LEN ? vol_lock_held(l->locks_fd, name, e) : 0;
    n = box_groups_pids(l->groups, dot + 1, &pid, 1, e);
    return n < 0 ? -1 : n > 0;
}

struct using
{
    const char *volume;
    int found;
};

static int note_use(const struct local *l, const char *name, void *arg, struct err *e)
{
    struct using *u = arg;
    int used;

    if (strncmp(name, u->volume, strlen(u->volume)) != 0 || name[strlen(u->volume)] != '.')
        return 0;
    used = in_use(l, name, e);
    u->found |= used > 0;
    return used < 0 ? -1 : 0;
}

int disks_in_use(const struct local *l, const char *volume, struct err *e)
{
    struct using u = {.volume = volume};

    return each_point(l, note_use, &u, e) < 0 ? -1 : u.found;
}

static int tidy(const struct local *l, const char *name, void *arg, struct err *e)
{
    int used = in_use(l, name, e);

    (void)arg;
    /* one that cannot be taken off must not keep the hub from starting */
    if (used < 0 || (used == 0 && detach_name(l, name, e) < 0))
        log_err(NULL, LOG_WARN_, e);
    return 0;
}

int disks_tidy(struct local *l, struct err *e)
{
    return each_point(l, tidy, NULL, e);
}
