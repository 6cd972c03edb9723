/* G2-01 and G2-02: who the process is, and which doors were left open when it was made. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kit.h"

extern char **environ;

/* The value of one line of /proc/self/status. */
static const char *status_line(const char *pid, const char *name)
{
    static char value[80];
    char path[40], key[40];
    const char *at;

    (void)snprintf(path, sizeof(path), "/proc/%s/status", pid);
    (void)snprintf(key, sizeof(key), "\n%s:\t", name);
    at = strstr(slurp(path), key);
    if (at == NULL)
        return "";
    (void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(key), "\n"),
                   at + strlen(key));
    for (char *c = value; *c != '\0'; c++)
        if (*c == '\t')
            *c = ' ';
    return value;
}

static void identity(const void *arg)
{
    (void)arg;
    if (getuid() == 0 || geteuid() == 0 ||
        strncmp(slurp("/proc/self/uid_map"), "         0", 10) == 0)
        escaped("uid 0 is in this user namespace");
    if (getgroups(0, NULL) > 0)
        escaped("%d groups of the host's", getgroups(0, NULL));
    contained("uid %d", (int)getuid());
}

static void capabilities(const void *arg)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};

    (void)arg;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (strspn(status_line("self", sets[i]), "0") != 16)
            escaped("%s %s", sets[i], status_line("self", sets[i]));
    contained("none in 5 sets");
}

static void privileges(const void *arg)
{
    (void)arg;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        escaped("privileges can be gained");
    if (strcmp(status_line("self", "Seccomp"), "2") != 0)
        escaped("no system-call filter");
    contained("no_new_privs, filter");
}

/* The kernel gives the first namespace of each kind a number that never changes. */
static void namespaces(const void *arg)
{
    static const char *const first[][2] = {{"ipc", "ipc:[4026531839]"},
                                           {"uts", "uts:[4026531838]"},
                                           {"user", "user:[4026531837]"},
                                           {"pid", "pid:[4026531836]"},
                                           {"cgroup", "cgroup:[4026531835]"}};

    (void)arg;
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        char path[40], name[64] = "";

        (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", first[i][0]);
        if (readlink(path, name, sizeof(name) - 1) < 0 || strcmp(name, first[i][1]) == 0)
            escaped("the host's %s namespace", first[i][0]);
    }
    contained("5 kinds");
}

static void environment(const void *arg)
{
    static const char *const harmless[] = {
        "PATH=", "LANG=", "LC_",   "TZ=",      "HOME=",          "PWD=",   "SHLVL=",
        "_=",    "PG",    "USER=", "LOGNAME=", "NOTIFY_SOCKET=", "SHELL=", "OLDPWD="};

    (void)arg;
    for (char **e = environ; *e != NULL; e++) {
        size_t known = 0;

        for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
            known += strncmp(*e, harmless[i], strlen(harmless[i])) == 0;
        if (known == 0)
            escaped("%.*s is inherited", (int)strcspn(*e, "="), *e);
    }
    contained("no secret");
}

static void limits(const void *arg)
{
    static const struct {
        int which;
        rlim_t most;
        const char *name;
    } hard[] = {{RLIMIT_CORE, 0, "core"},
                {RLIMIT_RTPRIO, 0, "rtprio"},
                {RLIMIT_NICE, 20, "nice"},
                {RLIMIT_NOFILE, 4096, "nofile"},
                {RLIMIT_MEMLOCK, 64 << 20, "memlock"},
                {RLIMIT_MSGQUEUE, 819200, "msgqueue"}};

    (void)arg;
    for (size_t i = 0; i < sizeof(hard) / sizeof(hard[0]); i++) {
        struct rlimit now, more;

        if (getrlimit((__rlimit_resource_t)hard[i].which, &now) < 0 || now.rlim_max > hard[i].most)
            escaped("%s may be %llu", hard[i].name, (unsigned long long)now.rlim_max);
        more = (struct rlimit){now.rlim_cur, now.rlim_max + 1};
        if (setrlimit((__rlimit_resource_t)hard[i].which, &more) == 0)
            escaped("%s can be raised", hard[i].name);
    }
    contained("6 limits hold");
}

