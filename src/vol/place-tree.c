/* Volumes as directories, below a directory of the host or on an export: "identity", "volumes/". */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "place-tree.h"

#define IDENTITY    "identity"
#define HINT_OWNERS "an export needs no_root_squash; a disk a file system with owners"

/* ---- the place ---- */

/* Asked by doing it: an export may be squashed, and some file systems have no owners. */
static int may_give_away(int dir_fd, const char *path, struct err *e)
{
    static const char probe[] = ".probe";
    AUTO_CLOSE int fd = -1;
    struct stat st;
    bool gives;

    (void)unlinkat(dir_fd, probe, 0);
    fd = openat(dir_fd, probe, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    gives = fd >= 0 && fchown(fd, VOL_DISK_UID, VOL_DISK_GID) == 0 && fstat(fd, &st) == 0 &&
            st.st_uid == VOL_DISK_UID && st.st_gid == VOL_DISK_GID;
    if (!gives)
        (void)err_set_os(e, fd < 0 || errno != 0 ? errno : EPERM,
                         "root cannot give files in \"%s\" to users", path);
    (void)unlinkat(dir_fd, probe, 0);
    if (gives)
        return 0;
    e->kind = e->kind == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_CONFIG;
    return err_hint(e, HINT_OWNERS);
}

static int check_owner(int top, const struct vol_place_spec *spec, const char *path, struct err *e)
{
    const char *where = spec->driver == VOL_NFS ? "on its server: " : "";
    const char *dir = spec->driver == VOL_NFS ? spec->export_path : path;
    struct stat st;

    if (fstat(top, &st) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", path);
    if (st.st_uid == 0 && (st.st_mode & 022) == 0)
        return 0;
    (void)err_set(e, ERR_CONFIG, "\"%s\" is not root's alone to write to", path);
    return err_hint(e, "%schown root %s && chmod go-w %s", where, dir, dir);
}

static int open_volumes(int top, const char *path, struct err *e)
{
    AUTO_CLOSE int fd = openat(top, TREE_VOLUMES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fchmod(fd, 0700) < 0)
        return err_set_os(e, errno, "could not open \"%s/%s\"", path, TREE_VOLUMES);
    return take_fd(&fd);
}

/* The first time: whose the files are is decided, and kept. A kernel that learns to map ids later
 * must not find host ids on the disk. */
static int settle(int top, const struct vol_place_spec *spec, const char *path,
                  struct poolid *ret_id, struct err *e)
{
    struct poolid id = {.tree = POOLID_OWNED};
    AUTO_CLOSE int volumes = -1;
    char text[POOLID_SIZE];

    if (!str_copy(id.hub, sizeof(id.hub), spec->hub) || !vol_name_ok(id.hub))
        return err_set(e, ERR_INTERNAL, "the id of this hub cannot be written to a disk");
    rand_id(id.pool);
    if (mkdirat(top, TREE_VOLUMES, 0700) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make \"%s/%s\"", path, TREE_VOLUMES);
    volumes = open_volumes(top, path, e);
    if (volumes < 0 || may_give_away(volumes, path, e) < 0 || INJECT("tree.place", e) < 0)
        return -1;
    if (spec->driver == VOL_DIRECTORY && place_idmaps(volumes))
        id.tree = POOLID_MAPPED;
    poolid_print(&id, text);
    if (fd_write_file(top, IDENTITY, 0600, 0, 0, text, strlen(text), e) < 0)
        return err_prefix(e, "could not write the identity of \"%s\"", path);
    *ret_id = id;
    return 0;
}

static int open_place(int top, const struct vol_place_spec *spec, const char *path,
                      struct vol_place *p, struct err *e)
{
    struct poolid id;
    int r;

    if (check_owner(top, spec, path, e) < 0)
        return -1;
    /* One at a time: two who find it empty would both give it an identity. An export may not have
     * locks of directories. */
    if (flock(top, LOCK_EX) < 0 && spec->driver == VOL_DIRECTORY)
        return err_set_os(e, errno, "could not lock \"%s\"", path);
    r = place_identity(top, spec, path, &id, e);
    if (r < 0 || (r == 0 && settle(top, spec, path, &id, e) < 0))
        return -1;
    p->dir_fd = open_volumes(top, path, e);
    if (p->dir_fd < 0)
        return -1;
    p->idmaps = id.tree == POOLID_MAPPED;
    if (p->idmaps && !place_idmaps(p->dir_fd)) {
        (void)err_set(e, ERR_MISSING, "the ids of the volumes in \"%s\" cannot be mapped", path);
        return err_hint(e, "they were made where idmapped mounts of it were possible: which needs "
                           "Linux 5.12 or later");
    }
    if (!p->idmaps && may_give_away(p->dir_fd, path, e) < 0)
        return -1;
    p->shares = tree_shares(p->dir_fd);
    p->path = mem_copy(path);
    (void)snprintf(p->id, sizeof(p->id), "%s", id.pool);
    return 0;
}

int tree_place_open(int top, const struct vol_place_spec *spec, const char *path,
                    struct vol_place *p, struct err *e)
{
    int r = open_place(top, spec, path, p, e);

    /* Nobody says that to root but the server of an export that takes root for nobody. */
    if (r < 0 && spec->driver == VOL_NFS && (e->os_errno == EACCES || e->os_errno == EPERM)) {
        e->kind = ERR_CONFIG;
        return err_hint(e, HINT_OWNERS);
    }
    return r;
}

static int directory_open(const struct vol_place_spec *spec, struct vol_place *p, struct err *e)
{
    AUTO_CLOSE int top = -1;

    if (spec->path[0] != '/')
        return err_set(e, ERR_CONFIG, "\"%s\" is not an absolute path", spec->path);
    top = open(spec->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top < 0 && errno == ENOENT && spec->id != NULL)
        return place_gone(spec, spec->path, e);
    if (top < 0 && errno == ENOENT)
        top = fd_open_dir(AT_FDCWD, spec->path, 0711, e);
    else if (top < 0)
        return err_set_os(e, errno, "could not open \"%s\"", spec->path);
    return top < 0 ? -1 : tree_place_open(top, spec, spec->path, p, e);
}

void tree_place_done(struct vol_place *p)
{
    close_fd(&p->dir_fd);
}

static int directory_close(const struct vol_place_spec *spec, struct err *e)
{
    (void)spec;
    (void)e;
    return 0;
}

int tree_place_room(const struct vol_place *p, struct vol_space *ret, struct err *e)
{
    struct statfs fs;

    if (fstatfs(p->dir_fd, &fs) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", p->path);
    *ret = (struct vol_space){.total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize,
                              .free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize,
                              .inodes = fs.f_files,
                              .inodes_free = fs.f_ffree};
    return 0;
}

const char *tree_place_how(const struct vol_place *p)
{
    return vol_how_name(p->shares ? VOL_REFLINK : VOL_COPY);
}

/* ---- volumes ---- */

int tree_place_make(const struct vol_place *p, const char *id, uint64_t capacity, uid_t uid,
                    gid_t gid, struct err *e)
{
    AUTO_CLOSE int draft = -1;
    struct stat st;
    int there = tree_stat(p, id, &st, e);

    (void)capacity;
    if (there != 0)
        return there < 0 ? -1 : tree_sync(p, id, e);
    tree_owner(p, &uid, &gid);
    draft = tree_draft(p, id, uid, gid, e);
    return draft < 0 ? -1 : tree_name(p, draft, id, id, TREE_MODE, e);
}

int tree_place_clone(const struct vol_place *p, const char *from, const char *id, uid_t uid,
                     gid_t gid, struct err *e)
{
    AUTO_CLOSE int source = -1, draft = -1;
    struct stat st;
    int there = tree_stat(p, id, &st, e);

    if (there != 0)
        return there < 0 ? -1 : tree_sync(p, id, e);
    source = tree_open(p, from, &st, e);
    if (source < 0)
        return -1;
    if (!tree_is_sealed(&st))
        return err_set(e, ERR_INTERNAL, "volume \"%s\" is not sealed, so it cannot be cloned",
                       from);
    draft = tree_draft_of(p, source, id, uid, gid, e);
    if (draft < 0 || tree_name(p, draft, id, id, TREE_MODE, e) < 0)
        return err_prefix(e, "could not clone volume \"%s\"", from);
    return 0;
}

int tree_place_publish(const struct vol_place *p, const char *unfinished, const char *name,
                       struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = tree_stat(p, name, &st, e);

    if (there != 0)
        return there < 0 ? -1 : tree_seal(p, name, e);
    fd = tree_open(p, unfinished, &st, e);
    if (fd < 0)
        return -1;
    if (syncfs(fd) < 0 || renameat(p->dir_fd, unfinished, p->dir_fd, name) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", name);
    if (tree_sync(p, name, e) < 0 || INJECT("tree.published", e) < 0)
        return -1;
    return tree_seal(p, name, e);
}

int tree_place_exists(const struct vol_place *p, const char *id, struct err *e)
{
    struct stat st;

    return tree_stat(p, id, &st, e);
}

int tree_place_destroy(const struct vol_place *p, const char *id, struct err *e)
{
    char old[TREE_FILE_SIZE], new[TREE_FILE_SIZE];
    struct stat st;
    int there;

    if (tree_file(id, TREE_OLD, old, e) < 0 || tree_file(id, TREE_NEW, new, e) < 0 ||
        tree_settle(p, id, e) < 0 || tree_remove(p->dir_fd, old, e) < 0 ||
        tree_remove(p->dir_fd, new, e) < 0)
        return -1;
    there = tree_stat(p, id, &st, e);
    if (there < 0 || (there == 1 && tree_idle(id, &st, "deleted", e) < 0))
        return -1;
    /* Nobody may find a volume that has lost a part of its files. */
    if (there == 1 && renameat(p->dir_fd, id, p->dir_fd, old) < 0)
        return err_set_os(e, errno, "could not delete volume \"%s\"", id);
    if (tree_sync(p, id, e) < 0 || INJECT("tree.condemned", e) < 0)
        return -1;
    return tree_remove(p->dir_fd, old, e);
}

int tree_place_grow(const struct vol_place *p, const char *id, uint64_t capacity,
                    const char *mountpoint, struct err *e)
{
    struct stat st;
    int there = tree_stat(p, id, &st, e);

    (void)capacity; /* nothing holds it to one: it is as large as its disk */
    (void)mountpoint;
    if (there == 0)
        return err_set_os(e, ENOENT, "could not look at volume \"%s\"", id);
    return there < 0 ? -1 : 0;
}

int tree_place_used(const struct vol_place *p, const char *id, uint64_t *ret_used,
                    uint64_t *ret_capacity, struct err *e)
{
    struct stat st;
    AUTO_CLOSE int fd = tree_open(p, id, &st, e);

    if (fd < 0 || tree_used(fd, ret_used, e) < 0)
        return -1;
    *ret_capacity = 0;
    return 0;
}

int tree_place_list(const struct vol_place *p, vol_image_fn fn, void *owner, struct err *e)
{
    AUTO_CLOSE int fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL)
        return err_set_os(e, errno, "could not list \"%s\"", p->path);
    (void)take_fd(&fd); /* dir has it now */
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        struct vol_image volume = {.name = entry->d_name};
        struct stat st;

        if (!vol_name_ok(entry->d_name) ||
            fstatat(p->dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            continue;
        volume.sealed = tree_is_sealed(&st);
        if (fn(owner, &volume, e) < 0)
            return -1;
    }
    return errno != 0 ? err_set_os(e, errno, "could not list \"%s\"", p->path) : 0;
}

const struct vol_place_ops place_directory_ops = {
    .open = directory_open,
    .done = tree_place_done,
    .close = directory_close,
    TREE_OPS,
};
