#include "groups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "groups-int.h"

#define PERIOD_US   100000u
#define PATH_SIZE   128
#define PIDS_TEXT   (BOX_PIDS_MAX * 12u)
#define KILL_BATCH  64
#define KILL_PASSES 8
#define NO_LIMIT_V1 "-1"
#define NO_LIMIT_V2 "max"
/* Of the memory of a pod, for the buffers of its network sockets beside it. */
#define SOCKETS_SHARE 16
#define SOCKETS_LEAST (16ull << 20)

bool box_id_ok(const char *id)
{
    size_t len = strlen(id);

    return len > 0 && len < BOX_NAME_MAX - 16 &&
           strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

int box_id_check(const char *id, struct err *e)
{
    char shown[80];

    if (id != NULL && box_id_ok(id))
        return 0;
    return err_set(e, ERR_INPUT, "\"%s\" cannot name a control group",
                   id == NULL ? "" : str_show(shown, sizeof(shown), id, strlen(id)));
}

static int put(const struct box_tree *tree, const char *id, const char *file, const char *text,
               struct err *e)
{
    char path[PATH_SIZE];

    if (!box_group_path(path, sizeof(path), id, file))
        return err_set(e, ERR_INTERNAL, "the name of control group \"%s\" is too long", id);
    return fd_put(tree->parent_fd, path, text, e);
}

static int put_number(const struct box_tree *tree, const char *id, const char *file, uint64_t value,
                      struct err *e)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return put(tree, id, file, text, e);
}

static bool has(const struct box_tree *tree, const char *id, const char *file)
{
    char path[PATH_SIZE];

    return box_group_path(path, sizeof(path), id, file) && box_has(tree->parent_fd, path);
}

static int limit_memory_v2(const struct box_tree *tree, const char *id, uint64_t memory,
                           struct err *e)
{
    if (has(tree, id, "memory.swap.max") &&
        put(tree, id, "memory.swap.max", memory == 0 ? NO_LIMIT_V2 : "0", e) < 0)
        return -1;
    /* One greedy backend dies, not the whole server with it. */
    if (has(tree, id, "memory.oom.group") && put(tree, id, "memory.oom.group", "0", e) < 0)
        return -1;
    if (memory == 0)
        return put(tree, id, "memory.max", NO_LIMIT_V2, e);
    return put_number(tree, id, "memory.max", memory, e);
}

/*
 * v1 does not count the buffers of TCP and UDP as memory unless they are given a limit of their
 * own. Without, one pod's loopback could use up what the whole machine has for TCP
 * (net.ipv4.tcp_mem).
 */
static int limit_sockets_v1(const struct box_tree *tree, const char *id, uint64_t memory,
                            struct err *e)
{
    uint64_t share = memory / SOCKETS_SHARE;

    if (!has(tree, id, "memory.kmem.tcp.limit_in_bytes"))
        return 0;
    if (memory == 0)
        return put(tree, id, "memory.kmem.tcp.limit_in_bytes", NO_LIMIT_V1, e);
    return put_number(tree, id, "memory.kmem.tcp.limit_in_bytes",
                      share < SOCKETS_LEAST ? SOCKETS_LEAST : share, e);
}

/* memsw must never be below the limit: open it first, close it last, whichever way it goes. */
static int limit_memory_v1(const struct box_tree *tree, const char *id, uint64_t memory,
                           struct err *e)
{
    bool swap = has(tree, id, "memory.memsw.limit_in_bytes");

    if (limit_sockets_v1(tree, id, memory, e) < 0 ||
        (swap && put(tree, id, "memory.memsw.limit_in_bytes", NO_LIMIT_V1, e) < 0))
        return -1;
    if (memory == 0)
        return put(tree, id, "memory.limit_in_bytes", NO_LIMIT_V1, e);
    if (put_number(tree, id, "memory.limit_in_bytes", memory, e) < 0)
        return -1;
    if (swap)
        return put_number(tree, id, "memory.memsw.limit_in_bytes", memory, e);
    return 0;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int limit_cpu(const struct box_tree *tree, const char *id, const struct box_limits *l,
                     struct err *e)
{
    uint64_t quota = clamp((uint64_t)l->cpu_milli * PERIOD_US / 1000, 1000, UINT32_MAX);
    uint64_t weight = l->weight_milli != 0 ? l->weight_milli : l->cpu_milli;
    char text[48];

