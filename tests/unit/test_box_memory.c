/* The memory of pods: from files that look like the kernel's, and from the kernel. */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "box/eaters.h"
#include "box/groups-memory.h"
#include "t.h"

#define MIB (UINT64_C(1) << 20)
#define ID  "abcdefghijklm"

static char root[40];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tree_begin(void)
{
    (void)snprintf(root, sizeof(root), "/tmp/box-memory-XXXXXX");
    if (mkdtemp(root) == NULL)
        abort();
}

static void tree_end(struct box_groups *g)
{
    box_groups_close(g);
    (void)nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Make the file and the directories above it. */
static void file(const char *path, const char *text)
{
    AUTO_FREE char *full = mem_printf("%s/%s", root, path);
    struct err e;
    int fd;

    for (char *p = strchr(full + strlen(root) + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(full, 0755);
        *p = '/';
    }
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fd_write_all(fd, text, strlen(text), &e) < 0)
        abort();
    (void)close(fd);
}

static bool holds(const char *path, const char *text)
{
    AUTO_FREE char *full = mem_printf("%s/%s", root, path);
    AUTO_FREE char *got = NULL;
    struct err e;

    return fd_read_file(-1, full, 4096, &got, &e) >= 0 && strcmp(got, text) == 0;
}

static struct box_groups *open_v1(void)
{
    AUTO_FREE char *text = mem_printf("31 23 0:28 / %s/memory rw - cgroup x rw,memory\n"
                                      "32 23 0:29 / %s/pids rw - cgroup x rw,pids\n",
                                      root, root);
    struct err e;

    return box_groups_open_from(text, "k", NULL, &e);
}

static struct box_groups *open_v2(void)
{
    AUTO_FREE char *text = mem_printf("31 23 0:28 / %s/v2 rw - cgroup2 x rw\n", root);
    struct err e;

    return box_groups_open_from(text, "k", NULL, &e);
}

#define V1 "memory/dormouse-k/" ID "/"
#define V2 "v2/dormouse-k/" ID "/"

static void v1_files(void)
{
    file(V1 "memory.limit_in_bytes", "104857600\n");
    file(V1 "memory.usage_in_bytes", "100000000\n");
    file(V1 "memory.kmem.usage_in_bytes", "1000000\n");
    file(V1 "memory.stat", "cache 90\nrss 5\ntotal_cache 80000000\ntotal_rss 7000000\n"
                           "total_rss_huge 1\ntotal_shmem 3000000\n");
    file(V1 "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    file("pids/dormouse-k/" ID "/pids.current", "9\n");
}

static void page_cache_is_not_held(void)
{
    struct box_memory m;
    struct box_groups *g;
    struct err e;

    tree_begin();
    v1_files();
    g = open_v1();
    T_EQ(box_groups_memory(g, ID, &m, &e), 0);
    T_EQ(m.limit, 104857600);
    T_EQ(m.usage, 100000000);
    T_EQ(m.held, 11000000);
    T_EQ(m.oom_kills, 3);
    T_EQ(m.processes, 9);
    file(V1 "memory.kmem.usage_in_bytes", "50000000\n"); /* names of files, for the most part */
    T_EQ(box_groups_memory(g, ID, &m, &e), 0);
    T_EQ(m.held, 10000000 + 104857600 / 8);
    file(V1 "memory.limit_in_bytes", "9223372036854771712\n");
    T_EQ(box_groups_memory(g, ID, &m, &e), 0);
    T_EQ(m.limit, 0);
    T_EQ(box_groups_memory(g, "nobody", &m, &e), -1);
    T_EQ(e.kind, ERR_NOT_FOUND);
    tree_end(g);
}

static void v2_says_the_same_in_other_words(void)
{
    struct box_memory m;
    struct box_groups *g;
    struct err e;

    tree_begin();
    file("v2/cgroup.controllers", "memory\n");
    file("v2/cgroup.subtree_control", "memory\n");
    file("v2/dormouse-k/cgroup.controllers", "memory\n");
    file("v2/dormouse-k/cgroup.subtree_control", "memory\n");
    file(V2 "memory.max", "104857600\n");
    file(V2 "memory.current", "100000000\n");
    file(V2 "memory.stat", "anon 7000000\nfile 80000000\nkernel 5000000\nshmem 3000000\n"
                           "slab_reclaimable 4000000\n");
    file(V2 "memory.events", "low 0\nhigh 2\nmax 4\noom 9\noom_kill 2\noom_group_kill 5\n");
    g = open_v2();
    T_EQ(box_groups_memory(g, ID, &m, &e), 0);
    T_EQ(m.held, 11000000);
    T_EQ(m.oom_kills, 2);
    T_EQ(m.limit, 104857600);
    file(V2 "memory.max", "max\n");
    T_EQ(box_groups_memory(g, ID, &m, &e), 0);
    T_EQ(m.limit, 0);
    tree_end(g);
}

static void all_pods_have_a_limit_together(void)
{
    struct box_usage u;
    struct box_groups *g;
    struct err e;

    tree_begin();
    file("memory/dormouse-k/memory.limit_in_bytes", "");
    file("memory/dormouse-k/memory.memsw.limit_in_bytes", "");
    file("memory/dormouse-k/memory.usage_in_bytes", "77\n");
    file("memory/dormouse-k/memory.max_usage_in_bytes", "78\n");
    g = open_v1();
    T_EQ(box_groups_limit_all(g, 1 << 30, &e), 0);
    T_OK(holds("memory/dormouse-k/memory.limit_in_bytes", "1073741824"));
    T_OK(holds("memory/dormouse-k/memory.memsw.limit_in_bytes", "1073741824"));
    T_EQ(box_groups_usage_all(g, &u, &e), 0);
    T_EQ(u.memory, 77);
    T_EQ(u.memory_peak, 78);
    T_OK(u.oom_kills == BOX_UNKNOWN);
    file("memory/dormouse-k/memory.memsw.limit_in_bytes", "");
    file("memory/dormouse-k/memory.limit_in_bytes", "");
    T_EQ(box_groups_limit_all(g, 0, &e), 0);
    T_OK(holds("memory/dormouse-k/memory.limit_in_bytes", "-1"));
    T_OK(holds("memory/dormouse-k/memory.memsw.limit_in_bytes", "-1"));
    tree_end(g);
}

static void our_own_memory_is_weighed(void)
{
    struct box_eater before = box_eater_now(getpid()), after;
    char *more = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(more, 1, 32 * MIB);
    after = box_eater_now(getpid());
    T_OK(after.own >= before.own + 31 * MIB && after.own < before.own + 34 * MIB);
    T_OK(after.shared < before.shared + MIB);
    (void)munmap(more, 32 * MIB);
    T_EQ(box_eater_now(0x7ffffffe).own, 0);
}

/* In the group: take as much, say so, wait. */
static pid_t eat(const struct box_groups *g, size_t bytes, int out)
{
    pid_t pid = fork();
    struct err e;
    char *at;

    if (pid != 0)
        return pid;
    if (box_groups_join(g, ID, &e) < 0)
        _exit(1);
    at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(at, 1, bytes);
    (void)!write(out, "x", 1);
    for (;;)
        (void)pause();
}

static void the_kernel_tells_when_a_level_is_passed(void)
{
    static const struct box_limits limits = {.memory = 64 * MIB};
    static const uint64_t levels[] = {32 * MIB};
    AUTO_FREE char *key = mem_printf("ut%d", (int)getpid());
    struct err e;
    struct box_groups *g = geteuid() != 0 ? NULL : box_groups_open(key, NULL, &e);
    struct box_memory m;
    struct pollfd p = {.fd = -1};
    int said[2] = {-1, -1}, fd = -1;
    uint32_t events = 0;
    char c;
    pid_t pid;

    if (g == NULL || (box_groups_limits(g) & BOX_LIMITS_MEMORY) == 0) {
        printf("# not tested: no control groups for memory, or not root\n");
        if (g != NULL)
            box_groups_purge(g);
        return;
    }
    T_EQ(pipe2(said, O_CLOEXEC), 0);
    T_EQ(box_groups_make(g, ID, &limits, &e), 0);
    T_EQ(box_groups_memory_events(g, ID, &fd, &events, &e), 0);
    T_EQ(box_groups_memory_levels(g, ID, fd, levels, 1, &e), 0);
    p = (struct pollfd){.fd = fd, .events = (short)((events & EPOLLPRI) != 0 ? POLLPRI : POLLIN)};
    T_EQ(poll(&p, 1, 0), 0);
    pid = eat(g, 40 * MIB, said[1]);
    T_EQ(read(said[0], &c, 1), 1);
    T_EQ(poll(&p, 1, 2000), 1);
    box_groups_memory_noted(fd);
    T_EQ(poll(&p, 1, 0), 0);
    T_EQ(box_groups_memory(g, ID, &m, &e), 0);
    T_EQ(m.limit, 64 * MIB);
    T_OK(m.held > 40 * MIB && m.held < 48 * MIB);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(fd);
    (void)close(said[0]);
    (void)close(said[1]);
    while (box_groups_remove(g, ID, &e) == 1)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    box_groups_purge(g);
}

int main(void)
{
    T_RUN(page_cache_is_not_held);
    T_RUN(v2_says_the_same_in_other_words);
    T_RUN(all_pods_have_a_limit_together);
    T_RUN(our_own_memory_is_weighed);
    T_RUN(the_kernel_tells_when_a_level_is_passed);
    return t_end();
}
