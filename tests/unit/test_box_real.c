/*
 * Pods for real: needs root, bubblewrap and writable control groups. This program is also what runs
 * inside ("--inside ..."): it tries what must fail and prints a line for each thing that did not.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "box/box.h"
#include "box/groups.h"
#include "box/look.h"
#include "box/procstatus.h"
#include "box/prove.h"
#include "box/seccomp.h"
#include "t.h"
#include "test_box_inside.h"

#define POD_UID     231001
#define DEADLINE_MS 20000
#define KIT         "/run/kit"

static struct box_groups *groups;
static struct box_host host;
static int filter = -1, lean = -1;
static char folder[] = "/tmp/box-test-XXXXXX";
static char *kit; /* a copy of this program that the pod's uid can reach */

struct pod {
    char id[ID_SIZE];
    pid_t monitor;
    int out; /* what it writes to 1 and 2 */
};

static void plan_of(struct box_plan *p)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin",
                                      "HOME=/home/alice",
                                      "LANG=C.UTF-8",
                                      "SECRETLESS=a b=c",
                                      "ASAN_OPTIONS=detect_leaks=0",
                                      NULL};

    box_plan_init(p);
    p->uid = p->gid = POD_UID;
    p->user = "alice";
    p->home = "/tmp";
    p->hostname = "pod-of-alice";
    p->host = &host;
    p->env = env;
    p->tmp_size = 2u << 20;
    p->seccomp_fd = filter;
    p->lean_fd = lean;
    box_plan_bind(p, kit, KIT, BOX_READ_ONLY);
}

static void start(struct pod *pod, struct box_plan *p, const struct box_limits *limits)
{
    struct err e;
    int ends[2];

    rand_id(pod->id);
    p->group = pod->id;
    if (box_groups_make(groups, pod->id, limits, &e) < 0 || pipe2(ends, O_CLOEXEC) < 0) {
        printf("# %s\n", e.msg);
        abort();
    }
    p->out = p->err = ends[1];
    pod->out = ends[0];
    pod->monitor = fork();
    if (pod->monitor == 0) {
        (void)box_exec(p, groups, &e);
        (void)dprintf(ends[1], "box_exec: %s\n", e.msg);
        _exit(127);
    }
    (void)close(ends[1]);
}

/* One line, or all until the end; waits as long as the deadline allows. */
static size_t read_pod(struct pod *pod, char *text, size_t size, bool line)
{
    uint64_t deadline = clock_ms() + DEADLINE_MS;
    size_t n = 0;

    while (n + 1 < size && clock_ms() < deadline) {
        struct pollfd p = {.fd = pod->out, .events = POLLIN};
        ssize_t r;

        if (poll(&p, 1, (int)(deadline - clock_ms())) <= 0)
            break;
        r = read(pod->out, text + n, line ? 1 : size - n - 1);
        if (r <= 0)
            break;
        n += (size_t)r;
        if (line && text[n - 1] == '\n') {
            n--;
            break;
        }
    }
    text[n] = '\0';
    return n;
}

/* Kill what is left and see that nothing of the pod remains. */
static int finish(struct pod *pod)
{
    uint64_t deadline = clock_ms() + DEADLINE_MS;
    int status = 0, left = 1;
    struct err e;

    T_OK(box_groups_kill(groups, pod->id, &e) >= 0);
    T_EQ(waitpid(pod->monitor, &status, 0), pod->monitor);
    while ((left = box_groups_remove(groups, pod->id, &e)) > 0 && clock_ms() < deadline)
        (void)poll(NULL, 0, 1);
    T_EQ(left, 0);
    T_EQ(box_groups_remove(groups, pod->id, &e), 0);
    close_fd(&pod->out);
    return status;
}

static const struct box_limits usual = {.memory = 64u << 20, .cpu_milli = 1000, .pids = 64};

/* Run to the end; returns what it said. */
static char *run(struct box_plan *p)
{
    static char text[65536];
    struct pod pod;

    start(&pod, p, &usual);
    (void)read_pod(&pod, text, sizeof(text), false);
    (void)finish(&pod);
    return text;
}

