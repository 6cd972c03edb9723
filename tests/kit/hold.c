/*
 * G2-11 and G2-13: take as much of one thing of the kernel's as can be had, say how much that is,
 * and keep it until killed. `hold what [bytes at most]` prints "held N objects, B bytes at least".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kit.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static uint64_t most = 64 * MIB; /* of memory: more than this is not asked for */

struct held {
    uint64_t objects, bytes;
};

static void hold_processes(struct held *h)
{
    for (pid_t pid; (pid = fork()) >= 0; h->objects++)
        if (pid == 0)
            for (;;)
                (void)pause();
}

static void hold_inotify(struct held *h)
{
    int last = -1;

    for (int fd; (fd = inotify_init1(IN_CLOEXEC)) >= 0; h->objects++)
        last = fd;
    for (int i = 0; i < 8192 && last >= 0; i++) {
        char path[64];
        int file;

        (void)snprintf(path, sizeof(path), "/tmp/kit.watch.%d", i);
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0)
            break;
        (void)close(file);
        h->objects += inotify_add_watch(last, path, IN_MODIFY) >= 0;
    }
}

static void hold_keys(struct held *h)
{
    char name[32];

    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof(name), "kit%d", i);
        if (syscall(SYS_add_key, "user", name, "x", 1, -3) < 0)
            return;
        h->objects++;
    }
}

static void hold_pipes(struct held *h)
{
    static char page[64 * KIB];
    int fds[2];

    while (h->bytes < most && pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0) {
        ssize_t n;

        (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
        while ((n = write(fds[1], page, sizeof(page))) > 0)
            h->bytes += (uint64_t)n;
        h->objects++;
    }
}

static void hold_signals(struct held *h)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    for (union sigval v = {0}; h->objects < 2000000 && sigqueue(getpid(), SIGRTMIN, v) == 0;)
        h->objects++;
    h->bytes = h->objects * 80;
}

static void hold_queues(struct held *h)
{
    static char text[8192];
    char name[32];

    for (int i = 0; i < 256; i++) {
        struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192};
        mqd_t q;

        (void)snprintf(name, sizeof(name), "/kit%d", i);
        q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
        if (q < 0)
            return;
        while (mq_send(q, text, sizeof(text), 0) == 0)
            h->bytes += sizeof(text);
        h->objects++;
    }
}

static void hold_locked(struct held *h)
{
    struct rlimit r;
    void *at;

    (void)getrlimit(RLIMIT_MEMLOCK, &r);
    h->bytes = r.rlim_cur < most ? r.rlim_cur : most;
    at = mmap(NULL, h->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mlock(at, h->bytes) < 0)
        h->bytes = 0;
    h->objects = h->bytes > 0;
}

static void hold_timers(struct held *h)
{
    struct sigevent none = {.sigev_notify = SIGEV_NONE};

    for (timer_t t; h->objects < 1000000 && timer_create(CLOCK_MONOTONIC, &none, &t) == 0;)
        h->objects++;
    h->bytes = h->objects * 256;
}

/* Descriptors in flight, which a limit per user counts, and the data in the sockets. */
static void hold_sockets(struct held *h)
{
    static char page[32 * KIB];
    int fds[2];

    while (h->bytes < most &&
           socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0) {
        char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec part = {&byte, 1};
        struct msghdr m = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        ssize_t n;

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fds[1], sizeof(int));
        while (sendmsg(fds[0], &m, 0) > 0)
            h->objects++;
        while ((n = write(fds[0], page, sizeof(page))) > 0)
            h->bytes += (uint64_t)n;
    }
}

/* Never read: what is sent stays in the kernel, on one side or on the other. */
static void hold_tcp(struct held *h)
{
    static char page[256 * KIB];
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(in);

    if (bind(listener, (struct sockaddr *)&in, size) < 0 || listen(listener, 4096) < 0 ||
        getsockname(listener, (struct sockaddr *)&in, &size) < 0)
        return;
    while (h->bytes < most) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int quiet = 0;

        if (fd < 0 || connect(fd, (struct sockaddr *)&in, size) < 0)
            return;
        (void)fcntl(fd, F_SETFL, O_NONBLOCK);
        while (quiet < 3) {
            ssize_t n = write(fd, page, sizeof(page));

            quiet = n > 0 ? 0 : quiet + 1;
            h->bytes += n > 0 ? (uint64_t)n : 0;
        }
        h->objects++;
    }
}

static void hold_udp(struct held *h)
{
    static char page[32 * KIB];

    while (h->bytes < most) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int to = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
            from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(in);

        if (to < 0 || from < 0 || bind(to, (struct sockaddr *)&in, size) < 0 ||
            getsockname(to, (struct sockaddr *)&in, &size) < 0)
            return;
        for (int i = 0; i < 6; i++)
            if (sendto(from, page, sizeof(page), MSG_DONTWAIT, (struct sockaddr *)&in, size) > 0)
                h->bytes += sizeof(page);
        (void)close(from);
        h->objects++;
    }
}

/* A few on each file: every new one is held against all that there are. */
static void hold_locks(struct held *h)
{
    for (int f = 0; f < 4000 && h->bytes < most; f++) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "/tmp/kit.lock.%d", f);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        for (off_t at = 1000; fd >= 0 && at > 0 && h->bytes < most; at--) {
            struct flock l = {
                .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at * 2, .l_len = 1};

            if (fcntl(fd, F_SETLK, &l) < 0)
                return;
            h->objects++;
            h->bytes += 170;
        }
    }
}

