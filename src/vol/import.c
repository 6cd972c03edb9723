/* Images whose content comes from elsewhere, or goes there. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/inject.h"

#include "ext4.h"
#include "vol-int.h"

int vol_import_begin(const struct vol_pool *p, const char *name, struct err *e)
{
    char file[VOL_FILE_SIZE];

    return image_file(name, file, e) < 0 ? -1 : draft_open(p, name, 0600, e);
}

/* A backup can be of anything: what is no file system of the size it claims is refused here, not by
 * the first mount. */
static int check(int fd, const char *name, struct err *e)
{
    struct ext4_super s;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", name);
    if (image_check_capacity(name, (uint64_t)st.st_size, e) < 0 ||
        ext4_super_read(fd, name, &s, e) < 0)
        return -1;
    return s.blocks <= (uint64_t)st.st_size / s.block_size
               ? 0
               : err_set(e, ERR_INPUT, "the file system of volume \"%s\" is cut off", name);
}

int vol_import_finish(const struct vol_pool *p, int fd, const char *name, bool sealed,
                      struct err *e)
{
    if (check(fd, name, e) < 0)
        return -1;
    if (sealed && fchmod(fd, 0400) < 0)
        return err_set_os(e, errno, "could not seal volume \"%s\"", name);
    if (INJECT("vol.imported", e) < 0 || draft_publish(p, fd, name, DRAFT_WRITTEN, e) < 0)
        return -1;
    if (sealed)
        image_set_immutable(fd, true); /* not before: what is immutable gets no name */
    return 0;
}

int vol_sealed_open(const struct vol_pool *p, const char *name, struct err *e)
{
    AUTO_CLOSE int fd = image_open(p, name, O_RDONLY, e);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at volume \"%s\"", name);
    if ((st.st_mode & 0222) != 0)
        return err_set(e, ERR_INTERNAL,
                       "volume \"%s\" is not sealed: it may change while it is read", name);
    return take_fd(&fd);
}
