#include "fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "auto.h"
#include "mem.h"
#include "str.h"

int fd_open_beneath(int dir_fd, const char *path, int flags, struct err *e)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", path);
    return (int)fd;
}

int fd_open_dir(int dir_fd, const char *path, mode_t mode, struct err *e)
{
    int fd;

    if (mkdirat(dir_fd, path, mode) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make directory \"%s\"", path);
    fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_os(e, errno, "could not open directory \"%s\"", path);
    return fd;
}

int fd_read_file(int dir_fd, const char *path, size_t max, char **ret_text, struct err *e)
{
    AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    AUTO_FREE char *text = NULL;
    size_t len = 0, size = 4096;

    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", path);
    text = mem_new(size);
    for (;;) {
        ssize_t n = read(fd, text + len, size - len - 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not read \"%s\"", path);
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max)
            return err_set(e, ERR_LIMIT, "could not read \"%s\": it is larger than %zu bytes", path,
                           max);
        if (size - len < 2)
            text = mem_resize(text, size *= 2);
    }
    text[len] = '\0';
    *ret_text = take_ptr(text);
    return (int)len;
}

/* The entries of a directory, then itself. */
static int remove_entries(int fd_take, struct err *e)
{
    AUTO_CLOSEDIR DIR *dir = fdopendir(fd_take);
    struct dirent *entry;

    if (dir == NULL) {
        (void)close(fd_take);
        return err_set_os(e, errno, "could not read a directory");
    }
    while ((entry = readdir(dir)) != NULL)
        if (!str_is(entry->d_name, ".") && !str_is(entry->d_name, "..") &&
            fd_remove_tree(dirfd(dir), entry->d_name, e) < 0)
            return -1;
    return 0;
}

int fd_remove_tree(int dir_fd, const char *name, struct err *e)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
    };
    long fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && errno == EXDEV)
        return err_set(e, ERR_BUSY, "something is mounted on \"%s\"", name);
    if (fd < 0 && errno != ENOTDIR && errno != ELOOP)
        return err_set_os(e, errno, "could not open \"%s\"", name);
    if (fd < 0)
        return unlinkat(dir_fd, name, 0) < 0 ? err_set_os(e, errno, "could not remove \"%s\"", name)
                                             : 0;
    if (remove_entries((int)fd, e) < 0)
        return err_prefix(e, "in \"%s\"", name);
    return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0
               ? err_set_os(e, errno, "could not remove directory \"%s\"", name)
               : 0;
}

int fd_write_all(int fd, const void *data, size_t len, struct err *e)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not write");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Everything up to the rename, which makes it count. */
static int write_temporary(int fd, const char *temporary, mode_t mode, uid_t uid, gid_t gid,
                           const void *data, size_t len, struct err *e)
{
    if (fd_write_all(fd, data, len, e) < 0)
        return err_prefix(e, "\"%s\"", temporary);
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
        return err_set_os(e, errno, "could not give \"%s\" its owner and mode", temporary);
    if (fsync(fd) < 0)
        return err_set_os(e, errno, "could not sync \"%s\"", temporary);
    return 0;
}

int fd_write_file(int dir_fd, const char *path, mode_t mode, uid_t uid, gid_t gid, const void *data,
                  size_t len, struct err *e)
{
    AUTO_FREE char *temporary = mem_printf("%s.new", path);
    AUTO_CLOSE int fd = -1, parent = -1;
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *folder = slash == NULL ? mem_copy(".") : mem_copy(path);

    (void)unlinkat(dir_fd, temporary, 0); /* left by a crash; nobody reads it */
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_os(e, errno, "could not create \"%s\"", temporary);
    if (write_temporary(fd, temporary, mode, uid, gid, data, len, e) < 0) {
        (void)unlinkat(dir_fd, temporary, 0); /* on a full disk it would only make things worse */
        return -1;
    }
    if (renameat(dir_fd, temporary, dir_fd, path) < 0) {
        (void)err_set_os(e, errno, "could not name \"%s\"", path);
        (void)unlinkat(dir_fd, temporary, 0);
        return -1;
    }
    if (slash != NULL)
        folder[slash == path ? 1 : slash - path] = '\0';
    parent = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 || fsync(parent) < 0)
        return err_set_os(e, errno, "could not sync the directory of \"%s\"", path);
    return 0;
}

int fd_put(int dir_fd, const char *path, const char *text, struct err *e)
{
    AUTO_CLOSE int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    size_t len = strlen(text);
    ssize_t n;

    if (fd < 0)
        return err_set_os(e, errno, "could not open \"%s\"", path);
    n = write(fd, text, len);
    if (n != (ssize_t)len)
        return err_set_os(e, n < 0 ? errno : EIO, "could not write \"%s\" to \"%s\"", text, path);
    return 0;
}

int fd_get_u64(int dir_fd, const char *path, unsigned long long *ret_value, struct err *e)
{
    AUTO_FREE char *text = NULL;
    uint64_t value;

    if (fd_read_file(dir_fd, path, 4096, &text, e) < 0)
        return -1;
    text[strcspn(text, "\n")] = '\0';
    if (!str_u64(text, &value))
        return err_set(e, ERR_OS, "\"%s\" does not hold a number", path);
    *ret_value = value;
    return 0;
}

void fd_refuse_fds(int socket)
{
    static const int so_passrights = 83; /* newer than the headers we may be built with */
    int off = 0;

    (void)setsockopt(socket, SOL_SOCKET, so_passrights, &off, sizeof(off));
}

int fd_nonblocking(int fd, struct err *e)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_set_os(e, errno, "could not make a descriptor non-blocking");
    return 0;
}

int fd_sealed(const char *name, const void *data, size_t len, struct err *e)
{
    AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return err_set_os(e, errno, "could not create an anonymous file");
    if (fd_write_all(fd, data, len, e) < 0)
        return -1;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ||
        lseek(fd, 0, SEEK_SET) != 0)
        return err_set_os(e, errno, "could not seal an anonymous file");
    return take_fd(&fd);
}