static void hold_files(struct held *h)
{
    for (int fd; (fd = eventfd(0, EFD_CLOEXEC)) >= 0;)
        h->objects++;
    h->bytes = h->objects * 256;
}

static void hold_epoll(struct held *h)
{
    int fds[1000], n = 0;

    while (n < 1000 && (fds[n] = eventfd(0, EFD_CLOEXEC)) >= 0)
        n++;
    for (int e; h->bytes < most && (e = epoll_create1(EPOLL_CLOEXEC)) >= 0;)
        for (int i = 0; i < n; i++) {
            struct epoll_event ev = {.events = EPOLLIN};

            if (epoll_ctl(e, EPOLL_CTL_ADD, fds[i], &ev) < 0)
                return;
            h->objects++;
            h->bytes += 128;
        }
}

static void fill(int fd, struct held *h)
{
    static char page[MIB];

    memset(page, 'x', sizeof(page));
    for (ssize_t n; fd >= 0 && h->bytes < most && (n = write(fd, page, sizeof(page))) > 0;)
        h->bytes += (uint64_t)n;
    h->objects = 1;
}

static void hold_memfd(struct held *h)
{
    fill((int)syscall(SYS_memfd_create, "kit", 1), h);
}

static void hold_shm(struct held *h)
{
    fill(open("/dev/shm/kit.fill", O_RDWR | O_CREAT | O_CLOEXEC, 0600), h);
}

static void hold_tmp(struct held *h)
{
    fill(open("/tmp/kit.fill", O_RDWR | O_CREAT | O_CLOEXEC, 0600), h);
}

static void hold_cache(struct held *h)
{
    fill(open("/var/lib/postgresql/kit.fill", O_RDWR | O_CREAT | O_CLOEXEC, 0600), h);
}

static void hold_names(struct held *h)
{
    for (int i = 0; h->bytes < most; i++) {
        char path[256];

        /* they are not there, which the kernel remembers as well */
        (void)snprintf(path, sizeof(path), "/var/lib/postgresql/%0200d", i);
        if (open(path, O_PATH | O_CLOEXEC) >= 0)
            return;
        h->objects++;
        h->bytes += 400;
    }
}

static void hold_sysv(struct held *h)
{
    static struct {
        long type;
        char text[8000];
    } m = {.type = 1};

    for (int q; h->bytes < most && (q = msgget(IPC_PRIVATE, IPC_CREAT | 0600)) >= 0; h->objects++)
        while (msgsnd(q, &m, sizeof(m.text), IPC_NOWAIT) == 0)
            h->bytes += sizeof(m.text);
    for (int id; h->bytes < most && (id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600)) >= 0;
         h->objects++) {
        memset(shmat(id, NULL, 0), 'x', MIB);
        h->bytes += MIB;
    }
}

static void hold_semaphores(struct held *h)
{
    while (h->bytes < most && semget(IPC_PRIVATE, 32000, IPC_CREAT | 0600) >= 0) {
        h->objects++;
        h->bytes += 32000 * 64;
    }
}

/* The machine code of filters; each socket holds one of 4096 instructions. */
static void hold_filters(struct held *h)
{
    static struct sock_filter code[4096];
    struct sock_fprog program = {.len = 4096, .filter = code};
    int refusals = 0;

    for (size_t i = 0; i < 4095; i++)
        code[i] = (struct sock_filter){.code = BPF_ALU | BPF_ADD | BPF_K, .k = (uint32_t)i};
    code[4095] = (struct sock_filter){.code = BPF_RET | BPF_A};
    for (int child = 0; child < 8 && refusals == 0; child++) {
        if (child > 0 && fork() > 0)
            _exit(0);
        for (int fd; refusals == 0 && (fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0;) {
            if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
                refusals++;
            else
                h->objects++;
        }
    }
    h->bytes = h->objects * 4096 * 4;
}

int mode_hold(char **words)
{
    static const struct {
        const char *name;
        void (*run)(struct held *h);
    } kinds[] = {{"processes", hold_processes},
                 {"inotify", hold_inotify},
                 {"keys", hold_keys},
                 {"pipes", hold_pipes},
                 {"signals", hold_signals},
                 {"queues", hold_queues},
                 {"locked", hold_locked},
                 {"timers", hold_timers},
                 {"sockets", hold_sockets},
                 {"tcp", hold_tcp},
                 {"udp", hold_udp},
                 {"locks", hold_locks},
                 {"files", hold_files},
                 {"epoll", hold_epoll},
                 {"memfd", hold_memfd},
                 {"shm", hold_shm},
                 {"tmp", hold_tmp},
                 {"cache", hold_cache},
                 {"names", hold_names},
                 {"sysv", hold_sysv},
                 {"semaphores", hold_semaphores},
                 {"filters", hold_filters}};
    struct held h = {0};

    if (words[0] != NULL && words[1] != NULL)
        most = strtoull(words[1], NULL, 10);
    for (size_t i = 0; words[0] != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(words[0], kinds[i].name) == 0) {
            kinds[i].run(&h);
            (void)printf("held %llu objects, %llu bytes\n", (unsigned long long)h.objects,
                         (unsigned long long)h.bytes);
            (void)fclose(stdout);
            for (;;)
                (void)pause();
        }
    return 2;
}
