/*
 * Putting another image in the place of a volume, and keeping the old one.
 *
 * The new image is made beside the volume as "<id>.next", and both change names at once: at every
 * instant the volume's name is either all old or all new. After the exchange it is the old one that
 * is called "<id>.next", until it gets the name it is to be kept by. Which of the two a run that
 * was killed left behind, and by which name the old one was to be kept, is written on the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/str.h"

#include "vol-int.h"

#define MARK      "trusted.dormouse.keep" /* on the new image: the name of what it replaced */
#define NEXT_SIZE (VOL_NAME_MAX + sizeof(".next")) /* not .img: nobody lists it */

static void next_file(const char *id, char at[NEXT_SIZE])
{
    (void)snprintf(at, NEXT_SIZE, "%.*s.next", VOL_NAME_MAX, id);
}

/* 1 and the name, 0 when there is no mark, or -1. */
static int mark_read(int fd, const char *name, char at[VOL_NAME_MAX + 1], struct err *e)
{
    ssize_t n = fgetxattr(fd, MARK, at, VOL_NAME_MAX);

    if (n < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
        return 0;
    if (n < 0)
        return err_set_os(e, errno, "could not read the mark of volume \"%s\"", name);
    at[n] = '\0';
    return vol_name_ok(at) ? 1 : 0;
}

static int mark_write(int fd, const char *name, const char *keep_as, struct err *e)
{
    if (fsetxattr(fd, MARK, keep_as, strlen(keep_as), 0) < 0 || fsync(fd) < 0)
        return err_set_os(e, errno, "could not mark volume \"%s\"", name);
    return 0;
}

static int mark_remove(int fd, const char *name, struct err *e)
{
    if (fremovexattr(fd, MARK) < 0)
        return errno == ENODATA || errno == EOPNOTSUPP
                   ? 0
                   : err_set_os(e, errno, "could not unmark volume \"%s\"", name);
    if (fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync volume \"%s\"", name);
    return 0;
}

int replace_mark_copy(int from, int to, const char *name, struct err *e)
{
    char keep_as[VOL_NAME_MAX + 1];
    int r = mark_read(from, name, keep_as, e);

    return r <= 0 ? r : mark_write(to, name, keep_as, e);
}

/* Rename within the pool, onto nothing, durably. */
static int rename_to(const struct vol_pool *p, const char *file, const char *name, struct err *e)
{
    char target[VOL_FILE_SIZE];

    if (image_file(name, target, e) < 0)
        return -1;
    if (renameat2(p->images_fd, file, p->images_fd, target, RENAME_NOREPLACE) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", name);
    return image_sync(p, name, e);
}

/* Seal what is kept, or what is left to do of it: somebody may be reading it already. */
static int seal_kept(const struct vol_pool *p, const char *keep_as, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    int there = image_stat(p, keep_as, &st, e);

    if (there <= 0)
        return there;
    if ((st.st_mode & 0222) != 0)
        return vol_seal(p, keep_as, e);
    fd = image_open(p, keep_as, O_RDONLY, e);
    return fd < 0 ? -1 : image_seal(fd, keep_as, e);
}

/* "<id>.next" is what the volume was: it gets the name that is written on what the volume is. */
static int keep_old(const struct vol_pool *p, const char *id, const char *next, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    char keep_as[VOL_NAME_MAX + 1];
    struct stat st;
    int r = image_stat(p, id, &st, e);

    if (r < 0)
        return -1;
    if (r == 0) /* nobody but a human can have removed it; what there is is the volume */
        return rename_to(p, next, id, e);
    fd = image_open(p, id, O_RDONLY, e);
    if (fd < 0)
        return -1;
    r = mark_read(fd, id, keep_as, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return err_set(e, ERR_EXISTS, "what volume \"%s\" replaced cannot be named: see \"%s\"", id,
                       next);
    if (rename_to(p, next, keep_as, e) < 0 || INJECT("vol.replace.kept", e) < 0)
        return -1;
    return seal_kept(p, keep_as, e);
}

int replace_settle(const struct vol_pool *p, const char *id, struct err *e)
{
    AUTO_CLOSE int fd = -1;
    char next[NEXT_SIZE], mark[VOL_NAME_MAX + 1];
    int r;

    next_file(id, next);
    fd = openat(p->images_fd, next, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not open \"%s\"", next);
    r = mark_read(fd, id, mark, e);
    if (r < 0)
        return -1;
    if (r == 0)
        return keep_old(p, id, next, e);
    /* New, and it never was the volume. */
    if (unlinkat(p->images_fd, next, 0) < 0)
        return err_set_os(e, errno, "could not remove \"%s\"", next);
    return image_sync(p, id, e);
}

/* A clone of the sealed from, marked, as `file`. */
static int make_new(const struct vol_pool *p, const char *id, const char *from, const char *keep_as,
                    const char *file, struct err *e)
{
    AUTO_CLOSE int fd = draft_clone(p, from, id, e);

    if (fd < 0 || mark_write(fd, id, keep_as, e) < 0)
        return -1;
    if (draft_link(p, fd, file) < 0)
        return err_set_os(e, errno, "could not name volume \"%s\"", id);
    return image_sync(p, id, e);
}

static int exchange(const struct vol_pool *p, const char *id, const char *from, const char *keep_as,
                    int old, struct err *e)
{
    char next[NEXT_SIZE], file[VOL_FILE_SIZE];

    next_file(id, next);
    if (image_file(id, file, e) < 0 || make_new(p, id, from, keep_as, next, e) < 0 ||
        INJECT("vol.replace.made", e) < 0)
        return -1;
    /* The old one may bear the mark of its own arrival. */
    if (mark_remove(old, id, e) < 0)
        return -1;
    if (renameat2(p->images_fd, next, p->images_fd, file, RENAME_EXCHANGE) < 0)
        return err_set_os(e, errno, "could not replace volume \"%s\"", id);
    if (image_sync(p, id, e) < 0 || INJECT("vol.replace.exchanged", e) < 0)
        return -1;
    return 0;
}

/* The volume is there, and what it is has to be kept. */
static int replace(const struct vol_pool *p, const char *id, const char *from, const char *keep_as,
                   struct err *e)
{
    AUTO_CLOSE int old = image_open(p, id, O_RDONLY, e);
    char mark[VOL_NAME_MAX + 1], file[VOL_FILE_SIZE];
    int r;

    if (old < 0 || image_claim(old, id, false, e) < 0)
        return -1;
    r = mark_read(old, id, mark, e);
    if (r < 0 || (r == 1 && from != NULL && str_is(mark, keep_as)))
        return r < 0 ? -1 : 0; /* a run before this one found nothing to keep */
    if (from != NULL)
        return exchange(p, id, from, keep_as, old, e);
    if (image_file(id, file, e) < 0 || mark_remove(old, id, e) < 0 ||
        rename_to(p, file, keep_as, e) < 0)
        return -1;
    return INJECT("vol.replace.put.away", e);
}

int vol_replace(const struct vol_pool *p, const char *id, const char *from, const char *keep_as,
                struct err *e)
{
    char file[VOL_FILE_SIZE];
    struct stat st;
    int there, kept;

    if (image_file(id, file, e) < 0 || replace_settle(p, id, e) < 0)
        return -1;
    there = image_stat(p, id, &st, e);
    kept = there < 0 ? -1 : image_stat(p, keep_as, &st, e);
    if (kept < 0)
        return -1;
    if (there == 0 && from != NULL && make_new(p, id, from, keep_as, file, e) < 0)
        return -1;
    if (there == 1 && kept == 0 && replace(p, id, from, keep_as, e) < 0)
        return -1;
    if (replace_settle(p, id, e) < 0)
        return -1;
    return seal_kept(p, keep_as, e);
}
