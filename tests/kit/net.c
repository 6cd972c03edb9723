/* G2-10 and G2-14: other users' pods, and the network. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "kit.h"

/* What `target` opens in the other pod, under names that everybody can guess. */
#define TARGET_KEY  0x4b6974
#define TARGET_NAME "escape-kit-target"
#define TARGET_PORT 7777

static struct sockaddr_un abstract(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    memcpy(a.sun_path + 1, TARGET_NAME, sizeof(TARGET_NAME) - 1);
    return a;
}

static struct sockaddr_in port(const char *address, int number)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};

    (void)inet_pton(AF_INET, address, &a.sin_addr);
    return a;
}

#define ABSTRACT_LEN ((socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(TARGET_NAME)))

int mode_target(char **words)
{
    struct sockaddr_un un = abstract();
    struct sockaddr_in in = port("127.0.0.1", TARGET_PORT);
    int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int file = open("/dev/shm/" TARGET_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    (void)words;
    if (bind(local, (struct sockaddr *)&un, ABSTRACT_LEN) < 0 || listen(local, 5) < 0 ||
        bind(tcp, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(tcp, 5) < 0 || file < 0 ||
        shmget(TARGET_KEY, 4096, IPC_CREAT | 0666) < 0 ||
        semget(TARGET_KEY, 1, IPC_CREAT | 0666) < 0 || msgget(TARGET_KEY, IPC_CREAT | 0666) < 0)
        return 1;
    (void)mq_open("/" TARGET_NAME, O_RDWR | O_CREAT, 0666, NULL);
    (void)puts("ready");
    (void)fflush(stdout);
    (void)fclose(stdout);
    for (;;)
        (void)pause();
}

/* ---- from here ---- */

static int others(void)
{
    if (kit_others[0] == 0)
        not_tried("no other pod was named: --others");
    return kit_others[0] != 0;
}

static void signal_others(const void *arg)
{
    (void)arg;
    if (!others())
        return;
    for (size_t i = 0; kit_others[i] != 0; i++) {
        char path[64];

        refused(kill(kit_others[i], 0), "a signal");
        refused(syscall(SYS_pidfd_open, kit_others[i], 0), "a pidfd");
        refused(syscall(SYS_ptrace, 0x4206, kit_others[i], 0, 0), "ptrace");
        refused(setpriority(0, (id_t)kit_others[i], 19), "its priority");
        refused(syscall(SYS_sched_setaffinity, kit_others[i], 8, "\1\0\0\0\0\0\0"), "its affinity");
        (void)snprintf(path, sizeof(path), "/proc/%d/root", kit_others[i]);
        refused(open(path, O_PATH | O_CLOEXEC), path);
    }
}

static void objects_of_others(const void *arg)
{
    (void)arg;
    if (!others())
        return;
    refused(shmget(TARGET_KEY, 0, 0), "its shared memory");
    refused(semget(TARGET_KEY, 0, 0), "its semaphores");
    refused(msgget(TARGET_KEY, 0), "its message queue");
    refused(mq_open("/" TARGET_NAME, O_RDWR), "its POSIX queue");
    refused(open("/dev/shm/" TARGET_NAME, O_RDWR | O_CLOEXEC), "its POSIX shared memory");
}

static void sockets_of_others(const void *arg)
{
    struct sockaddr_un un = abstract();
    struct sockaddr_in in = port("127.0.0.1", TARGET_PORT);

    (void)arg;
    if (!others())
        return;
    refused(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&un,
                    ABSTRACT_LEN),
            "its abstract socket");
    refused(
        connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&in, sizeof(in)),
        "its port");
}

/* Names of host sockets cannot be guessed from inside: none is known to this network namespace. */
static void abstract_names(const void *arg)
{
    char *text = strdup(slurp("/proc/net/unix")), *rest = NULL;
    int n = 0;

    (void)arg;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        const char *at = strstr(line, " @");

        n++;
        if (at != NULL && strstr(at, TARGET_NAME) == NULL && strstr(at, "@kit") == NULL)
            escaped("%s", at + 1);
    }
    contained("0 of %d sockets", n);
}

/* Which pages of the host's own files are in memory is known to all who share them: stated, not
 * hidden. */
static void page_cache(const void *arg)
{
    int fd = open("/bin/sh", O_RDONLY | O_CLOEXEC);
    unsigned char seen[64] = {0};
    void *at = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, fd, 0);

    (void)arg;
    /* mincore answers "all of it" to who could not write the file; anything else tells */
    if (at == MAP_FAILED || mincore(at, 65536, seen) < 0)
        contained("mincore: %s", errno_name(errno));
    for (int i = 0; i < 16; i++)
        if (seen[i] == 0)
            escaped("mincore tells");
    contained("mincore tells nothing");
}

static void page_cache_by_reading(const void *arg)
{
    char byte;
    struct iovec part = {&byte, 1};

    (void)arg;
    refused(preadv2(open("/bin/sh", O_RDONLY | O_CLOEXEC), &part, 1, 0, RWF_NOWAIT),
            "RWF_NOWAIT tells");
}