/* Does this open file lie on a mount that the pod can see? */
static int mounted_here(const char *of, const char *number)
{
    char path[80], mount[32];
    const char *at;

    (void)snprintf(path, sizeof(path), "%sinfo/%.20s", of, number);
    at = strstr(slurp(path), "mnt_id:\t");
    if (at == NULL)
        return 0;
    (void)snprintf(mount, sizeof(mount), "\n%ld ", strtol(at + 8, NULL, 10));
    at = slurp("/proc/self/mountinfo");
    return strncmp(at, mount + 1, strlen(mount + 1)) == 0 || strstr(at, mount) != NULL;
}

/* Is this what a program of the pod may have open? `what` is what the link of /proc says. */
static int of_the_pod(const char *of, const char *number, const char *what)
{
    /* the ends of sockets are looked at by send_descriptors() */
    static const char *const ours[] = {"socket:", "pipe:", "anon_inode:", "/memfd:", "/SYSV"};
    char path[80];
    struct stat st;

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strncmp(what, ours[i], strlen(ours[i])) == 0)
            return 1;
    if (mounted_here(of, number))
        return 1;
    /* the server's log, a FIFO of the host's that is written only; and the host's /dev/null */
    (void)snprintf(path, sizeof(path), "%s/%.20s", of, number);
    return stat(path, &st) == 0 &&
           (S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)));
}

