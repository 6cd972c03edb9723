/* Which control groups this host has, read from mountinfo, and our parent in each of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "groups-int.h"

#define MOUNTINFO_MAX (1u << 20)

static const struct {
    const char *name;
    uint32_t controller;
} controllers[] = {
    {"memory", BOX_MEMORY},   {"cpu", BOX_CPU}, {"cpuacct", BOX_CPUACCT}, {"pids", BOX_PIDS},
    {"freezer", BOX_FREEZER}, {"io", BOX_IO},   {"blkio", BOX_IO},
};
#define CONTROLLERS_N (sizeof(controllers) / sizeof(controllers[0]))

static bool word_in(const char *words, const char *separators, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = words; *p != '\0';) {
        size_t n = strcspn(p, separators);

        if (n == len && memcmp(p, word, n) == 0)
            return true;
        p += n;
        p += strspn(p, separators);
    }
    return false;
}

/* mountinfo writes blank, tab, newline and backslash as \ooo. */
static bool unescape(char *at, size_t size, const char *s)
{
    size_t n = 0;

    while (*s != '\0') {
        char c = *s++;

        if (c == '\\' && s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' &&
            s[2] <= '7') {
            c = (char)((s[0] - '0') * 64 + (s[1] - '0') * 8 + (s[2] - '0'));
            s += 3;
        }
        if (n + 1 >= size)
            return false;
        at[n++] = c;
    }
    at[n] = '\0';
    return true;
}

struct mount_line {
    char *point, *type, *options;
};

/* "36 35 98:0 /root /point rw,x [optional fields] - type source options"; cuts line up. */
static bool split_line(char *line, struct mount_line *ret_line)
{
    char *words[64], *state = NULL;
    size_t n = 0, dash = 0;

    for (char *w = strtok_r(line, " ", &state); w != NULL; w = strtok_r(NULL, " ", &state)) {
        if (n == sizeof(words) / sizeof(words[0]))
            return false;
        if (n >= 6 && dash == 0 && str_is(w, "-"))
            dash = n;
        words[n++] = w;
    }
    if (dash == 0 || n < dash + 4)
        return false;
    *ret_line = (struct mount_line){words[4], words[dash + 1], words[dash + 3]};
    return true;
}

const struct box_tree *box_tree_with(const struct box_groups *g, uint32_t controller)
{
    for (size_t i = 0; i < g->n; i++)
        if ((g->trees[i].controllers & controller) != 0)
            return &g->trees[i];
    return NULL;
}

static const struct box_tree *tree_v2(const struct box_groups *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->trees[i].v2)
            return &g->trees[i];
    return NULL;
}

void box_trees_find(const char *mountinfo, struct box_groups *g)
{
    AUTO_FREE char *text = mem_copy(mountinfo);
    char *state = NULL;

    g->n = 0;
    for (char *line = strtok_r(text, "\n", &state); line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        struct box_tree tree = {.parent_fd = -1};
        struct mount_line m;

        if (g->n == BOX_TREES_MAX || !split_line(line, &m))
            continue;
        tree.v2 = str_is(m.type, "cgroup2");
        if (str_is(m.type, "cgroup"))
            for (size_t i = 0; i < CONTROLLERS_N; i++)
                if (word_in(m.options, ",", controllers[i].name) &&
                    box_tree_with(g, controllers[i].controller) == NULL)
                    tree.controllers |= controllers[i].controller;
        if (tree.v2 ? tree_v2(g) != NULL : tree.controllers == 0)
            continue;
        if (unescape(tree.mount, sizeof(tree.mount), m.point))
            g->trees[g->n++] = tree;
    }
}

bool box_has(int dir_fd, const char *path)
{
    struct stat st;

    return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool box_group_path(char *at, size_t size, const char *id, const char *file)
{
    int n = snprintf(at, size, "%s/%s", id, file);

    return n > 0 && (size_t)n < size;
}

/* What of our controllers the children of dir can have. Enabling may be refused: then fewer. */
static uint32_t enable_controllers(int dir)
{
    AUTO_FREE char *there = NULL, *on = NULL;
    uint32_t enabled = 0;
    struct err ignored;

    if (fd_read_file(dir, "cgroup.controllers", 4096, &there, &ignored) < 0)
        return 0;
    for (int round = 0; round < 2; round++) {
        free(on);
        on = NULL;
        if (fd_read_file(dir, "cgroup.subtree_control", 4096, &on, &ignored) < 0)
            return 0;
        for (size_t i = 0; i < CONTROLLERS_N; i++) {
            char plus[16];

            if (word_in(on, " \n", controllers[i].name)) {
                enabled |= controllers[i].controller;
            } else if (round == 0 && word_in(there, " \n", controllers[i].name)) {
                (void)snprintf(plus, sizeof(plus), "+%s", controllers[i].name);
                (void)fd_put(dir, "cgroup.subtree_control", plus, &ignored);
            }
        }
    }
    return enabled;
}

/*
 * Where nobody else has made groups, every program of the host stands beside our parent, and all
 * pods together would weigh as one of them: they weigh as one for each processor. Below a slice of
 * v2 the slices are compared, and that is its owner's to say.
 */
static void weigh_parent(const struct box_tree *tree)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct err ignored;
    char text[24];

    (void)snprintf(text, sizeof(text), "%ld", 1024 * (cpus < 1 ? 1 : cpus));
    if (!tree->v2 && (tree->controllers & BOX_CPU) != 0)
        (void)fd_put(tree->parent_fd, "cpu.shares", text, &ignored);
}

