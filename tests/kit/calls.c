/* G2-07 and G2-22: the system calls that must not be had, and a count of those that can. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"

enum { CALLS = 470 };

struct call {
    long number, args[6];
};

static void never(const void *arg)
{
    const struct call *c = arg;

    forbidden(
        syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4], c->args[5]),
        "it is let through");
}

#define NEVER(name, ...)                            \
    {                                               \
        "G2-07", #name, never, &(const struct call) \
        {                                           \
            SYS_##name,                             \
            {                                       \
                __VA_ARGS__                         \
            }                                       \
        }                                           \
    }

static char room[4096]; /* something to point to */
#define ROOM ((long)(intptr_t)room)

struct family {
    int family, type, protocol;
};

static void no_socket(const void *arg)
{
    const struct family *f = arg;
    int fd = socket(f->family, f->type | SOCK_CLOEXEC, f->protocol);

    forbidden(fd, "it is let through");
}

#define SOCKET(name, ...)                                          \
    {                                                              \
        "G2-07", "socket " name, no_socket, &(const struct family) \
        {                                                          \
            __VA_ARGS__                                            \
        }                                                          \
    }

static void personalities(const void *arg)
{
    static const unsigned long wishes[] = {0x0040000, 0x0400000, 0x0008,
                                           0x0100000, 0x4000000, 0x0001};

    (void)arg;
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++)
        refused(syscall(SYS_personality, wishes[i]), "another personality");
}

static void perf(const void *arg)
{
    struct perf_event_attr attr = {
        .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK};

    (void)arg;
    forbidden(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), "a counter");
}

static void bpf_map(const void *arg)
{
    union bpf_attr attr = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

    (void)arg;
    forbidden(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)), "a map");
}

static void kernel_log(const void *arg)
{
    (void)arg;
    forbidden(syscall(SYS_syslog, 3, room, sizeof(room)), "the kernel's log");
    if (open("/dev/kmsg", O_RDONLY | O_CLOEXEC) >= 0)
        escaped("/dev/kmsg");
}

static void devices(const void *arg)
{
    static const char *const paths[] = {
        "/dev/kvm",   "/dev/fuse",         "/dev/net/tun",       "/dev/mem",       "/dev/kmsg",
        "/dev/loop0", "/dev/loop-control", "/dev/vda",           "/dev/sda",       "/dev/console",
        "/dev/ptmx",  "/dev/userfaultfd",  "/dev/vsock",         "/dev/vhost-net", "/dev/rtc0",
        "/dev/hwrng", "/dev/uinput",       "/dev/mapper/control"};

    (void)arg;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (faccessat(AT_FDCWD, paths[i], F_OK, 0) == 0)
            escaped("%s", paths[i]);
    contained("0 of %zu are there", sizeof(paths) / sizeof(paths[0]));
}

/* ---- the whole surface ---- */

enum answer { LET_THROUGH, DENIED };

/*
 * Junk in every argument, in a child of its own. What blocks, kills or changes the child was let
 * through; only EPERM and ENOSYS are a no. kill(-1, -1) and the like are refused for their signal.
 */
static enum answer ask(long number)
{
    static int *shared;
    pid_t pid;

