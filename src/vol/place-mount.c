/* Directories shown elsewhere, by mounts of their own, and finding those mounts again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "mountinfo.h"
#include "place-int.h"

int place_mount(int dir_fd, unsigned attributes, int namespace, const char *what, struct err *e)
{
    /* Private, or what is mounted in it would show where the directory itself is. */
    struct mount_attr attr = {
        .attr_set = attributes, .attr_clr = MOUNT_ATTR__ATIME, .propagation = MS_PRIVATE};
    AUTO_CLOSE int mnt = open_tree(dir_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

    if (mnt < 0)
        return err_set_os(e, errno, "could not take a mount of %s", what);
    if (namespace >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = (unsigned)namespace;
    }
    if (mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
        return take_fd(&mnt);
    (void)err_set_os(e, errno, "could not give the mount of %s its attributes", what);
    if (namespace >= 0 && (e->os_errno == EINVAL || e->os_errno == ENOSYS || e->os_errno == EPERM))
        e->kind = ERR_MISSING;
    return -1;
}

bool place_idmaps(int dir_fd)
{
    struct err ignored;
    AUTO_CLOSE int namespace = idmap_open(VOL_DISK_UID, VOL_DISK_GID, &ignored);
    AUTO_CLOSE int mnt = namespace < 0 ? -1 : place_mount(dir_fd, 0, namespace, "it", &ignored);

    return mnt >= 0;
}

/* ---- finding them again ---- */

/* The last component of a path; "" of "/". */
static const char *last(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

struct wanted {
    const struct stat *dir;
    const char *name;
};

static int shows(void *arg, const struct mountinfo *m, const char *line, size_t len, struct err *e)
{
    const struct wanted *w = arg;
    struct stat st;

    (void)line, (void)len, (void)e;
    return str_is(last(m->root), w->name) &&
           fstatat(AT_FDCWD, m->mountpoint, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
           st.st_dev == w->dir->st_dev && st.st_ino == w->dir->st_ino;
}

int place_mounted(const struct stat *dir, const char *name, struct err *e)
{
    struct wanted w = {.dir = dir, .name = name};

    return mnt_each(shows, &w, e);
}

struct root {
    uint64_t mount;
    char *at;
};

static int is_volume(void *arg, const struct mountinfo *m, const char *line, size_t len,
                     struct err *e)
{
    const struct root *root = arg;
    const char *name = last(m->root);
    size_t before = strlen(m->root) - strlen(name); /* with the slash */

    (void)line, (void)len, (void)e;
    if (m->id != root->mount || !vol_name_ok(name))
        return 0;
    return before > sizeof("/" TREE_VOLUMES) - 1 &&
           strncmp(m->root + before - sizeof("/" TREE_VOLUMES), "/" TREE_VOLUMES "/",
                   sizeof("/" TREE_VOLUMES)) == 0 &&
           str_copy(root->at, VOL_NAME_MAX + 1, name);
}

int place_mount_name(int fd, char at[VOL_NAME_MAX + 1], struct err *e)
{
    AUTO_FREE char *path = mem_printf("/proc/self/fdinfo/%d", fd), *text = NULL;
    struct root root = {.at = at};
    char *line;

    /* Not by statx(): a descriptor knows its mount even when the disk below has gone. */
    if (fd_read_file(AT_FDCWD, path, 4096, &text, e) < 0)
        return -1;
    line = strstr(text, "mnt_id:");
    if (line == NULL)
        return err_set(e, ERR_OS, "could not learn what is mounted");
    line += strcspn(line, "0123456789\n");
    line[strspn(line, "0123456789")] = '\0';
    return str_u64(line, &root.mount) ? mnt_each(is_volume, &root, e) : 0;
}

int place_unmount(const char *path, const char *what, struct err *e)
{
    if (INJECT("tree.unmounting", e) < 0)
        return -1;
    if (umount2(path, UMOUNT_NOFOLLOW) == 0)
        return INJECT("tree.unmounted", e);
    if (errno == EBUSY)
        return err_set(e, ERR_BUSY, "could not unmount %s: a process still uses it", what);
    return err_set_os(e, errno, "could not unmount %s", what);
}
