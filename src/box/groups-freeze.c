/* Freezing a group: by v2's cgroup.freeze, which needs no controller, else by v1's freezer. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"

#include "groups-int.h"

enum { FREEZE_MS = 40, V1_PAUSE_US = 200, TEXT_MAX = 4096 };

/* Which tree freezes, and by which file; NULL: none does. */
static const struct box_tree *freezer(const struct box_groups *g, const char *id, char path[128])
{
    for (size_t i = 0; i < g->n; i++)
        if (g->trees[i].v2 && box_group_path(path, 128, id, "cgroup.freeze") &&
            box_has(g->trees[i].parent_fd, path))
            return &g->trees[i];
    for (size_t i = 0; i < g->n; i++)
        if ((g->trees[i].controllers & BOX_FREEZER) != 0 && !g->trees[i].v2 &&
            box_group_path(path, 128, id, "freezer.state") && box_has(g->trees[i].parent_fd, path))
            return &g->trees[i];
    return NULL;
}

static int read_at(int fd, char *text, size_t size, struct err *e)
{
    ssize_t n = pread(fd, text, size - 1, 0);

    if (n < 0)
        return err_set_os(e, errno, "could not read whether a control group is frozen");
    text[n] = '\0';
    return 0;
}

/* The kernel tells of a change of cgroup.events: nothing is polled in steps. 1: frozen. */
static int wait_v2(const struct box_tree *tree, const char *id, struct err *e)
{
    uint64_t deadline = clock_ms() + FREEZE_MS;
    char path[128], text[TEXT_MAX];
    AUTO_CLOSE int fd = -1;

    (void)box_group_path(path, sizeof(path), id, "cgroup.events");
    fd = openat(tree->parent_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_os(e, errno, "could not watch control group \"%s\"", id);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        uint64_t now = clock_ms();

        if (read_at(fd, text, sizeof(text), e) < 0)
            return -1;
        if (strstr(text, "frozen 1") != NULL)
            return 1;
        if (now >= deadline)
            return 0;
        (void)poll(&p, 1, (int)(deadline - now));
    }
}

/* v1 looks at what it is freezing only when it is asked to again. */
static int wait_v1(const struct box_tree *tree, const char *path, struct err *e)
{
    const struct timespec pause = {.tv_nsec = V1_PAUSE_US * 1000L};
    uint64_t deadline = clock_ms() + FREEZE_MS;
    AUTO_CLOSE int fd = openat(tree->parent_fd, path, O_RDONLY | O_CLOEXEC);
    char text[32];

    if (fd < 0)
        return err_set_os(e, errno, "could not watch \"%s\"", path);
    for (;;) {
        if (read_at(fd, text, sizeof(text), e) < 0)
            return -1;
        if (strncmp(text, "FROZEN", 6) == 0)
            return 1;
        if (clock_ms() >= deadline)
            return 0;
        (void)nanosleep(&pause, NULL);
        if (fd_put(tree->parent_fd, path, "FROZEN", e) < 0)
            return -1;
    }
}

int box_groups_thaw(const struct box_groups *g, const char *id, struct err *e)
{
    int r = 0;

    if (box_id_check(id, e) < 0)
        return -1;
    /* both: which of them an earlier dormd used is not known */
    for (size_t i = 0; i < g->n; i++) {
        const struct box_tree *tree = &g->trees[i];
        bool v1 = !tree->v2 && (tree->controllers & BOX_FREEZER) != 0;
        char path[128];

        if ((!tree->v2 && !v1) ||
            !box_group_path(path, sizeof(path), id, v1 ? "freezer.state" : "cgroup.freeze") ||
            !box_has(tree->parent_fd, path))
            continue;
        if (fd_put(tree->parent_fd, path, v1 ? "THAWED" : "0", e) < 0 && e->os_errno != ENOENT &&
            e->os_errno != ENODEV)
            r = err_prefix(e, "could not thaw control group \"%s\"", id);
    }
    return r;
}

int box_groups_freeze(const struct box_groups *g, const char *id, struct err *e)
{
    const struct box_tree *tree;
    struct err ignored;
    char path[128];
    int frozen;

    if (box_id_check(id, e) < 0)
        return -1;
    tree = freezer(g, id, path);
    if (tree == NULL)
        return err_set(e, ERR_MISSING, "this host cannot freeze control group \"%s\"", id);
    if (fd_put(tree->parent_fd, path, tree->v2 ? "1" : "FROZEN", e) < 0)
        return err_prefix(e, "could not freeze control group \"%s\"", id);
    frozen = tree->v2 ? wait_v2(tree, id, e) : wait_v1(tree, path, e);
    if (frozen == 1)
        return 0;
    (void)box_groups_thaw(g, id, &ignored);
    if (frozen == 0)
        return err_set(e, ERR_BUSY, "control group \"%s\" did not freeze in %d ms", id, FREEZE_MS);
    return -1;
}

bool box_groups_reclaims(const struct box_groups *g)
{
    const struct box_tree *tree = box_tree_with(g, BOX_MEMORY);

    /* v1's force_empty refuses a group that has processes */
    return tree != NULL && tree->v2 && box_has(tree->parent_fd, "memory.reclaim");
}

int box_groups_reclaim(const struct box_groups *g, const char *id, struct err *e)
{
    const struct box_tree *tree = box_tree_with(g, BOX_MEMORY);
    unsigned long long bytes;
    char path[128], text[24];

    if (box_id_check(id, e) < 0)
        return -1;
    if (!box_groups_reclaims(g) || !box_group_path(path, sizeof(path), id, "memory.current") ||
        fd_get_u64(tree->parent_fd, path, &bytes, e) < 0)
        return 0;
    (void)snprintf(text, sizeof(text), "%llu", bytes);
    (void)box_group_path(path, sizeof(path), id, "memory.reclaim");
    /* EAGAIN: less than asked for could be had, which is what was to be expected */
    if (fd_put(tree->parent_fd, path, text, e) < 0 && e->os_errno != EAGAIN)
        return err_prefix(e, "could not take memory back from control group \"%s\"", id);
    return 0;
}
