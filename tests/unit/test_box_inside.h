/*
 * What test_box_real runs inside a pod: it tries what must fail, and prints a line for each thing
 * that did not. Sensible only there.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"

static void must_fail(const char *what, long r, int want)
{
    if (r >= 0)
        printf("%s worked\n", what);
    else if (errno != want)
        printf("%s failed with %s, not %s\n", what, strerror(errno), strerror(want));
}

#define REFUSED(call, ...) must_fail(#call, syscall(SYS_##call, __VA_ARGS__), EPERM)
#define UNKNOWN(call, ...) must_fail(#call, syscall(SYS_##call, __VA_ARGS__), ENOSYS)

static void inside_namespaces(void)
{
    static const struct {
        const char *name;
        unsigned long flag;
    } kinds[] = {{"mnt", CLONE_NEWNS},  {"cgroup", CLONE_NEWCGROUP}, {"uts", CLONE_NEWUTS},
                 {"ipc", CLONE_NEWIPC}, {"user", CLONE_NEWUSER},     {"pid", CLONE_NEWPID},
                 {"net", CLONE_NEWNET}};
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        long r = syscall(SYS_clone, kinds[i].flag | SIGCHLD, NULL, NULL, NULL, NULL);

        if (r == 0)
            _exit(0);
        must_fail(kinds[i].name, r, EPERM);
        must_fail(kinds[i].name, syscall(SYS_unshare, kinds[i].flag), EPERM);
    }
    UNKNOWN(clone3, &args, sizeof(args));
    REFUSED(setns, 0, 0);
}

static void inside_mounts(void)
{
    REFUSED(mount, "none", "/tmp", "tmpfs", 0, NULL);
    REFUSED(umount2, "/tmp", MNT_DETACH);
    REFUSED(pivot_root, "/tmp", "/tmp");
    REFUSED(chroot, "/tmp");
    REFUSED(open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE);
    REFUSED(move_mount, -1, "", -1, "/tmp", 0);
    REFUSED(fsopen, "tmpfs", 0);
    REFUSED(fsconfig, -1, 0, NULL, NULL, 0);
    REFUSED(fsmount, -1, 0, 0);
    REFUSED(fspick, AT_FDCWD, "/", 0);
    REFUSED(mount_setattr, -1, "", 0, NULL, 0);
    REFUSED(open_by_handle_at, -1, NULL, 0);
    REFUSED(name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0);
    REFUSED(quotactl, 0, NULL, 0, NULL);
}

static void inside_kernel(void)
{
    REFUSED(bpf, 0, NULL, 0);
    REFUSED(userfaultfd, 1);
    REFUSED(io_uring_setup, 1, NULL);
    REFUSED(io_uring_enter, -1, 0, 0, 0, NULL, 0);
    REFUSED(io_uring_register, -1, 0, NULL, 0);
    REFUSED(keyctl, 0, 0);
    REFUSED(add_key, "user", "a", "b", 1, -1);
    REFUSED(request_key, "user", "a", NULL, -1);
    REFUSED(perf_event_open, NULL, 0, -1, -1, 0);
    REFUSED(process_vm_readv, 1, NULL, 0, NULL, 0, 0);
    REFUSED(process_vm_writev, 1, NULL, 0, NULL, 0, 0);
    REFUSED(pidfd_getfd, -1, 0, 0);
    REFUSED(ptrace, 16 /* PTRACE_ATTACH */, 1, NULL, NULL);
    REFUSED(kcmp, 1, 1, 0, 0, 0);
    REFUSED(kexec_load, 0, 0, NULL, 0);
    REFUSED(init_module, NULL, 0, "");
    REFUSED(finit_module, -1, "", 0);
    REFUSED(delete_module, "x", 0);
    REFUSED(swapon, "/tmp/x", 0);
    REFUSED(reboot, 0, 0, 0, NULL);
    REFUSED(settimeofday, NULL, NULL);
    REFUSED(clock_settime, CLOCK_REALTIME, NULL);
    REFUSED(fanotify_init, 0, 0);
    REFUSED(io_setup, 1, NULL);
    REFUSED(syslog, 3, NULL, 0);
#ifdef __x86_64__
    REFUSED(iopl, 3);
    REFUSED(ioperm, 0, 1, 1);
    REFUSED(modify_ldt, 0, NULL, 0);
#endif
    REFUSED(personality, 0x0040000 /* ADDR_NO_RANDOMIZE */);
    if (syscall(SYS_personality, 0xffffffffu) < 0)
        printf("personality cannot be read\n");
    must_fail("call 500", syscall(500), ENOSYS);
}

