/* The mount calls that work on descriptors: nothing is visible before it is complete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "mountinfo.h"
#include "vol-int.h"

/* The context's log has the file system's own reason, one line a read: "e ext4: Bad magic". */
static int context_failed(int context, int number, const char *type, const char *source,
                          struct err *e)
{
    char text[200], shown[160] = "";
    ssize_t n;

    while ((n = read(context, text, sizeof(text))) > 0)
        if (n > 2 && text[0] == 'e') {
            if (text[n - 1] == '\n')
                n--;
            (void)str_show(shown, sizeof(shown), text + 2, (size_t)n - 2);
        }
    if (shown[0] == '\0')
        return err_set_os(e, number, "could not mount %s from %s", type, source);
    return err_set_os(e, number, "could not mount %s from %s (%s)", type, source, shown);
}

int mnt_type_known(const char *type)
{
    AUTO_CLOSE int context = fsopen(type, FSOPEN_CLOEXEC);

    return context >= 0;
}

int mnt_make(const char *type, const char *source, bool read_only, unsigned attributes,
             struct err *e)
{
    AUTO_CLOSE int context = fsopen(type, FSOPEN_CLOEXEC);
    int mnt;

    if (context < 0) {
        (void)err_set_os(e, errno, "could not mount %s", type);
        if (e->os_errno == ENODEV || e->os_errno == ENOSYS)
            e->kind = ERR_MISSING;
        return -1;
    }
    if (fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
        (read_only && fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0) ||
        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return context_failed(context, errno, type, source, e);
    if (read_only)
        attributes |= MOUNT_ATTR_RDONLY;
    mnt = fsmount(context, FSMOUNT_CLOEXEC, attributes);
    if (mnt < 0)
        return context_failed(context, errno, type, source, e);
    return mnt;
}

int mnt_place(int mnt, int point, const char *path, struct err *e)
{
    if (move_mount(mnt, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return err_set_os(e, errno, "could not mount at \"%s\"", path);
    return 0;
}

/* The device of the mount with that id; the kernel's list answers where the file system does not.
 */
static bool device_of_mount(unsigned id, dev_t *ret_dev)
{
    AUTO_FREE char *text = NULL;
    struct mountinfo m;
    struct err e;

    if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, &e) < 0)
        return false;
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");

        if (mountinfo_parse(line, len, &m) && m.id == id) {
            *ret_dev = makedev(m.major, m.minor);
            return true;
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

/*
 * A file system that has shut itself down (its disk failed) answers EIO even to statx, and must be
 * unmounted all the same. Its root can still be opened as a path, and such a descriptor knows its
 * mount.
 */
static int dead_root(int dir_fd, const char *path, dev_t *ret_dev)
{
    AUTO_CLOSE int fd =
        openat(dir_fd, *path == '\0' ? "." : path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FREE char *text = NULL;
    char fdinfo[48];
    char *line;
    uint64_t id;
    struct err e;

    (void)snprintf(fdinfo, sizeof(fdinfo), "/proc/self/fdinfo/%d", fd);
    if (fd >= 0 && fd_read_file(AT_FDCWD, fdinfo, 4096, &text, &e) >= 0 &&
        (line = strstr(text, "mnt_id:")) != NULL) {
        line += strcspn(line, "0123456789\n");
        line[strspn(line, "0123456789")] = '\0';
        if (str_u64(line, &id) && device_of_mount((unsigned)id, ret_dev))
            return 1;
    }
    errno = EIO;
    return -1;
}

int mnt_is_root(int dir_fd, const char *path, dev_t *ret_dev)
{
    struct statx st;

    if (statx(dir_fd, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH, STATX_TYPE,
              &st) < 0)
        return errno == EIO ? dead_root(dir_fd, path, ret_dev) : -1;
    *ret_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
    return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

struct mount_line {
    char *text; /* owned */
    const char *at;
    size_t len;
};

/* A line of the kernel's list that shows the file system on dev: it may be mounted at many places,
 * but has one set of options. 1, 0, or -1. */
static int find_line(dev_t dev, struct mount_line *ret_line, struct err *e)
{
    AUTO_FREE char *text = NULL;
    AUTO_FREE struct mountinfo *m = mem_new(sizeof(*m));

    if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, e) < 0)
        return -1;
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");

        if (mountinfo_parse(line, len, m) && makedev(m->major, m->minor) == dev) {
            *ret_line = (struct mount_line){.at = line, .len = len, .text = take_ptr(text)};
            return 1;
        }
        line += len + (line[len] == '\n');
    }
    return 0;
}

int mnt_option(dev_t dev, const char *option, char *at, size_t size, struct err *e)
{
    struct mount_line line;
    int r = find_line(dev, &line, e);

    at[0] = '\0';
    if (r <= 0)
        return r;
    r = mountinfo_option(line.at, line.len, option, at, size) ? 1 : 0;
    free(line.text);
    return r;
}

int mnt_is_broken(dev_t dev, bool read_only, struct err *e)
{
    /* The last one is how kernels before 6.15 say the second. */
    static const char *const signs[] = {"shutdown", "emergency_ro", "ro"};
    size_t n = sizeof(signs) / sizeof(signs[0]) - (read_only ? 1 : 0);
    struct mount_line line;
    char value[16];
    int r = find_line(dev, &line, e);

    if (r <= 0)
        return r;
    r = 0;
    for (size_t i = 0; i < n; i++)
        if (mountinfo_option(line.at, line.len, signs[i], value, sizeof(value)))
            r = 1;
    free(line.text);
    return r;
}

int mnt_undo(const char *path, dev_t dev, const char *what, struct err *e)
{
    struct loopdev_backing backing;

    loopdev_backing(dev, &backing);
    if (INJECT("vol.unmounting", e) < 0)
        return -1;
    /* Not lazily: a mount that is out of sight but alive would let its image be attached twice. */
    if (umount2(path, UMOUNT_NOFOLLOW) < 0) {
        if (errno == EBUSY)
            return err_set(e, ERR_BUSY, "could not unmount %s: a process still uses it", what);
        return err_set_os(e, errno, "could not unmount %s", what);
    }
    if (INJECT("vol.unmounted", e) < 0)
        return -1;
    if (!loopdev_gone(dev, &backing))
        return err_set(e, ERR_BUSY,
                       "%s is unmounted here, but its loop device is still in use elsewhere", what);
    return 0;
}
