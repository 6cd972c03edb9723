/* Beyond the table of trials: what an attacker tries who has read the source. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kit.h"

#define SIXTEEN (16l << 30)

/* Also with bits set that the kernel does not read, but a filter may compare. */
static void type_into_terminals(const void *arg)
{
    static const unsigned long bits[] = {0, 1ul << 32, 1ul << 63};
    int fds[2] = {0, open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)};

    (void)arg;
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++) {
            forbidden(syscall(SYS_ioctl, fds[j], 0x5412ul | bits[i], "x"), "TIOCSTI");
            forbidden(syscall(SYS_ioctl, fds[j], 0x541cul | bits[i], "\3"), "TIOCLINUX");
        }
}

static void identity_maps(const void *arg)
{
    static const char *const files[] = {"/proc/self/uid_map", "/proc/self/gid_map",
                                        "/proc/self/setgroups", "/proc/1/uid_map"};

    (void)arg;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd = open(files[i], O_WRONLY | O_CLOEXEC);

        if (fd < 0)
            contained("%s", errno_name(errno));
        else
            refused(write(fd, i == 2 ? "allow" : "0 0 1\n", i == 2 ? 5 : 6), files[i]);
    }
    refused(syscall(SYS_setgroups, 1, &(gid_t){0}), "setgroups");
    refused(setfsuid(0) == 0 || setfsuid(0) == 0 ? 0 : (errno = EPERM, -1), "setfsuid");
}

/*
 * pid 1 holds the lock of the volume and belongs to the same user: its memory is theirs to change
 * if it can be opened. What it has must then be worth nothing.
 */
static void process_1(const void *arg)
{
    char path[80], text[80];
    struct dirent *entry;
    DIR *dir = opendir("/proc/1/fdinfo");
    int taken = open("/proc/1/mem", O_RDWR | O_CLOEXEC) >= 0;

    (void)arg;
    refused(kill(1, SIGKILL) == 0 && kill(1, 0) < 0 ? 0 : (errno = EPERM, -1), "it can be killed");
    forbidden(syscall(SYS_ptrace, 0x4206, 1, 0, 0), "it can be traced");
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat st;
        const char *flags;

        (void)snprintf(path, sizeof(path), "/proc/1/fdinfo/%.20s", entry->d_name);
        flags = strstr(slurp(path), "flags:");
        (void)snprintf(path, sizeof(path), "/proc/1/fd/%.20s", entry->d_name);
        if (entry->d_name[0] == '.' || flags == NULL || stat(path, &st) < 0)
            continue;
        /* of no file system: what its owner puts into it is counted as theirs */
        if (readlink(path, text, sizeof(text)) > 7 && strncmp(text, "/memfd:", 7) == 0)
            continue;
        if (S_ISREG(st.st_mode) && (strtol(flags + 6, NULL, 8) & O_ACCMODE) != O_RDONLY)
            escaped("descriptor %s of pid 1 is a file that can be written", entry->d_name);
        if (S_ISDIR(st.st_mode))
            escaped("descriptor %s of pid 1 is a directory", entry->d_name);
    }
    (void)snprintf(text, sizeof(text), "%s",
                   taken ? "its memory is its owner's, its descriptors are harmless" : "closed");
    if (strstr(slurp("/proc/1/status"), "Seccomp:\t2") == NULL)
        escaped("it has no filter");
    if (strstr(slurp("/proc/1/status"), "CapPrm:\t0000000000000000") == NULL)
        escaped("it has capabilities");
    contained("%s", text);
}

/* The lock that says "this volume is in use" must not be had by a second opening. */
static void volume_lock(const void *arg)
{
    char path[80], what[PATH_MAX];

    (void)arg;
    for (int pid = 1; pid <= 2; pid++)
        for (int fd = 3; fd < 64; fd++) {
            ssize_t n;

            (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
            n = readlink(path, what, sizeof(what) - 1);
            if (n <= 0 || memmem(what, (size_t)n, "/locks/", 7) == NULL)
                continue;
            if (pid == 2)
                escaped("the server itself holds the lock");
            refused(open(path, O_RDONLY | O_CLOEXEC), "the lock can be opened again");
        }
    contained("out of reach");
}

static void scheduling(const void *arg)
{
    struct sched_param p = {.sched_priority = 1};

    (void)arg;
    refused(sched_setscheduler(0, SCHED_FIFO, &p), "SCHED_FIFO");
    refused(sched_setscheduler(0, SCHED_RR, &p), "SCHED_RR");
    refused(setpriority(PRIO_PROCESS, 0, -1), "a negative nice");
    refused(syscall(SYS_ioprio_set, 1, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 0)),
            "the real-time class of disks");
    refused(prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0), "memory reserves");
}