static void descriptors(const void *arg)
{
    const char *of = arg;
    char path[64], what[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir(of);
    int n = 0;

    if (dir == NULL) {
        contained("%s: %s", of, errno_name(errno));
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        ssize_t len;
        int fd = strstr(of, "self") != NULL ? (int)strtol(entry->d_name, NULL, 10) : -1;

        (void)snprintf(path, sizeof(path), "%s/%.20s", of, entry->d_name);
        if (entry->d_name[0] == '.' || (len = readlink(path, what, sizeof(what) - 1)) < 0)
            continue;
        what[len] = '\0';
        n++;
        if (strncmp(what, "/proc/", 6) != 0 && !of_the_pod(of, entry->d_name, what)) {
            int again = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

            if (fd >= 0 || again >= 0)
                escaped("%s is %.100s", path, what);
        }
    }
    (void)closedir(dir);
    contained("%d, all of the pod", n);
}

/* From every number, in use or not: is there a way up that does not end at the pod's own root? */
static void ways_up(const void *arg)
{
    struct stat root, at;

    (void)arg;
    if (stat("/", &root) < 0)
        return;
    for (int fd = 0; fd < 1024; fd++) {
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

        for (int i = 0; i < 64 && up >= 0; i++) {
            int next = openat(up, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

            (void)close(up);
            up = next;
        }
        if (up >= 0 && fstat(up, &at) == 0 &&
            (at.st_ino != root.st_ino || at.st_dev != root.st_dev))
            escaped("descriptor %d leads to another root", fd);
        if (up >= 0)
            (void)close(up);
    }
    contained("0 of 1024 lead out");
}

static void working_directories(const void *arg)
{
    char path[64], what[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    int n = 0;

    (void)arg;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        static const char *const kinds[] = {"cwd", "root"};

        for (size_t i = 0; i < 2 && strtol(entry->d_name, NULL, 10) > 0; i++) {
            struct stat st;
            ssize_t len;

            (void)snprintf(path, sizeof(path), "/proc/%.20s/%s", entry->d_name, kinds[i]);
            len = readlink(path, what, sizeof(what) - 1);
            n += len >= 0;
            if (len >= 0 && (what[0] != '/' || strncmp(what, "/newroot", 8) == 0 ||
                             strncmp(what, "/oldroot", 8) == 0 || stat(path, &st) < 0))
                escaped("%s is %.*s", path, (int)len, what);
        }
    }
    contained("%d, all inside", n);
}

const struct probe who_probes[] = {{"G2-01", "identity", identity, NULL},
                                   {"G2-01", "capabilities", capabilities, NULL},
                                   {"G2-01", "no new privileges", privileges, NULL},
                                   {"G2-01", "namespaces", namespaces, NULL},
                                   {"G2-01", "environment", environment, NULL},
                                   {"G2-01", "limits", limits, NULL},
                                   {"G2-02", "own descriptors", descriptors, "/proc/self/fd"},
                                   {"G2-02", "descriptors of pid 1", descriptors, "/proc/1/fd"},
                                   {"G2-02", "descriptors of pid 2", descriptors, "/proc/2/fd"},
                                   {"G2-02", "ways up from descriptors", ways_up, NULL},
                                   {"G2-02", "working directories", working_directories, NULL},
                                   {NULL, NULL, NULL, NULL}};

static void print_sorted(const char *title, char lines[][160], size_t n)
{
    qsort(lines, n, sizeof(lines[0]), (int (*)(const void *, const void *))strcmp);
    for (size_t i = 0; i < n; i++)
        (void)printf("%s %s\n", title, lines[i]);
}

static void print_directory(const char *path)
{
    static char lines[256][160];
    struct dirent *entry;
    DIR *dir = opendir(path);
    size_t n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL && n < 256) {
        char full[512];
        struct stat st;

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(full, sizeof(full), "%s/%s", path, entry->d_name);
        if (lstat(full, &st) < 0)
            continue;
        if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
            (void)snprintf(lines[n++], 160, "%.100s %c %u:%u", entry->d_name,
                           S_ISCHR(st.st_mode) ? 'c' : 'b', major(st.st_rdev), minor(st.st_rdev));
        else
            (void)snprintf(lines[n++], 160, "%.100s%s", entry->d_name,
                           S_ISDIR(st.st_mode) ? "/" : "");
    }
    if (dir != NULL)
        (void)closedir(dir);
    print_sorted(path, lines, n);
}

/* Where each file system is mounted, of what kind, and with which of the options that matter. */
static void print_mounts(void)
{
    static char lines[256][160];
    char *text = strdup(slurp("/proc/self/mountinfo")), *rest = NULL;
    size_t n = 0;

    for (char *line = strtok_r(text, "\n", &rest); line != NULL && n < 256;
         line = strtok_r(NULL, "\n", &rest)) {
        char where[128], options[128], type[40];
        char *tail = strstr(line, " - ");

        if (tail == NULL || sscanf(line, "%*s %*s %*s %*s %127s %127s", where, options) != 2 ||
            sscanf(tail, " - %39s", type) != 1)
            continue;
        (void)snprintf(lines[n++], 160, "%.90s %s%s%s%s", where,
                       strncmp(options, "ro", 2) == 0 ? "ro" : "rw",
                       strstr(options, "nosuid") != NULL ? " nosuid" : "",
                       strstr(options, "nodev") != NULL ? " nodev" : "",
                       strstr(options, "noexec") != NULL ? " noexec" : "");
    }
    print_sorted("mount", lines, n);
}

int mode_inventory(char **words)
{
    static const char *const lines[] = {"Uid",    "Gid",    "Groups", "CapInh",     "CapPrm",
                                        "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
    static const int rlimits[] = {RLIMIT_CORE, RLIMIT_NOFILE,  RLIMIT_RTPRIO,
                                  RLIMIT_NICE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE};
    static char names[64][160];
    char cwd[PATH_MAX];
    size_t n = 0;

    (void)words;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        (void)printf("status %s %s\n", lines[i], status_line("self", lines[i]));
    (void)printf("securebits %d\n", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    for (size_t i = 0; i < sizeof(rlimits) / sizeof(rlimits[0]); i++) {
        struct rlimit r = {0};

        (void)getrlimit((__rlimit_resource_t)rlimits[i], &r);
        (void)printf("rlimit %d %llu %llu\n", rlimits[i], (unsigned long long)r.rlim_cur,
                     (unsigned long long)r.rlim_max);
    }
    for (char **e = environ; *e != NULL && n < 64; e++)
        (void)snprintf(names[n++], 160, "%.*s", (int)strcspn(*e, "="), *e);
    print_sorted("environment", names, n);
    (void)printf("cwd %s\n", getcwd(cwd, sizeof(cwd)) == NULL ? "?" : cwd);
    (void)printf("keyring %s\n", slurp("/proc/keys")[0] == '\0' ? "not to be seen" : "visible");
    print_mounts();
    print_directory("/");
    print_directory("/dev");
    print_directory("/etc");
    print_directory("/run");
    print_directory("/sys");
    return 0;
}