static void watch_shared(const void *arg)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    (void)arg;
    /* a watch on what all pods share sees the accesses of all */
    if (fd < 0 || inotify_add_watch(fd, "/bin/sh", IN_OPEN | IN_ACCESS) < 0)
        contained("%s", errno_name(errno));
    else
        escaped("who starts a program of the host's can be seen");
    fd = open("/usr/bin", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    refused(fcntl(fd, F_NOTIFY, DN_ACCESS), "F_NOTIFY");
}

/* ---- out ---- */

struct way {
    const char *address;
    int port, type;
};

static void send_out(const void *arg)
{
    const struct way *way = arg;
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)way->port), .sin6_scope_id = 2};
    struct sockaddr_in four = port(way->address, way->port);
    int is_six = strchr(way->address, ':') != NULL;
    const struct sockaddr *to =
        is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
    int fd = socket(is_six ? AF_INET6 : AF_INET, way->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    long result;

    if (is_six)
        (void)inet_pton(AF_INET6, way->address, &six.sin6_addr);
    if (fd < 0) {
        contained("%s", errno_name(errno));
        return;
    }
    if (way->type == SOCK_DGRAM)
        result = sendto(fd, "kit", 3, 0, to, is_six ? sizeof(six) : sizeof(four));
    else
        result = connect(fd, to, is_six ? sizeof(six) : sizeof(four));
    if (result < 0 && errno == EINPROGRESS) {
        struct pollfd wait = {fd, POLLOUT, 0};
        int why = 0;
        socklen_t size = sizeof(why);

        /* a packet has left; on loopback what counts is whether somebody took it */
        (void)poll(&wait, 1, 1000);
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size);
        errno = why;
        result = why != 0 && strncmp(way->address, "127.", 4) == 0 ? -1 : 0;
    }
    refused(result, way->address);
}

#define OUT(name, ...)                                     \
    {                                                      \
        "G2-14", "to " name, send_out, &(const struct way) \
        {                                                  \
            __VA_ARGS__                                    \
        }                                                  \
    }

static void interfaces(const void *arg)
{
    struct if_nameindex *all = if_nameindex();

    (void)arg;
    for (struct if_nameindex *i = all; i != NULL && i->if_index != 0; i++)
        if (strcmp(i->if_name, "lo") != 0)
            escaped("interface %s", i->if_name);
    if (all == NULL)
        not_tried("interfaces: %s", errno_name(errno));
    contained("lo alone");
}

static void change_network(const void *arg)
{
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)arg;
    refused(ioctl(fd, SIOCSIFFLAGS, &r), "flags of lo");
    refused(ioctl(fd, SIOCSIFADDR, &r), "address of lo");
    refused(ioctl(fd, SIOCADDRT, &r), "a route");
    refused(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), "a device of the host's");
    refused(setsockopt(fd, SOL_SOCKET, SO_MARK, &(int){1}, 4), "a mark");
}

static void listeners(const void *arg)
{
    static const char *const files[] = {"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp"};

    (void)arg;
    for (size_t i = 0; i < 3; i++) {
        char *rest = NULL, *text = strdup(slurp(files[i]));

        (void)strtok_r(text, "\n", &rest);
        for (char *line; (line = strtok_r(NULL, "\n", &rest)) != NULL;) {
            unsigned number = 0, state = 0;

            /* ours are the user's own, and the way to their own server on 5432 */
            if (sscanf(line, " %*d: %*[0-9A-F]:%x %*s %x", &number, &state) == 2 && state == 10 &&
                number != 5432 && number != TARGET_PORT)
                contained("own port %u", number);
        }
    }
    contained("none of the host's");
}

const struct probe net_probes[] = {{"G2-10", "signal and look", signal_others, NULL},
                                   {"G2-10", "shared memory and queues", objects_of_others, NULL},
                                   {"G2-10", "sockets", sockets_of_others, NULL},
                                   {"G2-10", "abstract names", abstract_names, NULL},
                                   {"G2-10", "page cache by mincore", page_cache, NULL},
                                   {"G2-10", "page cache by reading", page_cache_by_reading, NULL},
                                   {"G2-10", "watch shared programs", watch_shared, NULL},
                                   {"G2-14", "interfaces", interfaces, NULL},
                                   {"G2-14", "listeners", listeners, NULL},
                                   {"G2-14", "change the network", change_network, NULL},
                                   OUT("the internet", "9.9.9.9", 443, SOCK_STREAM),
                                   OUT("the internet by UDP", "9.9.9.9", 53, SOCK_DGRAM),
                                   OUT("cloud metadata", "169.254.169.254", 80, SOCK_STREAM),
                                   OUT("a private net", "10.0.0.1", 22, SOCK_STREAM),
                                   OUT("a bridge", "172.17.0.1", 80, SOCK_STREAM),
                                   OUT("broadcast", "255.255.255.255", 67, SOCK_DGRAM),
                                   OUT("multicast", "224.0.0.1", 5353, SOCK_DGRAM),
                                   OUT("the internet by IPv6", "2620:fe::fe", 443, SOCK_STREAM),
                                   OUT("link-local IPv6", "fe80::1", 80, SOCK_DGRAM),
                                   OUT("SSH on loopback", "127.0.0.1", 22, SOCK_STREAM),
                                   {NULL, NULL, NULL, NULL}};