static char *shell(const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    return run(&p);
}

static char *kit_run(const char *what)
{
    const char *argv[] = {KIT, "--inside", what, NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    return run(&p);
}

static void inside_the_user_is_1000_and_has_the_own_name(void)
{
    T_STR(shell("id; hostname; pwd; umask"), "uid=1000(alice) gid=1000(alice) groups=1000(alice)\n"
                                             "pod-of-alice\n/\n0022\n");
}

static void a_pod_has_no_capability_and_a_filter(void)
{
    T_STR(shell("grep -E '^(Cap|NoNew|Seccomp:|Groups|SigBlk|SigIgn)' /proc/self/status"),
          "Groups:\t "
          "\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nCapInh:"
          "\t0000000000000000\nCapPrm:\t0000000000000000\n"
          "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"
          "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

static void the_root_is_what_the_plan_lists(void)
{
    T_STR(shell("cd /; for d in *; do [ -L $d ] || echo $d; done; ls /run /dev; ls /etc/shadow"),
          "dev\netc\nproc\nrun\ntmp\nusr\n/dev:\nfd\nfull\nnull\nrandom\nshm\nstderr\nstdin\n"
          "stdout\ntty\nurandom\nzero\n\n/run:\nkit\n"
          "ls: cannot access '/etc/shadow': No such file or directory\n");
}

static void the_environment_is_the_plans_alone(void)
{
    T_STR(shell("env | grep -v -e ^PWD= -e ^_= -e ^ASAN | sort"),
          "HOME=/home/alice\nLANG=C.UTF-8\nPATH=/usr/bin:/bin\nSECRETLESS=a b=c\n");
}

static void only_loopback_is_there_and_it_is_up(void)
{
    T_STR(shell("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; "
                "perl -MSocket -e 'socket(S,AF_INET,SOCK_STREAM,0); "
                "bind(S,pack_sockaddr_in(5432,inet_aton(\"127.0.0.1\"))) or die; print \"up\\n\"'"),
          "lo\nup\n");
}

static void rlimits_hold_inside(void)
{
    const char *argv[] = {"/bin/sh", "-c", "ulimit -c; ulimit -n; ulimit -Hn", NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    p.rlimits = (struct box_rlimits){.nofile = 777};
    T_STR(run(&p), "0\n777\n777\n");
}

static void what_must_fail_inside_fails(void)
{
    T_STR(kit_run("probe"), "done\n");
}

static void tools_that_make_namespaces_and_mounts_fail(void)
{
    T_STR(shell("unshare -U true 2>/dev/null && echo unshare; "
                "mount -t tmpfs x /tmp 2>/dev/null && echo mount; "
                "bwrap --ro-bind / / true 2>/dev/null && echo bwrap; echo end"),
          "end\n");
}

static void threads_perl_python_and_pipes_work(void)
{
    T_STR(shell("perl -e 'print \"perl\\n\"' | cat; "
                "[ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import threading,subprocess;"
                "t=threading.Thread(target=lambda:None);t.start();t.join();"
                "subprocess.run([\"echo\",\"python\"])' || echo python"),
          "perl\npython\n");
}

static void nothing_leaks_into_the_payload(void)
{
    int extra[50];
    char *said;

    for (size_t i = 0; i < 50; i++)
        extra[i] = open("/etc/shadow", O_RDONLY); /* check-style: a careless caller */
    said = shell("cd /proc/self/fd; for f in *; do readlink $f; done | grep -v -e pipe: -e null");
    T_STR(said, "");
    for (size_t i = 0; i < 50; i++)
        close_fd(&extra[i]);
}

static void the_lock_is_held_by_pid_1_alone_and_free_afterwards(void)
{
    AUTO_FREE char *path = mem_printf("%s/lock", folder);
    AUTO_CLOSE int mine = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    AUTO_CLOSE int other = open(path, O_RDONLY | O_CLOEXEC);
    const char *argv[] = {"/bin/sh", "-c",
                          "ls -l /proc/self/fd | grep -c lock; "
                          "ls -l /proc/1/fd | grep -c lock; exec cat /dev/fd/0",
                          NULL};
    struct box_plan p;
    char line[64];
    struct pod pod;
    int hold[2];

    T_EQ(pipe2(hold, O_CLOEXEC), 0);
    T_EQ(flock(mine, LOCK_EX), 0);
    plan_of(&p);
    p.argv = argv;
    p.in = hold[0];
    p.lock_fd = mine;
    start(&pod, &p, &usual);
    close_fd(&hold[0]);
    close_fd(&mine);
    (void)read_pod(&pod, line, sizeof(line), true);
    T_STR(line, "0");
    (void)read_pod(&pod, line, sizeof(line), true);
    T_STR(line, "1");
    T_EQ(flock(other, LOCK_EX | LOCK_NB), -1);
    T_EQ(errno, EWOULDBLOCK);
    (void)finish(&pod);
    T_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
    close_fd(&hold[1]);
}

static void from_outside_everything_has_the_users_uid(void)
{
    const char *argv[] = {"/bin/sh", "-c", "sleep 1000 & echo ready; wait", NULL};
    struct box_seen seen;
    struct box_usage usage;
    struct box_plan p;
    struct procstatus s = {.n_ns_pid = 1};
    struct pod pod;
    char line[64];
    struct err e = {.msg = ""};

    plan_of(&p);
    p.argv = argv;
    start(&pod, &p, &usual);
    (void)read_pod(&pod, line, sizeof(line), true);
    T_STR(line, "ready");
    T_EQ(box_verify(groups, pod.id, POD_UID, POD_UID, &e), 0);
    T_STR(e.msg, "");
    T_EQ(box_verify(groups, pod.id, POD_UID + 1, POD_UID, &e), -1);
    T_EQ(e.kind, ERR_INTERNAL);

    T_EQ(box_look(groups, pod.id, &seen, &e), 0);
    T_EQ(seen.count, 4); /* monitor, init, shell, sleep */
    T_OK(seen.init > 0 && seen.payload > 0 && seen.init_fd >= 0 && seen.payload_fd >= 0);
    T_EQ(procstatus_read(seen.payload, &s, &e), 0);
    T_EQ(s.ns_pid[s.n_ns_pid - 1], 2);
    T_EQ(s.parent, seen.init);
    box_seen_done(&seen);

    T_EQ(box_groups_usage(groups, pod.id, &usage, &e), 0);
    T_OK(usage.memory == BOX_UNKNOWN || (usage.memory > 0 && usage.memory <= usage.memory_peak));
    T_OK(usage.pids == BOX_UNKNOWN || usage.pids == 4);
    T_OK(usage.cpu_us > 0);

    T_EQ(box_signal(groups, pod.id, BOX_PAYLOAD, SIGTERM, &e), 0);
    (void)finish(&pod);
    T_EQ(box_signal(groups, pod.id, BOX_PAYLOAD, SIGTERM, &e), -1);
    T_EQ(e.kind, ERR_NOT_FOUND);
}

static void the_monitor_ends_with_the_payloads_status(void)
{
    const char *argv[] = {"/bin/sh", "-c", "exit 7", NULL};
    char text[64];
    struct box_plan p;
    struct pod pod;
    int status;

    plan_of(&p);
    p.argv = argv;
    start(&pod, &p, &usual);
    (void)read_pod(&pod, text, sizeof(text), false);
    T_EQ(waitpid(pod.monitor, &status, 0), pod.monitor);
    T_EQ(WEXITSTATUS(status), 7);
    pod.monitor = fork(); /* something for finish() to wait for */
    if (pod.monitor == 0)
        _exit(0);
    (void)finish(&pod);
}

static void a_fork_bomb_is_bounded_and_dies_at_once(void)
{
    const char *argv[] = {KIT, "--inside", "bomb", NULL};
    struct box_plan p;
    struct pod pod;
    char line[64];
    uint64_t n;

    if ((box_groups_limits(groups) & BOX_LIMITS_PIDS) == 0)
        return;
    plan_of(&p);
    p.argv = argv;
    start(&pod, &p, &usual);
    (void)read_pod(&pod, line, sizeof(line), true);
    T_OK(str_u64(line, &n) && n > 0 && n < usual.pids);
    (void)finish(&pod);
}

/* As on a host that has no v2 at all. */
static void without_cgroup_kill_a_fork_bomb_dies_as_well(void)
{
    AUTO_FREE char *text = NULL;
    struct box_groups *all = groups;
    char key[ID_SIZE];
    struct err e;

    T_OK(fd_read_file(-1, "/proc/self/mountinfo", 1 << 20, &text, &e) > 0);
    for (char *v2 = strstr(text, " - cgroup2 "); v2 != NULL; v2 = strstr(text, " - cgroup2 "))
        memcpy(v2, " - nothing ", 11);
    rand_id(key);
    groups = box_groups_open_from(text, key, NULL, &e);
    if (groups != NULL) {
        T_EQ(box_groups_limits(groups) & BOX_KILLS_AT_ONCE, 0);
        a_fork_bomb_is_bounded_and_dies_at_once();
        box_groups_purge(groups);
    } else {
        printf("# only v2 on this host: not tried\n");
    }
    groups = all;
}

static void a_memory_hog_is_killed_alone(void)
{
    if ((box_groups_limits(groups) & BOX_LIMITS_MEMORY) == 0)
        return;
    T_STR(kit_run("hog"), "killed alone\n");
}

static int count_id(void *owner, const char *id, struct err *e)
{
    (void)id;
    (void)e;
    ++*(int *)owner;
    return 0;
}

static void groups_are_listed_for_adoption(void)
{
    struct err e;
    char a[ID_SIZE], b[ID_SIZE];
    int n = 0;

    rand_id(a);
    rand_id(b);
    T_EQ(box_groups_make(groups, a, &usual, &e), 0);
    T_EQ(box_groups_make(groups, b, &usual, &e), 0);
    T_EQ(box_groups_make(groups, b, &usual, &e), 0);
    T_EQ(box_groups_list(groups, count_id, &n, &e), 0);
    T_EQ(n, 2);
    T_EQ(box_groups_kill(groups, a, &e), 0);
    T_EQ(box_groups_remove(groups, a, &e), 0);
    T_EQ(box_groups_remove(groups, b, &e), 0);
    n = 0;
    T_EQ(box_groups_list(groups, count_id, &n, &e), 0);
    T_EQ(n, 0);
}

static void limits_can_be_raised_and_lowered(void)
{
    struct box_limits l = usual;
    char id[ID_SIZE];
    struct err e = {.msg = ""};

    rand_id(id);
    T_EQ(box_groups_make(groups, id, &l, &e), 0);
    l.memory *= 4;
    l.cpu_milli = 2500;
    T_EQ(box_groups_limit(groups, id, &l, &e), 0);
    l.memory /= 8;
    l.cpu_milli = 1;
    T_EQ(box_groups_limit(groups, id, &l, &e), 0);
    T_EQ(box_groups_limit(groups, id, &(struct box_limits){0}, &e), 0);
    T_STR(e.msg, "");
    T_EQ(box_groups_remove(groups, id, &e), 0);
}

static void doctor_finds_memory_enforced_and_namespaces_allowed(void)
{
    bool enforced = false;
    struct err e = {.msg = ""};
    int n = 0;

    T_EQ(box_prove_memory(groups, &enforced, &e), 0);
    T_EQ(enforced, (box_groups_limits(groups) & BOX_LIMITS_MEMORY) != 0);
    T_EQ(box_groups_list(groups, count_id, &n, &e), 0);
    T_EQ(n, 0);
    T_EQ(box_prove_userns(POD_UID, POD_UID, &e), 0);
    T_STR(e.msg, "");
}

static void a_terminal_can_be_made_where_the_plan_says_so(void)
{
    const char *argv[] = {"/usr/bin/perl", "-e",
                          "open(P,'+<','/dev/ptmx') or die $!; print \"pty\\n\"; "
                          "open(P,'>','/dev/x') and print \"written\\n\"",
                          NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    p.terminals = true;
    T_STR(run(&p), "pty\n");
}

static void a_directory_is_bound_by_descriptor(void)
{
    AUTO_CLOSE int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *argv[] = {"/bin/sh", "-c", "ls /data | head -1; touch /data/x 2>&1 | grep -c Read",
                          NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    box_plan_bind(&p, NULL, "/data", BOX_READ_ONLY);
    p.binds[1].by_fd = true;
    p.binds[1].fd = dir;
    T_STR(run(&p), "kit\n1\n");
}

static void a_bind_whose_path_has_a_link_is_refused(void)
{
    AUTO_FREE char *link = mem_printf("%s/link", folder);
    const char *argv[] = {"/bin/ls", "/x", NULL};
    struct box_plan p;

    T_EQ(symlink("/root", link), 0);
    plan_of(&p);
    p.argv = argv;
    box_plan_bind(&p, link, "/x", BOX_READ_ONLY);
    T_OK(strstr(run(&p), "box_exec: could not open") != NULL);
    T_EQ(unlink(link), 0);
}

static void what_is_not_there_is_left_out_where_the_plan_says_so(void)
{
    const char *argv[] = {"/bin/sh", "-c", "ls -d /run/* /no 2>&1", NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    p.n_binds = 0;
    box_plan_bind(&p, "/nonexistent/x", "/no", BOX_IF_THERE);
    box_plan_bind(&p, kit, KIT, BOX_READ_ONLY);
    T_STR(run(&p), "ls: cannot access '/no': No such file or directory\n/run/kit\n");
}

static void a_pod_can_start_from_the_callers_mounts_too(void)
{
    const char *argv[] = {KIT, "--inside", "probe", NULL};
    struct box_plan p;

    plan_of(&p);
    p.argv = argv;
    p.lean_fd = -1;
    T_STR(run(&p), "done\n");
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* A figure for people; no verdict depends on a clock. */
static void starting_is_measured(void)
{
    uint64_t pods[20], bare[20];

    for (size_t i = 0; i < 20; i++) {
        uint64_t before = clock_us(), after = 0;
        char *said = kit_run("now");
        int ends[2], status;
        char text[32] = "";
        pid_t pid;

        said[strcspn(said, "\n")] = '\0';
        T_OK(str_u64(said, &after) && after > before);
        pods[i] = after - before;
        T_EQ(pipe2(ends, O_CLOEXEC), 0);
        before = clock_us();
        pid = fork();
        if (pid == 0) {
            (void)dup2(ends[1], 1);
            (void)execl(kit, KIT, "--inside", "now", (char *)NULL);
            _exit(127);
        }
        T_OK(read(ends[0], text, sizeof(text) - 1) > 0);
        text[strcspn(text, "\n")] = '\0';
        T_OK(str_u64(text, &after));
        bare[i] = after - before;
        T_EQ(waitpid(pid, &status, 0), pid);
        close_fd(&ends[0]);
        close_fd(&ends[1]);
    }
    qsort(pods, 20, sizeof(pods[0]), compare);
    qsort(bare, 20, sizeof(bare[0]), compare);
    printf("# from fork to the payload's first line: pod %" PRIu64 " us, bare %" PRIu64
           " us (medians of 20)\n",
           pods[10], bare[10]);
}

static int skip(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    return 0;
}

/* What a daemon may have about it, and a pod must not inherit. */
static int be_careless(struct err *e)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    gid_t more[] = {4, 27};
    struct rlimit core;
    sigset_t blocked;

    if (getrlimit(RLIMIT_CORE, &core) < 0 || setgroups(2, more) < 0 ||
        sigaction(SIGPIPE, &ignore, NULL) < 0 || sigemptyset(&blocked) < 0 ||
        sigaddset(&blocked, SIGCHLD) < 0 || sigprocmask(SIG_BLOCK, &blocked, NULL) < 0)
        return err_set_os(e, errno, "could not set the scene");
    core.rlim_cur = core.rlim_max;
    (void)umask(077);
    return setrlimit(RLIMIT_CORE, &core) < 0 ? err_set_os(e, errno, "core") : 0;
}

static int copy_kit(struct err *e)
{
    AUTO_FREE char *bytes = NULL;
    int n = fd_read_file(-1, "/proc/self/exe", 256u << 20, &bytes, e);

    kit = mem_printf("%s/kit", folder);
    if (n < 0 || chmod(folder, 0755) < 0)
        return -1;
    return fd_write_file(-1, kit, 0755, 0, 0, bytes, (size_t)n, e);
}

static void remove_folder(void)
{
    AUTO_FREE char *lock = mem_printf("%s/lock", folder);

    (void)unlink(lock);
    (void)unlink(kit);
    (void)rmdir(folder);
    free(kit);
}

int main(int argc, char **argv)
{
    char key[ID_SIZE];
    struct err e = {.msg = ""};

    if (argc == 3 && str_is(argv[1], "--inside")) {
        int r = inside(argv[2]);

        (void)fflush(stdout);
        _exit(r);
    }
    if (geteuid() != 0)
        return skip("pods are made by root");
    if (box_prove_userns(POD_UID, POD_UID, &e) < 0)
        return skip(e.msg);
    rand_id(key);
    groups = box_groups_open(key, NULL, &e);
    if (groups == NULL)
        return skip(e.msg);
    filter = box_seccomp_open(&e);
    lean = box_lean_open(&e);
    if (lean < 0 || filter < 0 || box_host_read("/", &host, &e) < 0 || mkdtemp(folder) == NULL ||
        copy_kit(&e) < 0 || be_careless(&e) < 0) {
        printf("# %s\n", e.msg);
        return 1;
    }
    T_RUN(inside_the_user_is_1000_and_has_the_own_name);
    T_RUN(a_pod_has_no_capability_and_a_filter);
    T_RUN(the_root_is_what_the_plan_lists);
    T_RUN(the_environment_is_the_plans_alone);
    T_RUN(only_loopback_is_there_and_it_is_up);
    T_RUN(rlimits_hold_inside);
    T_RUN(what_must_fail_inside_fails);
    T_RUN(tools_that_make_namespaces_and_mounts_fail);
    T_RUN(threads_perl_python_and_pipes_work);
    T_RUN(nothing_leaks_into_the_payload);
    T_RUN(the_lock_is_held_by_pid_1_alone_and_free_afterwards);
    T_RUN(from_outside_everything_has_the_users_uid);
    T_RUN(the_monitor_ends_with_the_payloads_status);
    T_RUN(a_fork_bomb_is_bounded_and_dies_at_once);
    T_RUN(without_cgroup_kill_a_fork_bomb_dies_as_well);
    T_RUN(a_memory_hog_is_killed_alone);
    T_RUN(groups_are_listed_for_adoption);
    T_RUN(limits_can_be_raised_and_lowered);
    T_RUN(doctor_finds_memory_enforced_and_namespaces_allowed);
    T_RUN(a_terminal_can_be_made_where_the_plan_says_so);
    T_RUN(a_directory_is_bound_by_descriptor);
    T_RUN(a_bind_whose_path_has_a_link_is_refused);
    T_RUN(what_is_not_there_is_left_out_where_the_plan_says_so);
    T_RUN(a_pod_can_start_from_the_callers_mounts_too);
    T_RUN(starting_is_measured);
    close_fd(&filter);
    close_fd(&lean);
    box_groups_purge(groups);
    remove_folder();
    return t_end();
}
