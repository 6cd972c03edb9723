/* What is mounted by us, whatever the driver: for whoever comes after a crash. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#include "mountinfo.h"
#include "place-int.h"

struct looking {
    const struct vol_place *const *places;
    size_t n;
    const char *dir;
};

/* An image of ours, by the device it is on: its place may not be given, or not be there. */
static bool is_image(const struct looking *l, const struct mountinfo *m,
                     struct vol_place_mount *ret, struct loopdev_info *info)
{
    struct err ignored;
    struct stat st;

    if (!str_is(m->type, "ext4") ||
        loopdev_info(makedev(m->major, m->minor), info, &ignored) <= 0 || !info->ours)
        return false;
    ret->id = info->image;
    for (size_t i = 0; i < l->n; i++)
        if (l->places[i]->driver == VOL_IMAGE &&
            image_stat(&l->places[i]->pool, info->image, &st, &ignored) == 1 &&
            st.st_dev == info->backing_dev && st.st_ino == info->backing_ino)
            ret->place = l->places[i];
    return true;
}

/* A directory of one of the places: it has the name of one, and is that. */
static bool is_tree(const struct looking *l, const struct mountinfo *m, struct vol_place_mount *ret)
{
    const char *slash = strrchr(m->root, '/');
    struct stat shown, st;

    if (slash == NULL || !vol_name_ok(slash + 1) || stat(m->mountpoint, &shown) < 0)
        return false;
    for (size_t i = 0; i < l->n; i++)
        if (l->places[i]->driver != VOL_IMAGE &&
            fstatat(l->places[i]->dir_fd, slash + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_dev == shown.st_dev && st.st_ino == shown.st_ino) {
            ret->place = l->places[i];
            ret->id = slash + 1;
            return true;
        }
    return false;
}

/* "<dir>/<name>/pod" becomes "<dir>/<name>". */
static bool is_static(const struct looking *l, struct mountinfo *m)
{
    char *slash = strrchr(m->mountpoint, '/');

    if (slash == NULL || !str_is(slash + 1, VOL_DIR_POD))
        return false;
    *slash = '\0';
    return mountinfo_below(m->mountpoint, l->dir) != NULL;
}

static int tell(const struct looking *l, struct mountinfo *m, vol_place_mount_fn fn, void *owner,
                struct err *e)
{
    struct vol_place_mount mount = {
        .mountpoint = m->mountpoint, .id = "", .read_only = m->read_only};
    struct loopdev_info info;

    if (mountinfo_below(m->mountpoint, l->dir) != NULL) {
        if (!is_image(l, m, &mount, &info) && !is_tree(l, m, &mount))
            return 0;
    } else {
        mount.is_static = is_static(l, m);
        if (!mount.is_static)
            return 0;
    }
    return fn(owner, &mount, e);
}

int vol_place_attached(const struct vol_place *const *places, size_t n, const char *dir,
                       vol_place_mount_fn fn, void *owner, struct err *e)
{
    AUTO_FREE char *text = NULL, *real = realpath(dir, NULL);
    AUTO_FREE struct mountinfo *m = mem_new(sizeof(*m));
    struct looking l = {.places = places, .n = n, .dir = real};

    if (real == NULL)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not look up \"%s\"", dir);
    /* Read whole before the first callback, which may change what is mounted. */
    if (fd_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, e) < 0)
        return -1;
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");

        if (mountinfo_parse(line, len, m) && tell(&l, m, fn, owner, e) < 0)
            return -1;
        line += len + (line[len] == '\n');
    }
    return 0;
}