    if (shared == NULL)
        shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *shared = 0;
    pid = fork();
    if (pid == 0) {
        struct itimerval soon = {.it_value = {.tv_usec = 50000}};
        long result;

        (void)setitimer(ITIMER_REAL, &soon, NULL);
        result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
        *shared = result >= 0 ? -1 : errno;
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
    return *shared == EPERM || *shared == ENOSYS ? DENIED : LET_THROUGH;
}

static int surface(char *text, size_t size)
{
    int count = 0, from = -1;

    text[0] = '\0';
    for (int i = 0; i <= CALLS; i++) {
        int through = i < CALLS && ask(i) == LET_THROUGH;

        count += through;
        if (through && from < 0) {
            from = i;
        } else if (!through && from >= 0) {
            size_t len = strlen(text);

            (void)snprintf(text + len, size - len, from == i - 1 ? " %d" : " %d-%d", from, i - 1);
            from = -1;
        }
    }
    return count;
}

static void whole_surface(const void *arg)
{
    char text[4096];
    int count = surface(text, sizeof(text));

    (void)arg;
    /* the default filter of container runtimes lets through a little more than 300 */
    if (count > 300)
        escaped("%d of %d let through", count, CALLS);
    contained("%d of %d let through", count, CALLS);
}

int mode_calls(char **words)
{
    char text[4096];
    int count = surface(text, sizeof(text));

    (void)words;
    (void)printf("calls %d of %d:%s\n", count, CALLS, text);
    return 0;
}

const struct probe calls_probes[] = {{"G2-07", "whole surface", whole_surface, NULL},
                                     NEVER(userfaultfd, 1),
                                     NEVER(io_uring_setup, 1, ROOM),
                                     NEVER(io_uring_enter, -1),
                                     NEVER(io_uring_register, -1),
                                     NEVER(io_setup, 1, ROOM),
                                     NEVER(keyctl, 0, -3, 0),
                                     NEVER(add_key, ROOM, ROOM, 0, 0, -3),
                                     NEVER(request_key, ROOM, ROOM, 0, -3),
                                     NEVER(ptrace, 0),
                                     NEVER(process_vm_readv, 1, ROOM, 0, ROOM, 0, 0),
                                     NEVER(process_vm_writev, 1, ROOM, 0, ROOM, 0, 0),
                                     NEVER(process_madvise, -1, ROOM, 0, 0, 0),
                                     NEVER(process_mrelease, -1),
                                     NEVER(pidfd_getfd, -1, 0, 0),
                                     NEVER(kcmp, 1, 1, 0, 0, 0),
                                     NEVER(kexec_load, 0, 0, 0, 0),
                                     NEVER(kexec_file_load, -1, -1, 0, 0, 0),
                                     NEVER(init_module, ROOM, 1, ROOM),
                                     NEVER(finit_module, -1, ROOM, 0),
                                     NEVER(delete_module, ROOM, 0),
                                     NEVER(open_by_handle_at, AT_FDCWD, ROOM, 0),
                                     NEVER(name_to_handle_at, AT_FDCWD, ROOM, ROOM, ROOM, 0),
                                     NEVER(quotactl, 0, ROOM, 0, ROOM),
                                     NEVER(swapon, ROOM, 0),
                                     NEVER(swapoff, ROOM),
                                     NEVER(reboot, 0, 0, 0, 0),
                                     NEVER(settimeofday, ROOM, 0),
                                     NEVER(clock_settime, 0, ROOM),
                                     NEVER(adjtimex, ROOM),
                                     NEVER(clock_adjtime, 0, ROOM),
                                     NEVER(iopl, 3),
                                     NEVER(ioperm, 0, 1, 1),
                                     NEVER(fanotify_init, 0, 0),
                                     NEVER(acct, ROOM),
                                     NEVER(vhangup, 0),
                                     NEVER(sync, 0),
                                     NEVER(syncfs, 0),
                                     NEVER(modify_ldt, 0, ROOM, 16),
                                     NEVER(migrate_pages, 0, 0, 0, 0),
                                     NEVER(move_pages, 0, 0, 0, 0, 0, 0),
                                     NEVER(set_mempolicy, 0, 0, 0),
                                     NEVER(mbind, 0, 0, 0, 0, 0, 0),
                                     NEVER(memfd_secret, 0),
                                     NEVER(sethostname, ROOM, 1),
                                     NEVER(setdomainname, ROOM, 1),
                                     NEVER(lookup_dcookie, 0, ROOM, 1),
                                     NEVER(seccomp, SECCOMP_SET_MODE_FILTER, 0, ROOM),
                                     {"G2-07", "personality", personalities, NULL},
                                     SOCKET("AF_PACKET", AF_PACKET, SOCK_DGRAM, 0),
                                     SOCKET("AF_VSOCK", AF_VSOCK, SOCK_STREAM, 0),
                                     SOCKET("AF_ALG", AF_ALG, SOCK_SEQPACKET, 0),
                                     SOCKET("AF_KEY", AF_KEY, SOCK_RAW, 2),
                                     SOCKET("AF_CAN", AF_CAN, SOCK_RAW, 1),
                                     SOCKET("AF_TIPC", AF_TIPC, SOCK_STREAM, 0),
                                     SOCKET("AF_RXRPC", AF_RXRPC, SOCK_DGRAM, AF_INET),
                                     SOCKET("AF_XDP", AF_XDP, SOCK_RAW, 0),
                                     SOCKET("AF_BLUETOOTH", AF_BLUETOOTH, SOCK_RAW, 0),
                                     SOCKET("AF_QIPCRTR", AF_QIPCRTR, SOCK_DGRAM, 0),
                                     SOCKET("netlink, not routes", AF_NETLINK, SOCK_RAW, 12),
                                     SOCKET("raw", AF_INET, SOCK_RAW, 255),
                                     SOCKET("ICMP", AF_INET, SOCK_DGRAM, 1),
                                     SOCKET("SCTP", AF_INET, SOCK_STREAM, 132),
                                     SOCKET("MPTCP", AF_INET, SOCK_STREAM, 262),
                                     SOCKET("UDP-Lite", AF_INET6, SOCK_DGRAM, 136),
                                     SOCKET("DCCP", AF_INET, 6, 0),
                                     {"G2-22", "perf_event_open", perf, NULL},
                                     {"G2-22", "bpf", bpf_map, NULL},
                                     {"G2-22", "kernel log", kernel_log, NULL},
                                     {"G2-22", "devices", devices, NULL},
                                     {NULL, NULL, NULL, NULL}};
