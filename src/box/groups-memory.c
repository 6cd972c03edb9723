/* Memory of pods: how much is held, a limit for all of them, and being told in time. */
#include "groups-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/str.h"

#include "groups-int.h"

#define PATH_SIZE 128
#define STAT_TEXT 65536

/* "." is the parent itself: one way to name the files of a pod and of all pods. */
static bool path_of(char at[PATH_SIZE], const char *id, const char *file)
{
    return box_group_path(at, PATH_SIZE, id == NULL ? "." : id, file);
}

static int read_text(const struct box_tree *tree, const char *id, const char *file, char **ret_text,
                     struct err *e)
{
    char path[PATH_SIZE];

    if (!path_of(path, id, file))
        return err_set(e, ERR_INTERNAL, "the name of control group \"%s\" is too long", id);
    return fd_read_file(tree->parent_fd, path, STAT_TEXT, ret_text, e);
}

/* "max" is no number, and so BOX_UNKNOWN. */
static uint64_t read_number(const struct box_tree *tree, const char *id, const char *file)
{
    AUTO_FREE char *text = NULL;
    struct err ignored;
    uint64_t value;

    if (read_text(tree, id, file, &text, &ignored) < 0)
        return BOX_UNKNOWN;
    text[strcspn(text, "\n")] = '\0';
    return str_u64(text, &value) ? value : BOX_UNKNOWN;
}

/* The number after "key " at the beginning of a line. */
static uint64_t key_in(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');

        if (strncmp(line, key, len) == 0 && line[len] == ' ') {
            char number[24];
            uint64_t value;
            size_t n = strcspn(line + len + 1, "\n");

            if (n >= sizeof(number))
                return BOX_UNKNOWN;
            memcpy(number, line + len + 1, n);
            number[n] = '\0';
            return str_u64(number, &value) ? value : BOX_UNKNOWN;
        }
        line = end == NULL ? NULL : end + 1;
    }
    return BOX_UNKNOWN;
}

static uint64_t read_key(const struct box_tree *tree, const char *id, const char *file,
                         const char *key)
{
    AUTO_FREE char *text = NULL;
    struct err ignored;

    return read_text(tree, id, file, &text, &ignored) < 0 ? BOX_UNKNOWN : key_in(text, key);
}

static uint64_t known(uint64_t value)
{
    return value == BOX_UNKNOWN ? 0 : value;
}

/*
 * What is not on a file's list is held; but kernel memory is half caches of names, which the kernel
 * takes back too and v1 does not tell apart: of it no more than an eighth of the limit is believed.
 */
static uint64_t held_of(const struct box_tree *tree, const char *id, uint64_t usage, uint64_t limit)
{
    AUTO_FREE char *text = NULL;
    struct err ignored;
    uint64_t own, kernel;

    if (read_text(tree, id, "memory.stat", &text, &ignored) < 0)
        return usage;
    if (tree->v2) {
        own = known(key_in(text, "anon")) + known(key_in(text, "shmem"));
        kernel = known(key_in(text, "kernel"));
        kernel -= kernel < known(key_in(text, "slab_reclaimable"))
                      ? kernel
                      : known(key_in(text, "slab_reclaimable"));
    } else {
        own = known(key_in(text, "total_rss")) + known(key_in(text, "total_shmem"));
        kernel = known(read_number(tree, id, "memory.kmem.usage_in_bytes"));
    }
    return own + (kernel < limit / 8 ? kernel : limit / 8);
}

int box_groups_memory(const struct box_groups *g, const char *id, struct box_memory *ret_memory,
                      struct err *e)
{
    const struct box_tree *tree = box_tree_with(g, BOX_MEMORY);
    struct box_memory m;