    if (tree->v2) {
        if (l->cpu_milli == 0)
            (void)snprintf(text, sizeof(text), "max %u", PERIOD_US);
        else
            (void)snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota, PERIOD_US);
        if (put(tree, id, "cpu.max", text, e) < 0)
            return -1;
        return weight == 0 ? 0
                           : put_number(tree, id, "cpu.weight", clamp(weight / 10, 1, 10000), e);
    }
    if (put_number(tree, id, "cpu.cfs_period_us", PERIOD_US, e) < 0)
        return -1;
    if (l->cpu_milli == 0 ? put(tree, id, "cpu.cfs_quota_us", NO_LIMIT_V1, e) < 0
                          : put_number(tree, id, "cpu.cfs_quota_us", quota, e) < 0)
        return -1;
    return weight == 0
               ? 0
               : put_number(tree, id, "cpu.shares", clamp(weight * 1024 / 1000, 2, 262144), e);
}

static int limit_pids(const struct box_tree *tree, const char *id, uint32_t pids, struct err *e)
{
    if (pids == 0)
        return put(tree, id, "pids.max", "max", e);
    return put_number(tree, id, "pids.max", pids, e);
}

/* Relative to others: between one thousandth of a processor and all of a large machine. */
static int limit_io(const struct box_tree *tree, const char *id, const struct box_limits *l,
                    struct err *e)
{
    const char *file = box_io_file(tree);
    uint64_t weight = l->weight_milli != 0 ? l->weight_milli : l->cpu_milli;
    char text[48];

    if (file == NULL || weight == 0)
        return 0;
    (void)snprintf(text, sizeof(text), "%s%llu", tree->v2 ? "default " : "",
                   (unsigned long long)clamp(weight, 1, tree->v2 ? 10000 : 1000));
    return put(tree, id, file, text, e);
}

int box_groups_limit(const struct box_groups *g, const char *id, const struct box_limits *limits,
                     struct err *e)
{
    if (box_id_check(id, e) < 0)
        return -1;
    for (size_t i = 0; i < g->n; i++) {
        const struct box_tree *tree = &g->trees[i];
        int r = 0;

        if ((tree->controllers & BOX_MEMORY) != 0)
            r = tree->v2 ? limit_memory_v2(tree, id, limits->memory, e)
                         : limit_memory_v1(tree, id, limits->memory, e);
        if (r == 0 && (tree->controllers & BOX_CPU) != 0)
            r = limit_cpu(tree, id, limits, e);
        if (r == 0 && (tree->controllers & BOX_PIDS) != 0)
            r = limit_pids(tree, id, limits->pids, e);
        if (r == 0 && (tree->controllers & BOX_IO) != 0)
            r = limit_io(tree, id, limits, e);
        if (r < 0)
            return err_prefix(e, "could not limit control group \"%s\"", id);
    }
    return 0;
}

int box_groups_make(const struct box_groups *g, const char *id, const struct box_limits *limits,
                    struct err *e)
{
    if (box_id_check(id, e) < 0)
        return -1;
    for (size_t i = 0; i < g->n; i++) {
        if (mkdirat(g->trees[i].parent_fd, id, 0755) < 0 && errno != EEXIST)
            return err_set_os(e, errno, "could not make control group \"%s\" in \"%s\"", id,
                              g->trees[i].mount);
        if (INJECT("box.groups.made", e) < 0)
            return -1;
    }
    /* one left over by a nap would hold up whoever enters it */
    if (box_groups_thaw(g, id, e) < 0 || box_groups_limit(g, id, limits, e) < 0)
        return -1;
    return INJECT("box.groups.limited", e);
}

int box_groups_birthplace(const struct box_groups *g, const char *id)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->trees[i].v2 && box_id_ok(id))
            return openat(g->trees[i].parent_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return -1;
}

/* Is the calling process in the v2 group of this name already? */
static bool born_there(const struct box_groups *g, const char *id)
{
    AUTO_FREE char *text = NULL;
    AUTO_FREE char *end = mem_printf("/%s/%s", g->name, id);
    const char *line;
    struct err e;
    size_t len;

    if (fd_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &e) < 0)
        return false;
    line = str_starts(text, "0::") ? text : strstr(text, "\n0::");
    if (line == NULL)
        return false;
    line += line != text;
    len = strcspn(line, "\n");
    return len > strlen(end) && memcmp(line + len - strlen(end), end, strlen(end)) == 0;
}

/*
 * v1's "tasks" moves the one thread that writes, which is all of us, and so spares the kernel a
 * lock over all process groups of the host: that takes some milliseconds, per hierarchy.
 */
int box_groups_join(const struct box_groups *g, const char *id, struct err *e)
{
    if (box_id_check(id, e) < 0)
        return -1;
    for (size_t i = 0; i < g->n; i++) {
        const struct box_tree *tree = &g->trees[i];

        if (tree->v2 && born_there(g, id))
            continue;
        if (put(tree, id, tree->v2 ? "cgroup.procs" : "tasks", "0", e) < 0)
            return err_prefix(e, "could not enter control group \"%s\"", id);
        if (INJECT("box.groups.joined", e) < 0)
            return -1;
    }
    return 0;
}