static void inside_sockets(void)
{
    static const int allowed[] = {AF_UNIX, AF_INET, AF_INET6};

    for (int family = 0; family < 48; family++) {
        AUTO_CLOSE int fd =
            socket(family, SOCK_CLOEXEC | (family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM),
                   family == AF_NETLINK ? 16 /* NETLINK_GENERIC */ : 0);
        bool ok = false;

        for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
            ok = ok || family == allowed[i];
        if (ok != (fd >= 0) || (!ok && errno != EPERM))
            printf("socket family %d: %d, %s\n", family, fd, strerror(errno));
    }
    {
        AUTO_CLOSE int route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

        if (route < 0)
            printf("no route netlink: %s\n", strerror(errno));
    }
    must_fail("raw socket", socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1), EPERM);
}

static void inside_terminal(void)
{
    char c = 'x';

    must_fail("TIOCSTI", ioctl(0, TIOCSTI, &c), EPERM);
    must_fail("TIOCLINUX", ioctl(0, TIOCLINUX, &c), EPERM);
    /* The kernel ignores the upper half; so must the filter. */
    must_fail("TIOCSTI + 2^32", syscall(SYS_ioctl, 0, 0x100000000ull | TIOCSTI, &c), EPERM);
    /* Neighbours of the two are let through to say what they have to say of /dev/null. */
    for (unsigned long request = 0x5410; request <= 0x541f; request++)
        if (request != TIOCSTI && request != TIOCLINUX)
            must_fail("ioctl", ioctl(0, request, &c), ENOTTY);
}

static void inside_killed(const char *what, long number)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)syscall(number);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        printf("%s: status %x\n", what, status);
}

#ifdef __x86_64__
static void inside_i386(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        long r = 20; /* getpid of i386 */

        __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        printf("int 0x80: status %x\n", status);
}
#endif

static void inside_files(void)
{
    static const char *const read_only[] = {"/x", "/usr/x", "/etc/x", "/dev/x", "/run/x"};
    static const char *const absent[] = {
        "/home",    "/var",     "/root",     "/sys",     "/etc/shadow",      "/run/systemd",
        "/dev/mem", "/dev/kvm", "/dev/fuse", "/dev/net", "/dev/loop-control"};
    char block[4096] = "x";
    size_t written = 0;
    int fd;

    for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++)
        must_fail(read_only[i], open(read_only[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600), EROFS);
    must_fail("/etc/passwd", open("/etc/passwd", O_WRONLY | O_CLOEXEC), EACCES);
    must_fail("pid 1", open("/proc/1/exe", O_WRONLY | O_CLOEXEC), EACCES);
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        must_fail(absent[i], open(absent[i], O_RDONLY | O_CLOEXEC), ENOENT);
    fd = open("/tmp/fill", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && write(fd, block, sizeof(block)) == sizeof(block))
        written += sizeof(block);
    if (errno != ENOSPC || written > 4u << 20)
        printf("/tmp took %zu bytes: %s\n", written, strerror(errno));
    (void)unlink("/tmp/fill");
    fd = open("/dev/shm/x", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        printf("/dev/shm: %s\n", strerror(errno));
}

static int inside_probe(void)
{
    inside_namespaces();
    inside_mounts();
    inside_kernel();
    inside_sockets();
    inside_terminal();
    inside_files();
#ifdef __x86_64__
    inside_killed("x32 getpid", 0x40000000 | SYS_getpid);
    inside_i386();
#endif
    printf("done\n");
    return 0;
}

/* Fork until refused; say how many. The children wait to be killed. */
static _Noreturn void inside_bomb(void)
{
    int n = 0;

    for (; n < 5000; n++) {
        pid_t pid = fork();

        if (pid == 0)
            for (;;)
                (void)pause();
        if (pid < 0)
            break;
    }
    printf("%d\n", n);
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

static int inside_hog(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        for (;;) {
            unsigned char *at = malloc(1 << 20);

            for (size_t i = 0; at != NULL && i < 1 << 20; i += 4096)
                ((volatile unsigned char *)at)[i] = 1;
        }
    }
    (void)waitpid(pid, &status, 0);
    printf("%s\n",
           WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? "killed alone" : "survived");
    return 0;
}

static int inside(const char *what)
{
    if (str_is(what, "now")) {
        printf("%" PRIu64 "\n", clock_us());
        return 0;
    }
    if (str_is(what, "probe"))
        return inside_probe();
    if (str_is(what, "bomb"))
        inside_bomb();
    if (str_is(what, "hog"))
        return inside_hog();
    return 2;
}
