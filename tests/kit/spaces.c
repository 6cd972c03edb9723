/* G2-06: new namespaces and mounts, by the numbers of all three instruction sets of this machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"

#define X32 0x40000000L

static const struct kind {
    const char *name;
    unsigned long flag;
} kinds[] = {{"user", 0x10000000},   {"mount", 0x00020000}, {"pid", 0x20000000},
             {"net", 0x40000000},    {"ipc", 0x08000000},   {"uts", 0x04000000},
             {"cgroup", 0x02000000}, {"time", 0x00000080}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static int try_unshare(const void *flag)
{
    return (int)syscall(SYS_unshare, *(const unsigned long *)flag);
}

static void unshare_each(const void *arg)
{
    (void)arg;
    for (size_t i = 0; i < KINDS; i++)
        must_fail(try_unshare, &kinds[i].flag, kinds[i].name);
}

static void clone_each(const void *arg)
{
    /* the highest bits are read by nobody: a filter that compares 64 of them could be passed */
    static const unsigned long extra[] = {0, 1ul << 32, 1ul << 63};

    (void)arg;
    for (size_t i = 0; i < KINDS - 1; i++) /* clone has no bit for the last one */
        for (size_t j = 0; j < sizeof(extra) / sizeof(extra[0]); j++) {
            long pid =
                syscall(SYS_clone, kinds[i].flag | extra[j] | SIGCHLD, NULL, NULL, NULL, NULL);

            if (pid == 0)
                _exit(0);
            refused(pid, kinds[i].name);
            if (pid > 0)
                (void)waitpid((pid_t)pid, NULL, 0);
        }
}

static void clone3_each(const void *arg)
{
    (void)arg;
    for (size_t i = 0; i < KINDS; i++) {
        struct clone_args args = {.flags = kinds[i].flag, .exit_signal = SIGCHLD};
        long pid = syscall(SYS_clone3, &args, sizeof(args));

        if (pid == 0)
            _exit(0);
        refused(pid, kinds[i].name);
        if (pid > 0)
            (void)waitpid((pid_t)pid, NULL, 0);
    }
}

static void setns_each(const void *arg)
{
    static const char *const names[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

    (void)arg;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (int pid = 1; pid <= 2; pid++) {
            char path[40];
            int fd;

            (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
            fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd >= 0)
                forbidden(syscall(SYS_setns, fd, 0), names[i]);
        }
    forbidden(syscall(SYS_setns, -1, 0), "setns");
}

struct mount_call {
    long number;
    long args[6];
};

static void one_call(const void *arg)
{
    const struct mount_call *c = arg;

    refused(
        syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4], c->args[5]),
        "it works");
}

#define CALL(name, ...)                                      \
    {                                                        \
        "G2-06", #name, one_call, &(const struct mount_call) \
        {                                                    \
            SYS_##name,                                      \
            {                                                \
                __VA_ARGS__                                  \
            }                                                \
        }                                                    \
    }
#define TEXT(s) (long)(intptr_t)(s)

/* getpid by the gate of 32-bit programs; a number that 64-bit programs know as another call. */
static int int80(const void *arg)
{
    long result;

    (void)arg;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(20L), "b"(0L), "c"(0L), "d"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    if (result > 0)
        return 0;
    errno = (int)-result;
    return -1;
}

static int int80_mount(const void *arg)
{
    static char tmp[] = "/tmp", type[] = "tmpfs";
    long result;

    (void)arg;
    /* The texts are above 4 GiB: EFAULT says that the kernel came as far as reading them. */
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(21L), "b"((long)(intptr_t)type), "c"((long)(intptr_t)tmp),
                       "d"((long)(intptr_t)type), "S"(0L), "D"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    errno = (int)-result;
    return result >= 0 || result == -EFAULT ? 0 : -1;
}

static void thirty_two(const void *arg)
{
    (void)arg;
    must_fail(int80, NULL, "getpid by int 0x80");
    must_fail(int80_mount, NULL, "mount by int 0x80");
}

static int x32_call(const void *number)
{
    return (int)syscall(*(const long *)number | X32, -1, -1, -1, -1, -1, -1);
}

static void x32(const void *arg)
{
    static const long numbers[] = {SYS_getpid, SYS_unshare, SYS_mount, SYS_ptrace, SYS_bpf};

    (void)arg;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        must_fail(x32_call, &numbers[i], "a number of x32");
}

static void remount(const void *arg)
{
    static const char *const where[] = {
        "/", "/usr", "/tmp", "/dev", "/proc", "/etc/passwd", "/var/lib/postgresql"};

    (void)arg;
    for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++)
        refused(syscall(SYS_mount, "none", where[i], NULL, 32 | 4096, NULL), where[i]);
}

static void unmount(const void *arg)
{
    static const char *const where[] = {"/proc", "/proc/sys", "/proc/kcore", "/usr",
                                        "/tmp",  "/dev/shm",  "/etc/passwd"};

    (void)arg;
    for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++)
        refused(syscall(SYS_umount2, where[i], 2), where[i]);
}

const struct probe spaces_probes[] = {
    {"G2-06", "unshare", unshare_each, NULL},
    {"G2-06", "clone", clone_each, NULL},
    {"G2-06", "clone3", clone3_each, NULL},
    {"G2-06", "setns", setns_each, NULL},
    CALL(mount, TEXT("kit"), TEXT("/tmp"), TEXT("tmpfs"), 0, 0),
    {"G2-06", "remount writable", remount, NULL},
    {"G2-06", "unmount", unmount, NULL},
    CALL(open_tree, AT_FDCWD, TEXT("/usr"), 1),
    CALL(move_mount, AT_FDCWD, TEXT("/tmp"), AT_FDCWD, TEXT("/usr"), 0),
    CALL(fsopen, TEXT("tmpfs"), 0),
    CALL(fspick, AT_FDCWD, TEXT("/"), 0),
    CALL(mount_setattr, AT_FDCWD, TEXT("/"), 0, 0, 0),
    CALL(pivot_root, TEXT("/tmp"), TEXT("/tmp")),
    CALL(chroot, TEXT("/tmp")),
    {"G2-06", "32-bit calls", thirty_two, NULL},
    {"G2-06", "x32 calls", x32, NULL},
    {NULL, NULL, NULL, NULL}};
