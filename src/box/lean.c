/*
 * A mount namespace with little in it, from which pods start.
 *
 * bubblewrap begins by copying the mount table, and reads it again for every bind it makes. With a
 * thousand volumes mounted that takes longer than PostgreSQL does. So what a pod binds is carried,
 * as detached copies, into a namespace that has only the host's root, /usr, /etc, /dev and /proc.
 */
#include "lean.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"

#include "box.h"

#define STAGE "/run" /* of the new namespace alone: a tmpfs, later the pods' places */

static int bind_into(const char *from, unsigned long flags, struct err *e)
{
    char to[64];

    (void)snprintf(to, sizeof(to), STAGE "/root%s", from);
    if (mount(from, to, NULL, MS_BIND | flags, NULL) < 0)
        return err_set_os(e, errno, "could not bind \"%s\" for pods", from);
    return 0;
}

static int make_places(struct err *e)
{
    if (mount("pods", STAGE "/root" STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k") < 0)
        return err_set_os(e, errno, "could not mount a place for the binds of pods");
    for (int i = 0; i < BOX_BINDS_MAX; i++) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), STAGE "/root" STAGE "/d%d", i);
        if (mkdir(path, 0755) < 0)
            return err_set_os(e, errno, "could not make \"%s\"", path);
        (void)snprintf(path, sizeof(path), STAGE "/root" STAGE "/f%d", i);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return err_set_os(e, errno, "could not make \"%s\"", path);
        (void)close(fd);
    }
    return 0;
}

static int build(struct err *e)
{
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_set_os(e, errno, "could not make a mount namespace for pods");
    if (mount("stage", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k") < 0 ||
        mkdir(STAGE "/root", 0755) < 0)
        return err_set_os(e, errno, "could not make a root for pods");
    /* Without MS_REC: what is mounted below is what we want to be rid of. */
    if (bind_into("/", 0, e) < 0 || bind_into("/usr", MS_REC, e) < 0 ||
        bind_into("/etc", 0, e) < 0 || bind_into("/dev", 0, e) < 0 || bind_into("/proc", 0, e) < 0)
        return -1;
    if (make_places(e) < 0)
        return -1;
    /* Onto itself: the old root then lies on top of the new one, and is taken off. */
    if (chdir(STAGE "/root") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_set_os(e, errno, "could not change the root for pods");
    return 0;
}

/* The builder lives until its namespace has been opened: it waits for the end of `hold`. */
static void builder(int said, int hold)
{
    struct err e = {.kind = ERR_NONE};
    char byte;

    (void)build(&e);
    if (fd_write_all(said, &e, sizeof(e), &e) == 0)
        (void)!read(hold, &byte, 1);
    _exit(0);
}

static int open_built(pid_t pid, int said, struct err *e)
{
    struct err told;
    char path[40];
    int fd;

    if (read(said, &told, sizeof(told)) != (ssize_t)sizeof(told))
        return err_set(e, ERR_OS, "the mount namespace for pods was not made");
    if (told.kind != ERR_NONE) {
        *e = told;
        return -1;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_os(e, errno, "could not open the mount namespace for pods");
    return fd;
}

int box_lean_open(struct err *e)
{
    AUTO_CLOSE int said = -1, hold = -1;
    int up[2], down[2], fd;
    pid_t pid;

    if (pipe2(up, O_CLOEXEC) < 0)
        return err_set_os(e, errno, "could not make a pipe");
    said = up[0];
    if (pipe2(down, O_CLOEXEC) < 0) {
        (void)close(up[1]);
        return err_set_os(e, errno, "could not make a pipe");
    }
    hold = down[1];
    pid = fork();
    if (pid == 0) {
        (void)close(hold); /* else it would wait for itself */
        builder(up[1], down[0]);
    }
    (void)close(up[1]);
    (void)close(down[0]);
    if (pid < 0)
        return err_set(e, ERR_OS, "could not start a process");
    fd = open_built(pid, said, e);
    close_fd(&hold);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return fd;
}

/* A detached copy of what a bind means. Root resolves this path: never through a link. */
static int detach(const struct box_bind *bind, struct err *e)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    AUTO_CLOSE int opened = -1;
    int tree;

    if (!bind->by_fd) {
        opened = (int)syscall(SYS_openat2, AT_FDCWD, bind->from, &how, sizeof(how));
        if (opened < 0)
            return err_set_os(e, errno, "could not open \"%s\" for the pod", bind->from);
    }
    tree = (int)syscall(SYS_open_tree, bind->by_fd ? bind->fd : opened, "",
                        AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return err_set_os(e, errno, "could not take a copy of the mount of \"%s\"", bind->to);
    return tree;
}

static int attach(int tree, size_t n, char path[BOX_PLACE_SIZE], struct err *e)
{
    struct stat st;

    if (fstat(tree, &st) < 0)
        return err_set_os(e, errno, "could not look at bind %zu of the pod", n);
    (void)snprintf(path, BOX_PLACE_SIZE, STAGE "/%c%zu", S_ISDIR(st.st_mode) ? 'd' : 'f', n);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_set_os(e, errno, "could not attach bind %zu of the pod", n);
    return 0;
}

int box_lean_enter(struct box_plan *p, struct box_places *places, struct err *e)
{
    int trees[BOX_BINDS_MAX];
    size_t kept = 0;

    for (size_t i = 0; i < p->n_binds; i++) {
        struct box_bind *bind = &p->binds[i];

        trees[kept] = detach(bind, e);
        if (trees[kept] < 0) {
            if ((bind->flags & BOX_IF_THERE) != 0 && e->os_errno == ENOENT)
                continue;
            return -1;
        }
        p->binds[kept++] = *bind;
    }
    p->n_binds = kept;
    /* A copy of the lean one: places are the pod's own. */
    if (setns(p->lean_fd, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0)
        return err_set_os(e, errno, "could not enter the mount namespace for pods");
    for (size_t i = 0; i < kept; i++) {
        if (attach(trees[i], i, places->path[i], e) < 0)
            return -1;
        p->binds[i].from = places->path[i];
        p->binds[i].by_fd = false;
    }
    return 0;
}
