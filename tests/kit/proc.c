/* G2-04 and G2-05: what /proc shows and takes, /sys, and control groups. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kit.h"

/* Of the names in /proc that are no process: what a pod may read. Nothing in it is of a tenant. */
static const char *const readable[] = {
    "buddyinfo", "bus",     "cgroups", "config.gz",   "consoles",   "cpuinfo",     "crypto",
    "devices",   "dma",     "driver",  "execdomains", "fb",         "filesystems", "iomem",
    "ioports",   "irq",     "loadavg", "locks",       "mdstat",     "meminfo",     "misc",
    "modules",   "mounts",  "mtrr",    "net",         "partitions", "pressure",    "self",
    "softirqs",  "stat",    "swaps",   "sys",         "sysvipc",    "thread-self", "tty",
    "uptime",    "version", "vmstat",  "zoneinfo"};

static int masked(const char *path, const struct stat *st)
{
    struct dirent *entry;
    int n = 0;
    DIR *dir;

    if (S_ISCHR(st->st_mode))
        return major(st->st_rdev) == 1 && minor(st->st_rdev) == 3;
    if (!S_ISDIR(st->st_mode))
        return 0;
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return n == 0;
}

static void allow_list(const void *arg)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    int n = 0;

    (void)arg;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[300], byte;
        struct stat st;
        int known = 0, fd;

        for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
            known += strcmp(entry->d_name, readable[i]) == 0;
        (void)snprintf(path, sizeof(path), "/proc/%s", entry->d_name);
        if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) > 0 || known > 0 ||
            stat(path, &st) < 0)
            continue;
        n++;
        if (masked(path, &st))
            continue;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 && (S_ISDIR(st.st_mode) || read(fd, &byte, 1) > 0))
            escaped("%s", entry->d_name);
        if (fd >= 0)
            (void)close(fd);
    }
    contained("%d others say nothing", n);
}

static void write_one(const void *arg)
{
    const char *path = arg;
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        contained("not there");
    else if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
        contained("masked");
    else
        refused(fd, "it can be opened for writing");
}

static void sysctls(const void *arg)
{
    static const char *const roots[] = {"kernel",   "vm",   "fs", "net/core",
                                        "net/ipv4", "user", "dev"};
    int n = 0;

    (void)arg;
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        char path[512];
        struct dirent *entry;
        DIR *dir;

        (void)snprintf(path, sizeof(path), "/proc/sys/%s", roots[i]);
        dir = opendir(path);
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            int fd;

            (void)snprintf(path, sizeof(path), "/proc/sys/%s/%.200s", roots[i], entry->d_name);
            fd = open(path, O_WRONLY | O_CLOEXEC);
            n++;
            if (fd < 0)
                continue;
            /* what it says already: some can be opened by all, and refuse in the end */
            if (write(fd, slurp(path), strlen(slurp(path))) > 0)
                escaped("%s can be written", path);
            (void)close(fd);
        }
        if (dir != NULL)
            (void)closedir(dir);
    }
    contained("0 of %d can be written", n);
}

/* Every process that is not of this user namespace's own uid is somebody else's. */
static void foreign_processes(const void *arg)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    int n = 0;

    (void)arg;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[64];
        struct stat st;

        if (strtol(entry->d_name, NULL, 10) <= 0)
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%.20s", entry->d_name);
        n++;
        /* pid 1 may be shown as nobody's while it is not dumpable */
        if (stat(path, &st) == 0 && st.st_uid != getuid() && strcmp(entry->d_name, "1") != 0)
            escaped("process %s of uid %u", entry->d_name, st.st_uid);
    }
    if (n > 4096)
        escaped("%d processes", n);
    contained("%d, all own", n);
}

static void sys_tree(const void *arg)
{
    static const char *const paths[] = {"/sys/kernel",       "/sys/fs/cgroup", "/sys/firmware",
                                        "/sys/kernel/debug", "/sys/class/net", "/sys/block",
                                        "/sys/module",       "/sys/devices"};

    (void)arg;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (faccessat(AT_FDCWD, paths[i], F_OK, 0) == 0)
            escaped("%s is there", paths[i]);
    contained("not there");
}

static void oom_score(const void *arg)
{
    static const char *const paths[] = {"/proc/self/oom_score_adj", "/proc/1/oom_score_adj",
                                        "/proc/2/oom_score_adj"};

    (void)arg;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = open(paths[i], O_WRONLY | O_CLOEXEC);

        if (fd < 0)
            contained("%s", errno_name(errno));
        else
            refused(write(fd, "-1000", 5), paths[i]);
    }
}

static void cgroup_paths(const void *arg)
{
    const char *text = slurp("/proc/self/cgroup");

    (void)arg;
    if (strstr(text, "dormouse") != NULL || strstr(text, "user.slice") != NULL ||
        strstr(text, "/../") != NULL)
        escaped("the names of groups can be seen");
    if (strstr(slurp("/proc/self/mountinfo"), " - cgroup") != NULL)
        escaped("a hierarchy is mounted");
    if (open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC) >= 0 ||
        open("/sys/fs/cgroup/release_agent", O_WRONLY | O_CLOEXEC) >= 0)
        escaped("a group can be written to");
    contained("not mounted");
}

static void cgroup_mount(const void *arg)
{
    static const char *const v1[] = {"memory", "devices", "rdma", "pids", "freezer"};

    (void)arg;
    for (size_t i = 0; i < sizeof(v1) / sizeof(v1[0]); i++)
        refused(mount("kit", "/tmp", "cgroup", 0, v1[i]), "mount cgroup");
    refused(mount("kit", "/tmp", "cgroup2", 0, NULL), "mount cgroup2");
}

const struct probe proc_probes[] = {
    {"G2-04", "what /proc shows", allow_list, NULL},
    {"G2-04", "sysctls", sysctls, NULL},
    {"G2-04", "sysrq-trigger", write_one, "/proc/sysrq-trigger"},
    {"G2-04", "core_pattern", write_one, "/proc/sys/kernel/core_pattern"},
    {"G2-04", "modprobe", write_one, "/proc/sys/kernel/modprobe"},
    {"G2-04", "binfmt_misc", write_one, "/proc/sys/fs/binfmt_misc/register"},
    {"G2-04", "kcore", write_one, "/proc/kcore"},
    {"G2-04", "kmsg", write_one, "/proc/kmsg"},
    {"G2-04", "smp_affinity", write_one, "/proc/irq/default_smp_affinity"},
    {"G2-04", "mtrr", write_one, "/proc/mtrr"},
    {"G2-04", "processes of others", foreign_processes, NULL},
    {"G2-04", "lower an OOM score", oom_score, NULL},
    {"G2-04", "/sys", sys_tree, NULL},
    {"G2-05", "groups in sight", cgroup_paths, NULL},
    {"G2-05", "mount a hierarchy", cgroup_mount, NULL},
    {NULL, NULL, NULL, NULL}};
