/*
 * The data of a server on a static volume: a directory of the host. PostgreSQL data found there is
 * taken over, never initialised over; an empty directory gets the data of a template.
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
#include "local-int.h"
#include "pg/adopt.h"
#include "pg/pg.h"
#include "vol/tree.h"

#define DRAFT ".dormouse-data" /* until it is whole */

static int copy_data(int template, int pod, uid_t uid, struct err *e)
{
    struct tree_copy copy = {.uid = uid, .gid = uid};
    AUTO_CLOSE int from =
        fd_open_beneath(template, VOL_DIR_POD "/" PG_DATA_NAME, O_RDONLY | O_DIRECTORY, e);
    AUTO_CLOSE int to = -1;

    if (from < 0 || tree_remove(pod, DRAFT, e) < 0)
        return -1;
    if (mkdirat(pod, DRAFT, 0700) < 0)
        return err_set_os(e, errno, "could not make a directory");
    to = openat(pod, DRAFT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0)
        return err_set_os(e, errno, "could not open the new directory");
    if (tree_copy(from, to, &copy, e) < 0)
        return -1;
    /* an empty "data" may be there: rename takes its place */
    if (syncfs(to) < 0 || INJECT("static.copied", e) < 0 ||
        renameat(pod, DRAFT, pod, PG_DATA_NAME) < 0 || fsync(pod) < 0)
        return err_set_os(e, errno, "could not put the data in their place");
    return 0;
}

static int fill(const struct disk_want *want, int pod, struct err *e)
{
    const struct local *l = want->local;
    char point[PATH_ROOM];
    struct vol_attach attach = {.image = want->template_name,
                                .mountpoint = point,
                                .uid = want->spec->uid,
                                .gid = want->spec->uid,
                                .flags = VOL_READ_ONLY};
    AUTO_CLOSE int template = -1;
    struct err ignored;
    int r;

    (void)snprintf(point, sizeof(point), "%s/vol/template.%s", l->run_dir, want->spec->id);
    if (vol_place_attach(&l->places[0].place, &attach, e) < 0)
        return -1;
    template = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = template <0 ? err_set_os(e, errno, "could not open \"%s\"", point)
                    : copy_data(template, pod, want->spec->uid, e);
    close_fd(&template);
    return disk_detach(l, point, r < 0 ? &ignored : e) < 0 ? -1 : r;
}

int static_settle(const struct disk_want *want, const char *point, char where[8], struct err *e)
{
    const struct engine_server *spec = want->spec;
    AUTO_CLOSE int top = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int pod = -1;
    struct pg_found found;
    int r;

    if (top < 0)
        return err_set_os(e, errno, "could not open \"%s\"", point);
    pod = fd_open_beneath(top, VOL_DIR_POD, O_RDONLY | O_DIRECTORY, e);
    if (pod < 0)
        return -1;
    r = pg_adopt_look(pod, want->major, &found, e);
    if (r < 0)
        return err_prefix(e, "%s", spec->disks[0].path);
    if (r == 0 && spec->named) {
        (void)err_set(e, ERR_MISSING, "%s is empty, and was not", spec->disks[0].path);
        return err_hint(e, "is its disk mounted? Nothing is made in its place");
    }
    if (r == 0)
        return str_copy(where, 8, PG_DATA_NAME) ? fill(want, pod, e) : -1;
    if (found.uid != spec->uid)
        return err_set(e, ERR_CONFIG,
                       "the data in %s belong to uid %u, the directory itself does not",
                       spec->disks[0].path, (unsigned)found.uid);
    return str_copy(where, 8, found.where) ? 0 : -1;
}