static int open_parent(struct box_groups *g, struct box_tree *tree, struct err *e)
{
    AUTO_CLOSE int mount = -1, above = -1;

    mount = open(tree->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mount < 0)
        return err_set_os(e, errno, "could not open \"%s\"", tree->mount);
    if (tree->v2 && g->parent[0] != '\0')
        above = fd_open_beneath(mount, g->parent, O_RDONLY | O_DIRECTORY, e);
    else
        above = take_fd(&mount);
    if (above < 0)
        return -1;
    if (tree->v2)
        (void)enable_controllers(above);
    tree->parent_fd = fd_open_dir(above, g->name, 0755, e);
    if (tree->parent_fd < 0)
        return err_prefix(e, "control groups of \"%s\"", tree->mount);
    if (tree->v2)
        tree->controllers = enable_controllers(tree->parent_fd);
    weigh_parent(tree);
    return INJECT("box.groups.parent", e);
}

const char *box_io_file(const struct box_tree *tree)
{
    static const char *const v1[] = {"blkio.bfq.weight", "blkio.weight"};

    for (size_t i = 0; !tree->v2 && i < sizeof(v1) / sizeof(v1[0]); i++)
        if (box_has(tree->parent_fd, v1[i]))
            return v1[i];
    return tree->v2 && box_has(tree->parent_fd, "io.weight") ? "io.weight" : NULL;
}

static uint32_t find_limits(const struct box_groups *g)
{
    const struct box_tree *memory = box_tree_with(g, BOX_MEMORY);
    const struct box_tree *io = box_tree_with(g, BOX_IO);
    const struct box_tree *v2 = tree_v2(g);
    uint32_t limits = 0;

    if (memory != NULL) {
        limits |= BOX_LIMITS_MEMORY;
        if (box_has(memory->parent_fd,
                    memory->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes"))
            limits |= BOX_LIMITS_SWAP;
    }
    if (box_tree_with(g, BOX_CPU) != NULL)
        limits |= BOX_LIMITS_CPU;
    if (box_tree_with(g, BOX_PIDS) != NULL)
        limits |= BOX_LIMITS_PIDS;
    if (io != NULL && box_io_file(io) != NULL)
        limits |= BOX_LIMITS_IO;
    if (v2 != NULL && box_has(v2->parent_fd, "cgroup.kill"))
        limits |= BOX_KILLS_AT_ONCE;
    return limits;
}

static void drop_parent(const struct box_groups *g, struct box_tree *tree)
{
    AUTO_FREE char *path = mem_printf("%s/%s", tree->mount, g->name);

    close_fd(&tree->parent_fd);
    (void)rmdir(path);
}

/* A v1 mount that is read-only here is a limit less, not an end; a delegated parent must be there.
 */
static int open_parents(struct box_groups *g, struct err *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < g->n; i++) {
        struct box_tree tree = g->trees[i];

        if (open_parent(g, &tree, e) < 0) {
            close_fd(&tree.parent_fd);
            if (tree.v2 && g->parent[0] != '\0')
                return err_hint(e, "the parent must be a group that is delegated to this service");
            continue;
        }
        if (!tree.v2 && tree.controllers == BOX_IO && box_io_file(&tree) == NULL) {
            drop_parent(g, &tree); /* a hierarchy more for every pod to enter, and of no use */
            continue;
        }
        g->trees[kept++] = tree;
    }
    g->n = kept;
    if (g->n == 0) {
        (void)err_set(e, ERR_MISSING, "this host has no control groups that can be written");
        return err_hint(e, "run as root, and mount cgroup2 at /sys/fs/cgroup");
    }
    g->limits = find_limits(g);
    return 0;
}

struct box_groups *box_groups_open_from(const char *mountinfo, const char *hub_key,
                                        const char *parent, struct err *e)
{
    struct box_groups *g;
    const char *below = parent == NULL ? "" : parent + strspn(parent, "/");

    if (box_id_check(hub_key, e) < 0)
        return NULL;
    g = mem_new(sizeof(*g));
    box_trees_find(mountinfo, g);
    if (snprintf(g->name, sizeof(g->name), "dormouse-%s", hub_key) >= (int)sizeof(g->name) ||
        !str_copy(g->parent, sizeof(g->parent), below)) {
        (void)err_set(e, ERR_INPUT, "the name of the control group is too long");
        box_groups_close(g);
        return NULL;
    }
    if (open_parents(g, e) < 0) {
        box_groups_close(g);
        return NULL;
    }
    return g;
}

struct box_groups *box_groups_open(const char *hub_key, const char *parent, struct err *e)
{
    AUTO_FREE char *text = NULL;

    if (fd_read_file(-1, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, e) < 0)
        return NULL;
    return box_groups_open_from(text, hub_key, parent, e);
}

void box_groups_close(struct box_groups *g)
{
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->n; i++)
        close_fd(&g->trees[i].parent_fd);
    free(g);
}

void box_groups_purge(struct box_groups *g)
{
    for (size_t i = 0; i < g->n; i++) {
        AUTO_FREE char *path =
            mem_printf("%s/%s%s%s", g->trees[i].mount, g->trees[i].v2 ? g->parent : "",
                       g->trees[i].v2 && g->parent[0] != '\0' ? "/" : "", g->name);

        (void)rmdir(path); /* refused while a pod is in it */
    }
    box_groups_close(g);
}

uint32_t box_groups_limits(const struct box_groups *g)
{
    return g->limits;
}
