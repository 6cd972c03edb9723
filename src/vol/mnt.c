/* The mount calls that work on descriptors: nothing is visible before it is complete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

int mnt_each(mnt_fn fn, void *arg, struct err *e)
{
    AUTO_FREE char *text = NULL;
    AUTO_FREE struct mountinfo *m = mem_new(sizeof(*m));

    if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, e) < 0)
        return -1;
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        int r = mountinfo_parse(line, len, m) ? fn(arg, m, line, len, e) : 0;

        if (r != 0)
            return r;
        line += len + (line[len] == '\n');
    }
    return 0;
}

struct sought {
    uint64_t id;
    dev_t dev;
};

static int has_id(void *arg, const struct mountinfo *m, const char *line, size_t len, struct err *e)
{
    struct sought *s = arg;

    (void)line, (void)len, (void)e;
    s->dev = makedev(m->major, m->minor);
    return m->id == s->id;
}

/*
 * A file system that has shut itself down (its disk failed) answers EIO even to statx, and must be
 * unmounted all the same. Its root can still be opened as a path, such a descriptor knows its
 * mount, and the kernel's list answers where the file system does not.
 */
static int dead_root(int dir_fd, const char *path, dev_t *ret_dev)
{
    AUTO_CLOSE int fd =
        openat(dir_fd, *path == '\0' ? "." : path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_FREE char *text = NULL;
    struct sought mount;
    char fdinfo[48];
    char *line;
    struct err e;

    (void)snprintf(fdinfo, sizeof(fdinfo), "/proc/self/fdinfo/%d", fd);
    if (fd >= 0 && fd_read_file(AT_FDCWD, fdinfo, 4096, &text, &e) >= 0 &&
        (line = strstr(text, "mnt_id:")) != NULL) {
        line += strcspn(line, "0123456789\n");
        line[strspn(line, "0123456789")] = '\0';
        if (str_u64(line, &mount.id) && mnt_each(has_id, &mount, &e) == 1) {
            *ret_dev = mount.dev;
            return 1;
        }
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

/* A file system may be mounted at many places, but has one set of options. */
struct option {
    dev_t dev;
    const char *name;
    char *at;
    size_t size;
};

static int take_option(void *arg, const struct mountinfo *m, const char *line, size_t len,
                       struct err *e)
{
    const struct option *o = arg;

    (void)e;
    return makedev(m->major, m->minor) == o->dev &&
           mountinfo_option(line, len, o->name, o->at, o->size);
}

int mnt_option(dev_t dev, const char *option, char *at, size_t size, struct err *e)
{
    struct option o = {.dev = dev, .name = option, .at = at, .size = size};

    at[0] = '\0';
    return mnt_each(take_option, &o, e);
}

int mnt_is_broken(dev_t dev, bool read_only, struct err *e)
{
    /* The last one is how kernels before 6.15 say the second. */
    static const char *const signs[] = {"shutdown", "emergency_ro", "ro"};
    size_t n = sizeof(signs) / sizeof(signs[0]) - (read_only ? 1 : 0);
    char value[16];

    for (size_t i = 0; i < n; i++) {
        int r = mnt_option(dev, signs[i], value, sizeof(value), e);

        if (r != 0)
            return r;
    }
    return 0;
}

int mnt_undo(const char *path, dev_t dev, const char *what, struct err *e)
{
    struct loopdev_backing backing;
    struct err ignored;
    uint64_t bound;

    loopdev_backing(dev, &backing);
    if (INJECT("vol.unmounting", e) < 0)
        return -1;
    /* Before: after it the device may be a stranger's already. Killed in between, it is bound again
     * when it is next attached. */
    bound = dirty_free(dev);
    /* Not lazily: a mount that is out of sight but alive would let its image be attached twice. */
    if (umount2(path, UMOUNT_NOFOLLOW) < 0) {
        int number = errno;

        if (bound != 0)
            (void)dirty_bound(dev, bound, &ignored);
        errno = number;
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
