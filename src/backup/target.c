/* Names and locks on a target. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "backup-int.h"

void target_part(const char *name, char at[PART_SIZE])
{
    (void)snprintf(at, PART_SIZE, ".%s.part", name);
}

static void lock_file(const char *name, char at[PART_SIZE])
{
    (void)snprintf(at, PART_SIZE, ".%s.lock", name);
}

int target_open(const char *target, struct err *e)
{
    int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set_os(e, errno, "could not open the target of backups \"%s\"", target);
    return fd;
}

int target_lock(int target_fd, const char *name, int *ret_lock, struct err *e)
{
    char file[PART_SIZE];

    lock_file(name, file);
    for (;;) {
        AUTO_CLOSE int fd =
            openat(target_fd, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct stat held, named;

        if (fd < 0)
            return err_set_os(e, errno, "could not create \"%s\"", file);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
            return err_set(e, ERR_BUSY, "another process works on backup \"%s\"", name);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return err_set_os(e, errno, "could not lock \"%s\"", file);
        /* Whoever had it before us removes it at the end: then ours has no name, and anybody could
         * lock a new one. */
        if (fstat(fd, &held) == 0 && fstatat(target_fd, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            held.st_ino == named.st_ino) {
            *ret_lock = take_fd(&fd);
            return 0;
        }
    }
}

void target_unlock(int target_fd, const char *name, int *lock)
{
    char file[PART_SIZE];

    if (*lock < 0)
        return;
    lock_file(name, file);
    (void)unlinkat(target_fd, file, 0); /* before it is free */
    close_fd(lock);
}

/* ".name.part" or ".name.lock" to "name". */
static bool left_name(const char *entry, char name[BACKUP_NAME_SIZE])
{
    size_t len = strlen(entry);

    if (len < 7 || len - 6 >= BACKUP_NAME_SIZE || entry[0] != '.' ||
        (!str_is(entry + len - 5, ".part") && !str_is(entry + len - 5, ".lock")))
        return false;
    memcpy(name, entry + 1, len - 6);
    name[len - 6] = '\0';
    return backup_name_ok(name);
}

static int clean_one(int target_fd, const char *name, struct err *e)
{
    char part[PART_SIZE];
    int lock = -1, r;

    target_part(name, part);
    if (target_lock(target_fd, name, &lock, e) < 0)
        return e->kind == ERR_BUSY ? 0 : -1;
    r = fd_remove_tree(target_fd, part, e);
    target_unlock(target_fd, name, &lock);
    return r;
}

/* The names of a target, each once for every entry that `of` sees it in. */
static int each(int target_fd, bool (*of)(const char *entry, char name[BACKUP_NAME_SIZE]),
                target_fn fn, void *owner, struct err *e)
{
    AUTO_CLOSE int fd = openat(target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (dir == NULL)
        return err_set_os(e, errno, "could not list the target of backups");
    (void)take_fd(&fd); /* dir has it now */
    while (errno = 0, (entry = readdir(dir)) != NULL) {
        char name[BACKUP_NAME_SIZE];

        if (of(entry->d_name, name) && fn(owner, name, e) < 0)
            return -1;
    }
    return errno != 0 ? err_set_os(e, errno, "could not list the target of backups") : 0;
}

static int clean_entry(void *owner, const char *name, struct err *e)
{
    return clean_one(*(const int *)owner, name, e);
}

int target_clean(int target_fd, struct err *e)
{
    if (each(target_fd, left_name, clean_entry, &target_fd, e) < 0)
        return err_prefix(e, "could not remove what is left of a backup");
    return 0;
}

static bool backup_name(const char *entry, char name[BACKUP_NAME_SIZE])
{
    return backup_name_ok(entry) && str_copy(name, BACKUP_NAME_SIZE, entry);
}

int target_each(int target_fd, target_fn fn, void *owner, struct err *e)
{
    return each(target_fd, backup_name, fn, owner, e);
}