    if (id != NULL && box_id_check(id, e) < 0)
        return -1;
    if (tree == NULL)
        return err_set(e, ERR_MISSING, "this host has no control groups for memory");
    m.usage = read_number(tree, id, tree->v2 ? "memory.current" : "memory.usage_in_bytes");
    if (m.usage == BOX_UNKNOWN)
        return err_set(e, ERR_NOT_FOUND, "the memory of control group \"%s\" is not known",
                       id == NULL ? g->name : id);
    m.limit = read_number(tree, id, tree->v2 ? "memory.max" : "memory.limit_in_bytes");
    if (m.limit == BOX_UNKNOWN || m.limit > (UINT64_C(1) << 60)) /* v1 has no word for "none" */
        m.limit = 0;
    m.held = held_of(tree, id, m.usage, m.limit);
    m.oom_kills = read_key(tree, id, tree->v2 ? "memory.events" : "memory.oom_control", "oom_kill");
    m.processes = box_tree_with(g, BOX_PIDS) == NULL
                      ? BOX_UNKNOWN
                      : read_number(box_tree_with(g, BOX_PIDS), id, "pids.current");
    *ret_memory = m;
    return 0;
}

int box_groups_usage_all(const struct box_groups *g, struct box_usage *ret_usage, struct err *e)
{
    const struct box_tree *memory = box_tree_with(g, BOX_MEMORY);
    const struct box_tree *pids = box_tree_with(g, BOX_PIDS);
    const struct box_tree *acct = box_tree_with(g, BOX_CPUACCT);
    struct box_usage u = {BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN, BOX_UNKNOWN};

    if (g->n == 0)
        return err_set(e, ERR_MISSING, "this host has no control groups");
    if (memory != NULL) {
        bool v2 = memory->v2;

        u.memory = read_number(memory, NULL, v2 ? "memory.current" : "memory.usage_in_bytes");
        u.memory_peak = read_number(memory, NULL, v2 ? "memory.peak" : "memory.max_usage_in_bytes");
        u.oom_kills =
            read_key(memory, NULL, v2 ? "memory.events" : "memory.oom_control", "oom_kill");
    }
    if (pids != NULL)
        u.pids = read_number(pids, NULL, "pids.current");
    if (acct != NULL)
        u.cpu_us = read_number(acct, NULL, "cpuacct.usage"); /* nanoseconds */
    if (u.cpu_us != BOX_UNKNOWN)
        u.cpu_us /= 1000;
    for (size_t i = 0; i < g->n && u.cpu_us == BOX_UNKNOWN; i++)
        if (g->trees[i].v2)
            u.cpu_us = read_key(&g->trees[i], NULL, "cpu.stat", "usage_usec");
    *ret_usage = u;
    return 0;
}

/* ---- the limit of all ---- */

static int put(const struct box_tree *tree, const char *id, const char *file, uint64_t value,
               const char *none, struct err *e)
{
    char path[PATH_SIZE], text[24];

    if (!path_of(path, id, file))
        return err_set(e, ERR_INTERNAL, "the name of control group \"%s\" is too long", id);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return fd_put(tree->parent_fd, path, value == 0 ? none : text, e);
}

static bool has(const struct box_tree *tree, const char *id, const char *file)
{
    char path[PATH_SIZE];

    return path_of(path, id, file) && box_has(tree->parent_fd, path);
}

/*
 * A limit below what is in use is no error: the kernel takes cache back, and where that is not
 * enough v1 refuses with EBUSY. memsw may never be below the limit: opened first, closed last.
 */
int box_groups_limit_all(const struct box_groups *g, uint64_t memory, struct err *e)
{
    const struct box_tree *tree = box_tree_with(g, BOX_MEMORY);
    bool swap;

    if (tree == NULL)
        return memory == 0 ? 0
                           : err_set(e, ERR_MISSING, "this host has no control groups for memory");
    swap = has(tree, NULL, "memory.memsw.limit_in_bytes");
    if (tree->v2 ? put(tree, NULL, "memory.max", memory, "max", e) < 0
                 : (swap && put(tree, NULL, "memory.memsw.limit_in_bytes", 0, "-1", e) < 0) ||
                       put(tree, NULL, "memory.limit_in_bytes", memory, "-1", e) < 0 ||
                       (swap && memory != 0 &&
                        put(tree, NULL, "memory.memsw.limit_in_bytes", memory, "-1", e) < 0))
        return err_prefix(e, "could not limit the memory of all servers");
    return 0;
}

