#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/err.h"

#include "vol-int.h"

#define TRIES 5

static int open_lock(int dir_fd, const char *id)
{
    return openat(dir_fd, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

/* 1: ours. 0: somebody has it. 2: the file was removed and perhaps made anew meanwhile. */
static int try_lock(int dir_fd, const char *id, int fd)
{
    struct stat held, named;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 0 : -1;
    if (fstat(fd, &held) < 0)
        return -1;
    if (fstatat(dir_fd, id, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 2 : -1;
    return held.st_ino == named.st_ino && held.st_dev == named.st_dev ? 1 : 2;
}

int vol_lock(int locks_dir_fd, const char *id, int *ret_fd, struct err *e)
{
    if (!vol_name_ok(id))
        return err_set(e, ERR_INPUT, "this cannot be the name of a volume");
    /* Several tries, since vol_lock_held() of another process has it for an instant. */
    for (int i = 0; i < TRIES; i++) {
        AUTO_CLOSE int made =
            openat(locks_dir_fd, id, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        /* Opened again: whoever inherits the lock must not get a file it could write to. */
        AUTO_CLOSE int fd = made < 0 ? -1 : open_lock(locks_dir_fd, id);
        int r;

        if (made >= 0 && fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return err_set_os(e, errno, "could not open the lock of volume \"%s\"", id);
        r = try_lock(locks_dir_fd, id, fd);
        if (r < 0)
            return err_set_os(e, errno, "could not lock volume \"%s\"", id);
        if (r == 1) {
            *ret_fd = take_fd(&fd);
            return 0;
        }
        wait_a_moment();
    }
    return err_set(e, ERR_BUSY, "volume \"%s\" is in use", id);
}

int vol_lock_held(int locks_dir_fd, const char *id, struct err *e)
{
    AUTO_CLOSE int fd = -1;

    if (!vol_name_ok(id))
        return err_set(e, ERR_INPUT, "this cannot be the name of a volume");
    fd = open_lock(locks_dir_fd, id);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_set_os(e, errno, "could not open the lock of volume \"%s\"", id);
    /* Shared, so that two who ask at the same moment do not see each other. */
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return 1;
    return err_set_os(e, errno, "could not look at the lock of volume \"%s\"", id);
}