/* How many were written; 0 for a group that is not there. */
static int tree_pids(const struct box_tree *tree, const char *id, pid_t *ret_pids, size_t max,
                     struct err *e)
{
    AUTO_FREE char *text = NULL;
    char path[PATH_SIZE], *state = NULL;
    size_t n = 0;

    if (!box_group_path(path, sizeof(path), id, "cgroup.procs"))
        return err_set(e, ERR_INTERNAL, "the name of control group \"%s\" is too long", id);
    if (fd_read_file(tree->parent_fd, path, PIDS_TEXT, &text, e) < 0)
        return e->os_errno == ENOENT || e->os_errno == ENODEV ? 0 : -1;
    for (char *line = strtok_r(text, "\n", &state); line != NULL && n < max;
         line = strtok_r(NULL, "\n", &state)) {
        uint64_t pid;

        /* 0 is a process of a pid namespace that we cannot see: no pod of ours. */
        if (!str_u64(line, &pid) || pid > INT_MAX)
            return err_set(e, ERR_OS, "\"%s\" does not hold process ids", path);
        if (pid != 0)
            ret_pids[n++] = (pid_t)pid;
    }
    return (int)n;
}

int box_groups_pids(const struct box_groups *g, const char *id, pid_t *ret_pids, size_t max,
                    struct err *e)
{
    if (box_id_check(id, e) < 0)
        return -1;
    return tree_pids(&g->trees[0], id, ret_pids, max, e);
}