static void lock_memory(const void *arg)
{
    void *at = mmap(NULL, SIXTEEN, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *huge = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

    (void)arg;
    if (at != MAP_FAILED)
        refused(mlock(at, SIXTEEN), "16 GiB locked");
    else
        contained("%s", errno_name(errno));
    if (huge != MAP_FAILED)
        escaped("1 GiB of huge pages");
}

/*
 * The compiled form of every filter counts against one limit of the whole machine; when it is used
 * up, no pod can be started any more, because its own filter finds no room.
 */
static void socket_filters(const void *arg)
{
    struct sock_filter one = {.code = BPF_RET | BPF_K, .k = 0xffff};
    struct sock_fprog program = {.len = 1, .filter = &one};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)arg;
    refused(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)),
            "SO_ATTACH_FILTER");
    refused(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)),
            "SO_ATTACH_REUSEPORT_CBPF");
    refused(syscall(SYS_setsockopt, fd, SOL_SOCKET | 1l << 32, SO_ATTACH_FILTER | 1l << 32,
                    &program, sizeof(program)),
            "SO_ATTACH_FILTER by high bits");
}

static void more_filters(const void *arg)
{
    struct sock_filter one = {.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW};
    struct sock_fprog program = {.len = 1, .filter = &one};

    (void)arg;
    refused(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), "by prctl");
    refused(syscall(SYS_prctl, PR_SET_SECCOMP | 1l << 32, SECCOMP_MODE_FILTER, &program, 0, 0),
            "by high bits");
    refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "by seccomp");
}

static void linger(const void *arg)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct {
        int on, seconds;
    } value = {1, 10};

    (void)arg;
    refused(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof(value)), "SO_LINGER");
    refused(syscall(SYS_setsockopt, fd, SOL_SOCKET | 1l << 32, SO_LINGER, &value, sizeof(value)),
            "SO_LINGER by high bits");
    refused(setsockopt(fd, 6, 31, "tls", 3), "kernel TLS");
}

static int kernel_refuses_descriptors(void)
{
    struct utsname u;
    long major, minor;
    char *at;

    (void)uname(&u);
    major = strtol(u.release, &at, 10);
    minor = strtol(at + 1, NULL, 10);
    return major > 6 || (major == 6 && minor >= 16);
}

static long send_descriptor(int socket_fd)
{
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fd = 1;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    return sendmsg(socket_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* To dormd by its notify socket, and to whoever is at the other end of sockets that were inherited.
 */
static void send_descriptors(const void *arg)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/dorm/notify"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)arg;
    if (!kernel_refuses_descriptors()) {
        not_tried("kernels before 6.16 cannot refuse them; ours close what they get");
        return;
    }
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        contained("%s", errno_name(errno));
    else
        refused(send_descriptor(fd), "to dormd");
    for (int i = 3; i < 1024; i++) {
        struct ucred peer;
        socklen_t size = sizeof(peer);

        if (getsockopt(i, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == 0 &&
            peer.uid != getuid())
            refused(send_descriptor(i), "to a process of the host's");
    }
}

static void dump_others(const void *arg)
{
    (void)arg;
    /* to be dumpable is a process's own affair; to become the suid kind is not */
    refused(prctl(PR_SET_DUMPABLE, 2, 0, 0, 0), "PR_SET_DUMPABLE 2");
    refused(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0), "PR_SET_MM");
    refused(prctl(PR_SET_SECUREBITS, 0x2f, 0, 0, 0), "PR_SET_SECUREBITS");
    refused(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0), "an ambient capability");
    refused(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), "new privileges");
}

