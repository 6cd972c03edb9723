/* Freezing on the kernel's own groups: what is frozen makes no step, and goes on after the thaw. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups-int.h"
#include "t.h"

#define ID "aaaaaaaaaaaaa"

static volatile uint64_t *steps;

/* The mounts of this machine, those of one kind left out. */
static struct box_groups *open_without(const char *type)
{
    AUTO_FREE char *text = NULL, *kept = mem_copy("");
    AUTO_FREE char *key = mem_printf("freeze%d", (int)getpid());
    char *rest;
    struct err e;

    if (fd_read_file(-1, "/proc/self/mountinfo", 1 << 20, &text, &e) < 0)
        return NULL;
    rest = text;
    while (rest != NULL && *rest != '\0') {
        const char *line = strsep(&rest, "\n");
        char *more;

        if (type != NULL && strstr(line, type) != NULL)
            continue;
        more = mem_printf("%s%s\n", kept, line);
        free(kept);
        kept = more;
    }
    return box_groups_open_from(kept, key, NULL, &e);
}

static pid_t worker(const struct box_groups *g)
{
    struct err e;
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (box_groups_join(g, ID, &e) < 0)
        _exit(1);
    for (;;)
        ++*steps;
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000L};

    (void)nanosleep(&pause, NULL);
}

static bool goes_on(void)
{
    uint64_t was = *steps, deadline = clock_ms() + 5000;

    while (*steps == was && clock_ms() < deadline)
        pause_ms(1);
    return *steps != was;
}

static void take_away(struct box_groups *g, pid_t pid)
{
    uint64_t deadline = clock_ms() + 5000;
    struct err e;

    T_OK(box_groups_kill(g, ID, &e) >= 0);
    T_EQ(waitpid(pid, NULL, 0), pid);
    while (box_groups_remove(g, ID, &e) == 1 && clock_ms() < deadline)
        pause_ms(1);
    box_groups_purge(g);
}

static void freeze_with(const char *without, bool twice)
{
    struct box_groups *g = open_without(without);
    struct box_limits none = {0};
    struct err e = {.msg = ""};
    uint64_t was, took;
    pid_t pid;

    if (g == NULL || box_groups_make(g, ID, &none, &e) < 0) {
        T_OK(g != NULL);
        return;
    }
    *steps = 0;
    pid = worker(g);
    T_OK(goes_on());
    took = clock_us();
    if (box_groups_freeze(g, ID, &e) < 0) {
        printf("# %s\n", e.msg);
        T_EQ(e.kind, ERR_MISSING);
        take_away(g, pid);
        return;
    }
    printf("# frozen in %llu us\n", (unsigned long long)(clock_us() - took));
    if (twice)
        T_EQ(box_groups_freeze(g, ID, &e), 0);
    was = *steps;
    pause_ms(30); /* a busy loop would take millions of steps */
    T_EQ(*steps, was);
    took = clock_us();
    T_EQ(box_groups_thaw(g, ID, &e), 0);
    T_OK(goes_on());
    printf("# goes on after %llu us\n", (unsigned long long)(clock_us() - took));
    T_EQ(box_groups_thaw(g, ID, &e), 0);
    T_EQ(box_groups_freeze(g, ID, &e), 0);
    take_away(g, pid); /* killed while it is frozen */
}

static void by_what_this_machine_has(void)
{
    freeze_with(NULL, true);
}

static void by_v1_where_there_is_no_v2(void)
{
    freeze_with(" cgroup2 ", false);
}

static void what_is_not_there_is_thawed_and_not_frozen(void)
{
    struct box_groups *g = open_without(NULL);
    struct err e;

    if (g == NULL)
        return;
    T_EQ(box_groups_thaw(g, ID, &e), 0);
    T_EQ(box_groups_freeze(g, ID, &e), -1);
    T_EQ(e.kind, ERR_MISSING);
    box_groups_purge(g);
}

static void a_group_left_over_frozen_can_be_used_again(void)
{
    struct box_groups *g = open_without(NULL);
    struct box_limits none = {0};
    struct err e;
    pid_t pid;

    if (g == NULL)
        return;
    T_EQ(box_groups_make(g, ID, &none, &e), 0);
    (void)box_groups_freeze(g, ID, &e);
    T_EQ(box_groups_make(g, ID, &none, &e), 0);
    *steps = 0;
    pid = worker(g);
    T_OK(goes_on());
    take_away(g, pid);
}

int main(void)
{
    steps = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (geteuid() != 0 || steps == MAP_FAILED) {
        printf("1..0 # SKIP control groups want root\n");
        return 0;
    }
    (void)alarm(60);
    T_RUN(by_what_this_machine_has);
    T_RUN(by_v1_where_there_is_no_v2);
    T_RUN(what_is_not_there_is_thawed_and_not_frozen);
    T_RUN(a_group_left_over_frozen_can_be_used_again);
    return t_end();
}