static bool pid_in(const pid_t *pids, size_t n, pid_t pid)
{
    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/*
 * A pid read from the group may be another's by the time it is signalled: hold it by pidfd, see
 * that the pid is still listed, and only then is the pidfd known to be a process of the group.
 */
static int kill_batch(const struct box_tree *tree, const char *id, const pid_t *pids, size_t n,
                      pid_t *again, struct err *e)
{
    int fds[KILL_BATCH], now;

    for (size_t i = 0; i < n; i++)
        fds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
    now = tree_pids(tree, id, again, BOX_PIDS_MAX, e);
    for (size_t i = 0; i < n; i++) {
        if (fds[i] >= 0 && now > 0 && pid_in(again, (size_t)now, pids[i]))
            (void)syscall(SYS_pidfd_send_signal, fds[i], SIGKILL, NULL, 0);
        close_fd(&fds[i]);
    }
    return now;
}

static int kill_each(const struct box_tree *tree, const char *id, struct err *e)
{
    AUTO_FREE pid_t *pids = mem_new(BOX_PIDS_MAX * sizeof(*pids));
    AUTO_FREE pid_t *again = mem_new(BOX_PIDS_MAX * sizeof(*again));
    int n = 0;

    for (int pass = 0; pass < KILL_PASSES; pass++) {
        n = tree_pids(tree, id, pids, BOX_PIDS_MAX, e);
        if (n <= 0)
            return n;
        for (int at = 0; at < n; at += KILL_BATCH) {
            size_t batch = n - at < KILL_BATCH ? (size_t)(n - at) : KILL_BATCH;

            if (kill_batch(tree, id, pids + at, batch, again, e) < 0)
                return -1;
        }
    }
    return tree_pids(tree, id, pids, BOX_PIDS_MAX, e);
}

int box_groups_kill(const struct box_groups *g, const char *id, struct err *e)
{
    int left = 0;

    if (box_id_check(id, e) < 0)
        return -1;
    /* First no new ones, and none that is frozen: v1 delivers SIGKILL only to what runs. */
    for (size_t i = 0; i < g->n; i++) {
        const struct box_tree *tree = &g->trees[i];

        if ((tree->controllers & BOX_PIDS) != 0 && has(tree, id, "pids.max"))
            (void)put(tree, id, "pids.max", "0", e);
        if ((tree->controllers & BOX_FREEZER) != 0 && has(tree, id, "freezer.state"))
            (void)put(tree, id, "freezer.state", "THAWED", e);
    }
    for (size_t i = 0; i < g->n; i++)
        if (has(&g->trees[i], id, "cgroup.kill") &&
            put(&g->trees[i], id, "cgroup.kill", "1", e) < 0 && e->os_errno != ENOENT)
            return err_prefix(e, "could not kill control group \"%s\"", id);
    if (INJECT("box.groups.killed", e) < 0)
        return -1;
    /* The others too: a process killed half-way through joining is in some of them only. */
    for (size_t i = 0; i < g->n; i++) {
        int n = kill_each(&g->trees[i], id, e);

        if (n < 0)
            return err_prefix(e, "could not kill control group \"%s\"", id);
        if (n > left)
            left = n;
    }
    return left;
}

int box_groups_remove(const struct box_groups *g, const char *id, struct err *e)
{
    int busy = 0;

    if (box_id_check(id, e) < 0)
        return -1;
    for (size_t i = 0; i < g->n; i++) {
        if (unlinkat(g->trees[i].parent_fd, id, AT_REMOVEDIR) < 0) {
            if (errno == EBUSY)
                busy = 1;
            else if (errno != ENOENT)
                return err_set_os(e, errno, "could not remove control group \"%s\"", id);
        }
        if (INJECT("box.groups.removed", e) < 0)
            return -1;
    }
    return busy;
}

static uint64_t read_number(const struct box_tree *tree, const char *id, const char *file)
{
    unsigned long long value;
    char path[PATH_SIZE];
    struct err ignored;

    if (tree == NULL || !box_group_path(path, sizeof(path), id, file) ||
        fd_get_u64(tree->parent_fd, path, &value, &ignored) < 0)
        return BOX_UNKNOWN;
    return value;
}

/* The number after "key " at the beginning of a line. */
static uint64_t read_key(const struct box_tree *tree, const char *id, const char *file,
                         const char *key)
{
    AUTO_FREE char *text = NULL;
    char path[PATH_SIZE], *state = NULL;
    size_t len = strlen(key);
    struct err ignored;

    if (tree == NULL || !box_group_path(path, sizeof(path), id, file) ||
        fd_read_file(tree->parent_fd, path, 65536, &text, &ignored) < 0)
        return BOX_UNKNOWN;
    for (char *line = strtok_r(text, "\n", &state); line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        uint64_t value;

        if (strncmp(line, key, len) == 0 && line[len] == ' ' && str_u64(line + len + 1, &value))
            return value;
    }
    return BOX_UNKNOWN;
}

int box_groups_usage(const struct box_groups *g, const char *id, struct box_usage *ret_usage,
                     struct err *e)
{
    const struct box_tree *memory = box_tree_with(g, BOX_MEMORY);
    const struct box_tree *acct = box_tree_with(g, BOX_CPUACCT);
    struct box_usage u = {BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN};
    bool v2 = memory != NULL && memory->v2;

    if (box_id_check(id, e) < 0)
        return -1;
    if (!box_has(g->trees[0].parent_fd, id))
        return err_set(e, ERR_NOT_FOUND, "there is no control group \"%s\"", id);
    u.memory = read_number(memory, id, v2 ? "memory.current" : "memory.usage_in_bytes");
    u.memory_peak = read_number(memory, id, v2 ? "memory.peak" : "memory.max_usage_in_bytes");
    u.oom_kills = read_key(memory, id, v2 ? "memory.events" : "memory.oom_control", "oom_kill");
    u.pids = read_number(box_tree_with(g, BOX_PIDS), id, "pids.current");
    if (acct != NULL) {
        u.cpu_us = read_number(acct, id, "cpuacct.usage"); /* nanoseconds */
        if (u.cpu_us != BOX_UNKNOWN)
            u.cpu_us /= 1000;
    }
    for (size_t i = 0; i < g->n && u.cpu_us == BOX_UNKNOWN; i++)
        if (g->trees[i].v2)
            u.cpu_us = read_key(&g->trees[i], id, "cpu.stat", "usage_usec");
    *ret_usage = u;
    return 0;
}

static bool listed_before(const struct box_groups *g, size_t tree, const char *id)
{
    for (size_t i = 0; i < tree; i++)
        if (box_has(g->trees[i].parent_fd, id))
            return true;
    return false;
}

static int list_tree(const struct box_groups *g, size_t tree, box_groups_fn fn, void *owner,
                     struct err *e)
{
    AUTO_CLOSEDIR DIR *dir = NULL;
    /* Opened anew: the reading position of a duplicate would be shared. */
    int fd = openat(g->trees[tree].parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;

    if (fd < 0)
        return err_set_os(e, errno, "could not list control groups");
    dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return err_set(e, ERR_OS, "could not list control groups");
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_DIR || !box_id_ok(entry->d_name) ||
            listed_before(g, tree, entry->d_name))
            continue;
        if (fn(owner, entry->d_name, e) < 0)
            return -1;
    }
    return 0;
}

int box_groups_list(const struct box_groups *g, box_groups_fn fn, void *owner, struct err *e)
{
    for (size_t i = 0; i < g->n; i++)
        if (list_tree(g, i, fn, owner, e) < 0)
            return -1;
    return 0;
}
