/* Control groups on a directory tree that only looks like one: which files get which words. */
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups-int.h"
#include "t.h"

#define ID "abcdefghijklm"

static char root[32];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tree_begin(void)
{
    (void)snprintf(root, sizeof(root), "/tmp/box-groups-XXXXXX");
    if (mkdtemp(root) == NULL)
        abort();
}

static void tree_end(void)
{
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

static const char *read_back(const char *path)
{
    static char *text;
    AUTO_FREE char *full = mem_printf("%s/%s", root, path);
    struct err e;

    free(text);
    text = NULL;
    if (fd_read_file(-1, full, 4096, &text, &e) < 0)
        text = mem_copy(e.msg);
    return text;
}

static struct box_groups *open_with(const char *mounts, const char *parent)
{
    AUTO_FREE char *text = mem_copy("22 27 0:21 / /proc rw - proc proc rw\n");
    struct err e = {.msg = ""};
    struct box_groups *g;

    /* Each word of mounts: "memory", "cpu,cpuacct" for v1, "v2". */
    for (const char *p = mounts; *p != '\0'; p += strspn(p, " ")) {
        int n = (int)strcspn(p, " ");
        bool v2 = n == 2 && strncmp(p, "v2", 2) == 0;
        char *more = mem_printf("%s31 23 0:28 / %s/%.*s rw,relatime shared:1 - %s x rw,%.*s\n",
                                text, root, n, p, v2 ? "cgroup2" : "cgroup", n, p);

        free(text);
        text = more;
        p += n;
    }
    g = box_groups_open_from(text, "k", parent, &e);
    if (g == NULL)
        printf("# %s\n", e.msg);
    return g;
}

static const struct box_limits limits = {.memory = 512u << 20, .cpu_milli = 1500, .pids = 200};

#define V1_MEMORY "memory/dormouse-k/" ID "/"
#define V1_CPU    "cpu,cpuacct/dormouse-k/" ID "/"
#define V1_PIDS   "pids/dormouse-k/" ID "/"

static void v1_files(void)
{
    file(V1_MEMORY "memory.limit_in_bytes", "");
    file(V1_MEMORY "memory.usage_in_bytes", "1000\n");
    file(V1_MEMORY "memory.max_usage_in_bytes", "2000\n");
    file(V1_MEMORY "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    file(V1_MEMORY "cgroup.procs", "");
    file(V1_MEMORY "tasks", "");
    file(V1_CPU "cpu.cfs_quota_us", "");
    file(V1_CPU "cpu.cfs_period_us", "");
    file(V1_CPU "cpu.shares", "");
    file(V1_CPU "cpuacct.usage", "5000999\n");
    file(V1_CPU "cgroup.procs", "");
    file(V1_CPU "tasks", "");
    file(V1_PIDS "pids.max", "");
    file(V1_PIDS "pids.current", "7\n");
    file(V1_PIDS "cgroup.procs", "");
    file(V1_PIDS "tasks", "");
}

static void v1_limits_go_into_a_mount_per_controller(void)
{
    struct box_usage u;
    struct box_groups *g;
    struct err e = {.msg = ""};

    tree_begin();
    v1_files();
    g = open_with("memory cpu,cpuacct pids", NULL);
    T_EQ(box_groups_limits(g), BOX_LIMITS_MEMORY | BOX_LIMITS_CPU | BOX_LIMITS_PIDS);
    T_EQ(box_groups_make(g, ID, &limits, &e), 0);
    T_STR(e.msg, "");
    T_STR(read_back(V1_MEMORY "memory.limit_in_bytes"), "536870912");
    T_STR(read_back(V1_CPU "cpu.cfs_quota_us"), "150000");
    T_STR(read_back(V1_CPU "cpu.cfs_period_us"), "100000");
    T_STR(read_back(V1_CPU "cpu.shares"), "1536");
    T_STR(read_back(V1_PIDS "pids.max"), "200");
    T_EQ(box_groups_join(g, ID, &e), 0);
    T_STR(read_back(V1_MEMORY "tasks"), "0");
    T_STR(read_back(V1_CPU "tasks"), "0");
    T_STR(read_back(V1_PIDS "tasks"), "0");
    T_EQ(box_groups_usage(g, ID, &u, &e), 0);
    T_EQ(u.memory, 1000);
    T_EQ(u.memory_peak, 2000);
    T_EQ(u.oom_kills, 3);
    T_EQ(u.pids, 7);
    T_EQ(u.cpu_us, 5000);
    box_groups_close(g);
    tree_end();
}

static void v1_swap_is_closed_where_it_is_accounted(void)
{
    struct box_groups *g;
    struct err e;

    tree_begin();
    v1_files();
    file("memory/dormouse-k/memory.memsw.limit_in_bytes", "");
    file(V1_MEMORY "memory.memsw.limit_in_bytes", "");
    g = open_with("memory", NULL);
    T_EQ(box_groups_limits(g), BOX_LIMITS_MEMORY | BOX_LIMITS_SWAP);
    T_EQ(box_groups_make(g, ID, &limits, &e), 0);
    T_STR(read_back(V1_MEMORY "memory.memsw.limit_in_bytes"), "536870912");
    T_STR(read_back(V1_CPU "cpu.cfs_quota_us"), ""); /* not mounted: not touched */
    box_groups_close(g);
    tree_end();
}

#define V2 "v2/slice/unit/dormouse-k/"

static void v2_files(const char *controllers)
{
    file("v2/slice/unit/cgroup.controllers", controllers);
    file("v2/slice/unit/cgroup.subtree_control", controllers);
    file(V2 "cgroup.controllers", controllers);
    file(V2 "cgroup.subtree_control", controllers);
    file(V2 "cgroup.kill", "");
    file(V2 "memory.swap.max", "");
    file(V2 ID "/cgroup.procs", "");
    file(V2 ID "/cgroup.kill", "");
    file(V2 ID "/memory.max", "");
    file(V2 ID "/memory.swap.max", "");
    file(V2 ID "/memory.oom.group", "");
    file(V2 ID "/memory.current", "11\n");
    file(V2 ID "/memory.peak", "12\n");
    file(V2 ID "/memory.events", "low 0\noom 9\noom_kill 2\noom_group_kill 5\n");
    file(V2 ID "/cpu.max", "");
    file(V2 ID "/cpu.weight", "");
    file(V2 ID "/cpu.stat", "usage_usec 77\nuser_usec 70\n");
    file(V2 ID "/pids.max", "");
    file(V2 ID "/pids.current", "4\n");
}

static void v2_limits_go_below_the_delegated_parent(void)
{
    struct box_usage u;
    struct box_groups *g;
    struct err e = {.msg = ""};

    tree_begin();
    v2_files("cpuset cpu io memory pids\n");
    g = open_with("v2", "/slice/unit");
    T_EQ(box_groups_limits(g), BOX_LIMITS_MEMORY | BOX_LIMITS_SWAP | BOX_LIMITS_CPU |
                                   BOX_LIMITS_PIDS | BOX_KILLS_AT_ONCE);
    T_EQ(box_groups_make(g, ID, &limits, &e), 0);
    T_STR(e.msg, "");
    T_STR(read_back(V2 ID "/memory.max"), "536870912");
    T_STR(read_back(V2 ID "/memory.swap.max"), "0");
    T_STR(read_back(V2 ID "/memory.oom.group"), "0");
    T_STR(read_back(V2 ID "/cpu.max"), "150000 100000");
    T_STR(read_back(V2 ID "/cpu.weight"), "150");
    T_STR(read_back(V2 ID "/pids.max"), "200");
    T_EQ(box_groups_usage(g, ID, &u, &e), 0);
    T_EQ(u.memory, 11);
    T_EQ(u.memory_peak, 12);
    T_EQ(u.oom_kills, 2);
    T_EQ(u.pids, 4);
    T_EQ(u.cpu_us, 77);
    T_EQ(box_groups_join(g, ID, &e), 0);
    T_STR(read_back(V2 ID "/cgroup.procs"), "0");
    file(V2 ID "/cgroup.procs", "");
    T_EQ(box_groups_kill(g, ID, &e), 0);
    T_STR(read_back(V2 ID "/cgroup.kill"), "1");
    box_groups_close(g);
    tree_end();
}

static void shares_go_by_what_was_asked_for_and_not_by_the_limit(void)
{
    struct box_limits small = {.cpu_milli = 1500, .weight_milli = 250};
    struct box_groups *g;
    struct err e = {.msg = ""};

    tree_begin();
    v1_files();
    file("blkio/dormouse-k/blkio.bfq.weight", "");
    file("blkio/dormouse-k/" ID "/blkio.bfq.weight", "");
    file("cpu,cpuacct/dormouse-k/cpu.shares", "1024");
    g = open_with("cpu,cpuacct blkio", NULL);
    T_OK(atoll(read_back("cpu,cpuacct/dormouse-k/cpu.shares")) ==
         1024 * sysconf(_SC_NPROCESSORS_ONLN));
    T_EQ(box_groups_limits(g), BOX_LIMITS_CPU | BOX_LIMITS_IO);
    T_EQ(box_groups_limit(g, ID, &small, &e), 0);
    T_STR(read_back(V1_CPU "cpu.cfs_quota_us"), "150000");
    T_STR(read_back(V1_CPU "cpu.shares"), "256");
    T_STR(read_back("blkio/dormouse-k/" ID "/blkio.bfq.weight"), "250");
    box_groups_close(g);
    v2_files("cpu io\n");
    file(V2 "io.weight", "");
    file(V2 ID "/io.weight", "");
    g = open_with("v2", "/slice/unit");
    T_EQ(box_groups_limit(g, ID, &small, &e), 0);
    T_STR(read_back(V2 ID "/cpu.weight"), "25");
    T_STR(read_back(V2 ID "/io.weight"), "default 250");
    T_STR(e.msg, "");
    box_groups_close(g);
    tree_end();
}

static void disks_without_shares_are_no_hierarchy_to_enter(void)
{
    struct box_groups *g;
    struct err e;

    tree_begin();
    v1_files();
    file("blkio/x", "");
    g = open_with("cpu,cpuacct blkio", NULL);
    T_EQ(box_groups_limits(g), BOX_LIMITS_CPU);
    T_EQ(box_groups_make(g, ID, &limits, &e), 0);
    T_OK(strstr(read_back("blkio/dormouse-k/" ID "/x"), "No such file") != NULL);
    T_OK(strstr(read_back("blkio/dormouse-k"), "No such file") != NULL);
    box_groups_close(g);
    tree_end();
}

static void no_limit_is_written_as_such(void)
{
    struct box_limits none = {0}, least = {.cpu_milli = 1, .weight_milli = 1};
    struct box_groups *g;
    struct err e;

    tree_begin();
    v1_files();
    v2_files("cpu memory pids\n");
    g = open_with("v2", "/slice/unit");
    T_EQ(box_groups_limit(g, ID, &none, &e), 0);
    T_STR(read_back(V2 ID "/memory.max"), "max");
    T_STR(read_back(V2 ID "/memory.swap.max"), "max");
    T_STR(read_back(V2 ID "/cpu.max"), "max 100000");
    T_STR(read_back(V2 ID "/pids.max"), "max");
    box_groups_close(g);
    g = open_with("memory cpu,cpuacct pids", NULL);
    T_EQ(box_groups_limit(g, ID, &none, &e), 0);
    T_STR(read_back(V1_MEMORY "memory.limit_in_bytes"), "-1");
    T_STR(read_back(V1_CPU "cpu.cfs_quota_us"), "-1");
    T_STR(read_back(V1_PIDS "pids.max"), "max");
    v1_files();
    T_EQ(box_groups_limit(g, ID, &least, &e), 0);
    T_STR(read_back(V1_CPU "cpu.cfs_quota_us"), "1000");
    T_STR(read_back(V1_CPU "cpu.shares"), "2");
    box_groups_close(g);
    tree_end();
}

static void controllers_are_enabled_but_a_refusal_is_only_a_limit_less(void)
{
    struct box_groups *g;

    tree_begin();
    v2_files("cpu memory pids\n");
    file(V2 "cgroup.subtree_control", "cpu\n"); /* a plain file does not obey "+memory" */
    g = open_with("v2", "slice/unit");
    T_EQ(box_groups_limits(g), BOX_LIMITS_CPU | BOX_KILLS_AT_ONCE);
    T_OK(str_starts(read_back(V2 "cgroup.subtree_control"), "+pids")); /* the last one asked for */
    box_groups_close(g);
    tree_end();
}

static void a_hybrid_host_limits_by_v1_and_kills_by_v2(void)
{
    struct box_groups *g;
    struct err e;

    tree_begin();
    v1_files();
    file("v2/cgroup.controllers", "hugetlb\n");
    file("v2/cgroup.subtree_control", "");
    file("v2/dormouse-k/cgroup.controllers", "");
    file("v2/dormouse-k/cgroup.subtree_control", "");
    file("v2/dormouse-k/cgroup.kill", "");
    file("v2/dormouse-k/" ID "/cgroup.kill", "");
    file("v2/dormouse-k/" ID "/cgroup.procs", "");
    g = open_with("memory cpu,cpuacct pids v2", NULL);
    T_EQ(box_groups_limits(g),
         BOX_LIMITS_MEMORY | BOX_LIMITS_CPU | BOX_LIMITS_PIDS | BOX_KILLS_AT_ONCE);
    T_EQ(box_groups_make(g, ID, &limits, &e), 0);
    T_EQ(box_groups_kill(g, ID, &e), 0);
    T_STR(read_back("v2/dormouse-k/" ID "/cgroup.kill"), "1");
    T_STR(read_back(V1_PIDS "pids.max"), "000"); /* 0, over the 200 of a plain file */
    box_groups_close(g);
    tree_end();
}

static void a_parent_that_is_not_there_is_an_error(void)
{
    AUTO_FREE char *text = NULL;
    struct err e;

    tree_begin();
    file("v2/cgroup.controllers", "");
    text = mem_printf("1 2 0:3 / %s/v2 rw - cgroup2 x rw\n", root);
    T_OK(box_groups_open_from(text, "k", "/not/there", &e) == NULL);
    T_OK(e.hint[0] != '\0');
    T_OK(box_groups_open_from(text, "k", "/../..", &e) == NULL);
    T_OK(box_groups_open_from("", "k", NULL, &e) == NULL);
    T_EQ(e.kind, ERR_MISSING);
    T_OK(box_groups_open_from(text, "../k", NULL, &e) == NULL);
    T_EQ(e.kind, ERR_INPUT);
    tree_end();
}

static void a_name_that_is_a_path_is_refused(void)
{
    static const char *const bad[] = {
        "",
        "..",
        "a/b",
        "A",
        "a.b",
        "a\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct box_groups *g;
    struct box_usage u;
    pid_t pids[1];
    struct err e;

    tree_begin();
    file("pids/x", "");
    g = open_with("pids", NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        T_EQ(box_groups_make(g, bad[i], &limits, &e), -1);
        T_EQ(box_groups_limit(g, bad[i], &limits, &e), -1);
        T_EQ(box_groups_join(g, bad[i], &e), -1);
        T_EQ(box_groups_pids(g, bad[i], pids, 1, &e), -1);
        T_EQ(box_groups_kill(g, bad[i], &e), -1);
        T_EQ(box_groups_remove(g, bad[i], &e), -1);
        T_EQ(box_groups_usage(g, bad[i], &u, &e), -1);
        T_EQ(e.kind, ERR_INPUT);
    }
    box_groups_close(g);
    tree_end();
}

static int note(void *owner, const char *id, struct err *e)
{
    char *seen = owner;

    (void)e;
    seen[strlen(seen)] = id[0];
    return 0;
}

static void a_group_in_one_hierarchy_only_is_found_and_removed(void)
{
    struct box_groups *g;
    char seen[16] = "";
    pid_t pids[2];
    struct err e;

    tree_begin();
    file("memory/dormouse-k/a/x", "");
    file("pids/dormouse-k/a/x", "");
    file("pids/dormouse-k/b/cgroup.procs", "12\n13\n0\n14\n");
    file("memory/other/c/x", "");
    g = open_with("pids memory", NULL);
    T_EQ(box_groups_list(g, note, seen, &e), 0);
    T_EQ(strlen(seen), 2);
    T_OK(strchr(seen, 'a') != NULL && strchr(seen, 'b') != NULL);
    T_EQ(box_groups_pids(g, "b", pids, 2, &e), 2);
    T_EQ(pids[1], 13);
    T_EQ(box_groups_pids(g, "gone", pids, 2, &e), 0);
    T_EQ(box_groups_remove(g, "gone", &e), 0);
    file("pids/dormouse-k/b/cgroup.procs", "12x\n");
    T_EQ(box_groups_pids(g, "b", pids, 2, &e), -1);
    box_groups_close(g);
    tree_end();
}

static void mountinfo_is_taken_with_all_its_oddities(void)
{
    static struct box_groups g;

    box_trees_find("31 23 0:28 / /a\\040b rw shared:1 master:2 - cgroup2 cgroup2 rw\n"
                   "32 23 0:29 / /second rw - cgroup2 cgroup2 rw\n"
                   "33 23 0:30 / /cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                   "34 23 0:31 / /again rw - cgroup cgroup rw,cpuacct\n"
                   "35 23 0:32 / /named rw - cgroup cgroup rw,name=memory\n"
                   "36 23 0:33 / /memory - - cgroup cgroup rw,memory\n"
                   "37 23 0:33 /\n\n - - - -\n"
                   "38 23 0:34 / /cut rw - cgroup cgroup\n",
                   &g);
    T_EQ(g.n, 3);
    T_STR(g.trees[0].mount, "/a b");
    T_OK(g.trees[0].v2);
    T_STR(g.trees[1].mount, "/cpu");
    T_EQ(g.trees[1].controllers, BOX_CPU | BOX_CPUACCT);
    T_STR(g.trees[2].mount, "/memory");
}

int main(void)
{
    T_RUN(v1_limits_go_into_a_mount_per_controller);
    T_RUN(v1_swap_is_closed_where_it_is_accounted);
    T_RUN(v2_limits_go_below_the_delegated_parent);
    T_RUN(shares_go_by_what_was_asked_for_and_not_by_the_limit);
    T_RUN(disks_without_shares_are_no_hierarchy_to_enter);
    T_RUN(no_limit_is_written_as_such);
    T_RUN(controllers_are_enabled_but_a_refusal_is_only_a_limit_less);
    T_RUN(a_hybrid_host_limits_by_v1_and_kills_by_v2);
    T_RUN(a_parent_that_is_not_there_is_an_error);
    T_RUN(a_name_that_is_a_path_is_refused);
    T_RUN(a_group_in_one_hierarchy_only_is_found_and_removed);
    T_RUN(mountinfo_is_taken_with_all_its_oddities);
    return t_end();
}