/* ---- being told ---- */

/* "<eventfd> <fd of the file> <words>" into cgroup.event_control. */
static bool ask_v1(const struct box_tree *tree, const char *id, int event, const char *file,
                   const char *words)
{
    AUTO_CLOSE int fd = -1;
    char path[PATH_SIZE], text[64];
    struct err ignored;

    if (!path_of(path, id, file))
        return false;
    fd = openat(tree->parent_fd, path, O_RDONLY | O_CLOEXEC);
    (void)snprintf(text, sizeof(text), "%d %d%s%s", event, fd, words[0] == '\0' ? "" : " ", words);
    return fd >= 0 && path_of(path, id, "cgroup.event_control") &&
           fd_put(tree->parent_fd, path, text, &ignored) == 0;
}

static bool levels_v1(const struct box_tree *tree, const char *id, int event,
                      const uint64_t *levels, size_t n)
{
    bool any = false;

    for (size_t i = 0; i < n && i < BOX_LEVELS_MAX; i++) {
        char words[24];

        (void)snprintf(words, sizeof(words), "%llu", (unsigned long long)levels[i]);
        any |= ask_v1(tree, id, event, "memory.usage_in_bytes", words);
    }
    /* full of page cache, usage passes no level any more: then the taking back tells of growth */
    any |= ask_v1(tree, id, event, "memory.pressure_level", "low,local");
    any |= ask_v1(tree, id, event, "memory.oom_control", "");
    return any;
}

static const struct box_tree *memory_tree(const struct box_groups *g, const char *id, struct err *e)
{
    const struct box_tree *tree = box_tree_with(g, BOX_MEMORY);

    if (id != NULL && box_id_check(id, e) < 0)
        return NULL;
    if (tree == NULL)
        (void)err_set(e, ERR_MISSING, "this host has no control groups for memory");
    return tree;
}

int box_groups_memory_events(const struct box_groups *g, const char *id, int *ret_fd,
                             uint32_t *ret_events, struct err *e)
{
    const struct box_tree *tree = memory_tree(g, id, e);
    char path[PATH_SIZE];
    int fd = -1;

    if (tree == NULL)
        return -1;
    if (!tree->v2)
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    else if (path_of(path, id, "memory.events"))
        fd = openat(tree->parent_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_OS, "could not be told of the memory of control group \"%s\"",
                       id == NULL ? g->name : id);
    *ret_fd = fd;
    *ret_events = tree->v2 ? EPOLLPRI : EPOLLIN;
    box_groups_memory_noted(fd); /* a v2 file is "changed" until it has been read once */
    return 0;
}

int box_groups_memory_levels(const struct box_groups *g, const char *id, int fd,
                             const uint64_t *levels, size_t n, struct err *e)
{
    const struct box_tree *tree = memory_tree(g, id, e);
    struct err ignored;

    if (tree == NULL)
        return -1;
    if (!tree->v2)
        return levels_v1(tree, id, fd, levels, n)
                   ? 0
                   : err_set(e, ERR_OS, "could not be told of the memory of control group \"%s\"",
                             id == NULL ? g->name : id);
    /* memory.high tells, and holds up whoever allocates above it, which no level of v1 does */
    if (has(tree, id, "memory.high"))
        (void)put(tree, id, "memory.high", n > 0 ? levels[n - 1] : 0, "max", &ignored);
    return 0;
}

/* An eventfd is read to be empty; a file of v2 from its beginning to be noticed again. */
void box_groups_memory_noted(int fd)
{
    uint64_t count;
    char text[512];

    if (pread(fd, text, sizeof(text), 0) < 0 && errno == ESPIPE)
        (void)eventfd_read(fd, &count);
}