static void own_memory(const void *arg)
{
    static const char constant[4096] = "constant";
    int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pwrite(fd, "changed", 7, (off_t)(intptr_t)constant);

    (void)arg;
    /* a private copy is allowed; the program file, which other pods map too, must stay as it is */
    if (n > 0) {
        int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        char *text = malloc(4 << 20);
        ssize_t len = file < 0 ? 0 : read(file, text, 4 << 20);

        if (len > 0 && memmem(text, (size_t)len, "constant\0\0\0\0", 12) == NULL)
            escaped("the program's file has changed");
    }
    contained("private copies only");
}

static void immutable(const void *arg)
{
    int fd = open("/tmp/kit.flags", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    static const unsigned char capability[20] = {1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff};
    long flags = 0x10;

    (void)arg;
    refused(ioctl(fd, 0x40086602, &flags), "chattr +i");
    refused(syscall(SYS_setxattr, "/tmp/kit.flags", "security.capability", capability,
                    sizeof(capability), 0),
            "security.capability");
    refused(syscall(SYS_setxattr, "/tmp/kit.flags", "trusted.kit", "x", 1, 0), "trusted xattr");
    (void)unlink("/tmp/kit.flags");
}

/* Memory that the kernel counts for nobody, and of which there is no limit. */
static void uncounted_memory(const void *arg)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    struct tcp_md5sig md5 = {.tcpm_keylen = 4};
    int fd = open("/tmp/kit.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    md5.tcpm_addr.ss_family = AF_INET;
    refused(fcntl(fd, F_SETLK, &l), "record locks");
    refused(fcntl(fd, F_OFD_SETLK, &l), "locks of open files");
    refused(syscall(SYS_fcntl, fd, F_SETLK | 1l << 32, &l), "record locks by high bits");
    refused(setsockopt(tcp, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5)), "keys of TCP");
    (void)unlink("/tmp/kit.lock");
}

/* Blocks would be counted for somebody else. */
static void project_ids(const void *arg)
{
    struct fsxattr x = {0};
    int fd = open("/var/lib/postgresql/kit.project", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)arg;
    (void)ioctl(fd, FS_IOC_FSGETXATTR, &x);
    x.fsx_projid = 7;
    refused(ioctl(fd, FS_IOC_FSSETXATTR, &x), "another project");
    (void)unlink("/var/lib/postgresql/kit.project");
}

static void file_system_controls(const void *arg)
{
    static const struct {
        unsigned long request;
        const char *name;
    } calls[] = {{0xc0045877, "FIFREEZE"},       {0xc0045878, "FITHAW"},
                 {0xc0185879, "FITRIM"},         {0x40086610, "EXT4_IOC_RESIZE_FS"},
                 {0x6611, "EXT4_IOC_SWAP_BOOT"}, {0x8004587d, "FS_IOC_SHUTDOWN"}};
    int fd = open("/var/lib/postgresql", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char value[64] = {0};

    (void)arg;
    if (fd < 0)
        fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        refused(ioctl(fd, calls[i].request, value), calls[i].name);
}

const struct probe more_probes[] = {{"more", "type into terminals", type_into_terminals, NULL},
                                    {"more", "maps of ids", identity_maps, NULL},
                                    {"more", "take over pid 1", process_1, NULL},
                                    {"more", "lock of the volume", volume_lock, NULL},
                                    {"more", "priorities", scheduling, NULL},
                                    {"more", "locked and huge memory", lock_memory, NULL},
                                    {"more", "filters on sockets", socket_filters, NULL},
                                    {"more", "filters on calls", more_filters, NULL},
                                    {"more", "sockets that linger", linger, NULL},
                                    {"more", "send descriptors out", send_descriptors, NULL},
                                    {"more", "privileged prctl", dump_others, NULL},
                                    {"more", "own memory", own_memory, NULL},
                                    {"more", "flags and labels of files", immutable, NULL},
                                    {"more", "memory counted for nobody", uncounted_memory, NULL},
                                    {"more", "project ids", project_ids, NULL},
                                    {"more", "control the file system", file_system_controls, NULL},
                                    {NULL, NULL, NULL, NULL}};
