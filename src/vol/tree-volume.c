/*
 * A volume is a directory. It is made beside its name and gets that when it is whole and on the
 * disk, so a crash leaves none that is half made. Sealed is one without a bit to write in its mode.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/str.h"

#include "place-int.h"

int tree_file(const char *id, enum tree_aside aside, char at[TREE_FILE_SIZE], struct err *e)
{
    static const char *const prefixes[] = {[TREE_NEW] = ".new-", [TREE_OLD] = ".old-"};
    char shown[80];

    if (!vol_name_ok(id))
        return err_set(e, ERR_INPUT, "\"%s\" cannot be the name of a volume",
                       str_show(shown, sizeof(shown), id, strlen(id)));
    (void)snprintf(at, TREE_FILE_SIZE, "%s%.*s", prefixes[aside], VOL_NAME_MAX, id);
    return 0;
}

bool tree_is_sealed(const struct stat *st)
{
    return (st->st_mode & 0222) == 0;
}

void tree_owner(const struct vol_place *p, uid_t *uid, gid_t *gid)
{
    if (p->idmaps) {
        *uid = VOL_DISK_UID;
        *gid = VOL_DISK_GID;
    }
}

static int look(const struct vol_place *p, const char *id, struct stat *ret_st, struct err *e)
{
    if (fstatat(p->dir_fd, id, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not look at volume \"%s\"", id);
    return S_ISDIR(ret_st->st_mode) ? 1
                                    : err_set(e, ERR_OS, "volume \"%s\" is not a directory", id);
}

int tree_stat(const struct vol_place *p, const char *id, struct stat *ret_st, struct err *e)
{
    char file[TREE_FILE_SIZE];
    int r = tree_file(id, TREE_NEW, file, e) < 0 ? -1 : look(p, id, ret_st, e);

    if (r != 0)
        return r;
    r = tree_settle(p, id, e);
    return r <= 0 ? r : look(p, id, ret_st, e);
}

int tree_open(const struct vol_place *p, const char *id, struct stat *ret_st, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    int there = tree_stat(p, id, ret_st, e);

    if (there < 0)
        return -1;
    if (there == 0)
        return err_set_os(e, ENOENT, "could not open volume \"%s\"", id);
    fd = openat(p->dir_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_st) < 0)
        return err_set_os(e, errno, "could not open volume \"%s\"", id);
    return take_fd(&fd);
}

int tree_idle(const char *id, const struct stat *st, const char *what, struct err *e)
{
    int r = place_mounted(st, id, e);

    if (r == 0)
        return 0;
    if (r == 1) {
        (void)err_set(e, ERR_BUSY, "volume \"%s\" cannot be %s while it is attached", id, what);
        (void)err_hint(e, "stop its server first");
    }
    return -1;
}

int tree_sync(const struct vol_place *p, const char *id, struct err *e)
{
    if (fsync(p->dir_fd) < 0)
        return err_set_os(e, errno, "could not sync the place of volume \"%s\"", id);
    return 0;
}

int tree_seal(const struct vol_place *p, const char *id, struct err *e)
{
    struct stat st;
    AUTO_CLOSE int fd = tree_open(p, id, &st, e);

    if (fd < 0)
        return -1;
    if (tree_is_sealed(&st))
        return 0;
    if (INJECT("tree.sealing", e) < 0)
        return -1;
    if (fchmod(fd, TREE_SEALED) < 0 || fsync(fd) < 0)
        return err_set_os(e, errno, "could not seal volume \"%s\"", id);
    return 0;
}

/* ---- making one ---- */

int tree_draft(const struct vol_place *p, const char *id, uid_t uid, gid_t gid, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    char file[TREE_FILE_SIZE];

    if (tree_file(id, TREE_NEW, file, e) < 0 || tree_remove(p->dir_fd, file, e) < 0)
        return -1;
    if (mkdirat(p->dir_fd, file, 0700) == 0)
        fd = openat(p->dir_fd, file, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0700) < 0 || mkdirat(fd, VOL_DIR_POD, 0700) < 0 ||
        mkdirat(fd, VOL_DIR_KEEP, 0700) < 0 || fchmodat(fd, VOL_DIR_POD, 0700, 0) < 0 ||
        fchmodat(fd, VOL_DIR_KEEP, 0700, 0) < 0 ||
        fchownat(fd, VOL_DIR_POD, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_os(e, errno, "could not create volume \"%s\"", id);
    return INJECT("tree.drafted", e) < 0 ? -1 : take_fd(&fd);
}

int tree_fill(int from, int draft, const char *dir, uid_t uid, gid_t gid, struct err *e)
{
    struct tree_copy c = {.uid = uid, .gid = gid};
    AUTO_CLOSE int source = fd_open_beneath(from, dir, O_RDONLY | O_DIRECTORY, e);
    AUTO_CLOSE int target =
        source < 0 ? -1 : fd_open_beneath(draft, dir, O_RDONLY | O_DIRECTORY, e);

    return target < 0 ? -1 : tree_copy(source, target, &c, e);
}

int tree_draft_of(const struct vol_place *p, int from, const char *id, uid_t uid, gid_t gid,
                  struct err *e)
{
    AUTO_CLOSE int draft = -1;

    tree_owner(p, &uid, &gid);
    draft = tree_draft(p, id, uid, gid, e);
    if (draft < 0 || tree_fill(from, draft, VOL_DIR_POD, uid, gid, e) < 0 ||
        tree_fill(from, draft, VOL_DIR_KEEP, 0, 0, e) < 0)
        return -1;
    return take_fd(&draft);
}

int tree_name(const struct vol_place *p, int draft, const char *id, const char *file, mode_t mode,
              struct err *e)
{
    char new[TREE_FILE_SIZE];

    if (tree_file(id, TREE_NEW, new, e) < 0)
        return -1;
    if (fchmod(draft, mode) < 0 || syncfs(draft) < 0)
        return err_set_os(e, errno, "could not sync volume \"%s\"", id);
    if (INJECT("tree.complete", e) < 0)
        return -1;
    if (renameat(p->dir_fd, new, p->dir_fd, file) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", id);
    if (INJECT("tree.named", e) < 0)
        return -1;
    return tree_sync(p, id, e);
}
