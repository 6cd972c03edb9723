/* Images of images: as of one moment in the same pool, or whole in another one. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"

#include "vol-int.h"

/* XFS knows the number; others have to count. Best effort: it is a figure for the operator. */
static uint64_t count_extents(int fd)
{
    struct fsxattr x;
    struct fiemap map = {.fm_length = FIEMAP_MAX_OFFSET};

    if (ioctl(fd, FS_IOC_FSGETXATTR, &x) == 0 && x.fsx_nextents > 0)
        return x.fsx_nextents;
    return ioctl(fd, FS_IOC_FIEMAP, &map) == 0 ? map.fm_mapped_extents : 0;
}

/* An image that is there under the name of the snapshot. */
static int found(const struct vol_pool *p, const char *as, const struct stat *st, struct err *e)
{
    AUTO_CLOSE int fd = -1;

    if ((st->st_mode & 0222) != 0)
        return err_set(e, ERR_EXISTS, "there already is a volume \"%s\", and it is no snapshot",
                       as);
    fd = image_open(p, as, O_RDONLY, e);
    if (fd < 0 || image_seal(fd, as, e) < 0)
        return -1;
    return image_sync(p, as, e);
}

static int open_source(const struct vol_pool *p, const char *id, struct err *e)
{
    AUTO_CLOSE int fd = image_open(p, id, O_RDONLY, e);

    if (fd < 0)
        return -1;
    /* Sharing is one moment in the file system below, whoever writes; copying is not. */
    if (p->how != VOL_COPY || image_claim(fd, id, true, e) == 0)
        return take_fd(&fd);
    if (e->kind != ERR_BUSY)
        return -1;
    (void)err_set(e, ERR_BUSY,
                  "volume \"%s\" cannot be copied while it is attached: its disk cannot share "
                  "blocks",
                  id);
    return err_hint(e, "let its server sleep, then take the snapshot");
}

int vol_snapshot(const struct vol_pool *p, const char *id, const char *as, uint64_t *ret_extents,
                 struct err *e)
{
    AUTO_CLOSE int from = -1, to = -1;
    uint64_t extents;
    struct stat st;
    int there = image_stat(p, as, &st, e);

    if (there < 0)
        return -1;
    if (there == 1) {
        if (found(p, as, &st, e) < 0)
            return -1;
        *ret_extents = 0;
        return 0;
    }
    from = open_source(p, id, e);
    to = from < 0 ? -1 : draft_open(p, as, 0400, e);
    if (to < 0)
        return -1;
    if (draft_share(p, from, to) < 0)
        return err_set_os(e, errno, "could not take a snapshot of volume \"%s\"", id);
    extents = p->how == VOL_COPY ? 0 : count_extents(to);
    if (INJECT("vol.snapshot.taken", e) < 0 || draft_publish(p, to, as, DRAFT_SHARED, e) < 0)
        return -1;
    image_set_immutable(to, true); /* not before: what is immutable gets no name */
    *ret_extents = extents;
    return 0;
}

int vol_copy_image(const struct vol_pool *from, const struct vol_pool *to, const char *id,
                   struct err *e)
{
    AUTO_CLOSE int source = -1, target = -1;
    struct stat st, there_st;
    bool sealed;
    int there = image_stat(to, id, &there_st, e);

    if (there < 0)
        return -1;
    source = image_open(from, id, O_RDONLY, e);
    if (source < 0 || image_claim(source, id, true, e) < 0)
        return -1;
    if (fstat(source, &st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", id);
    if (there == 1 && there_st.st_size != st.st_size)
        return err_set(e, ERR_EXISTS, "there already is another volume \"%s\" in \"%s\"", id,
                       to->dir);
    if (there == 1)
        return image_sync(to, id, e);
    sealed = (st.st_mode & 0222) == 0;
    target = draft_open(to, id, sealed ? 0400 : 0600, e);
    if (target < 0)
        return -1;
    if (draft_copy_sparse(source, target, st.st_size) < 0)
        return err_set_os(e, errno, "could not copy volume \"%s\" to \"%s\"", id, to->dir);
    if (replace_mark_copy(source, target, id, e) < 0 || INJECT("vol.copied", e) < 0 ||
        draft_publish(to, target, id, DRAFT_WRITTEN, e) < 0)
        return -1;
    if (sealed)
        image_set_immutable(target, true);
    return 0;
}
