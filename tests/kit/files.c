/* G2-03, G2-18, G2-19 and G2-21: files of the host, core dumps, room outside the volume, disks. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"

static void write_programs(const void *arg)
{
    static const char *const paths[] = {"/proc/self/exe",
                                        "/proc/1/exe",
                                        "/proc/2/exe",
                                        "/usr/bin/bwrap",
                                        "/bin/sh",
                                        "/proc/1/root/usr/bin/bwrap",
                                        "/proc/2/root/bin/sh",
                                        "/lib/x86_64-linux-gnu/libc.so.6",
                                        "/lib64/ld-linux-x86-64.so.2"};

    (void)arg;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        refused(open(paths[i], O_WRONLY | O_CLOEXEC), paths[i]);
}

static void change_programs(const void *arg)
{
    (void)arg;
    refused(chmod("/usr/bin/bwrap", 0777), "chmod");
    refused(chown("/usr/bin/bwrap", getuid(), getgid()), "chown");
    refused(truncate("/usr/bin/bwrap", 0), "truncate");
    refused(unlink("/usr/bin/bwrap"), "unlink");
    refused(rename("/usr/bin/bwrap", "/usr/bin/other"), "rename");
    refused(link("/usr/bin/bwrap", "/tmp/kit.link"), "link");
    refused(utimensat(AT_FDCWD, "/usr/bin/bwrap", NULL, 0), "utimes");
    refused(open("/usr/bin/kit.new", O_WRONLY | O_CREAT | O_CLOEXEC, 0755), "a new program");
    refused(open("/etc/ld.so.preload", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), "/etc/ld.so.preload");
    refused(open("/etc/passwd", O_WRONLY | O_CLOEXEC), "/etc/passwd");
}

/* A set-uid program must start as nobody else. */
static void set_uid(const void *arg)
{
    struct statvfs fs;

    (void)arg;
    if (statvfs("/usr/bin/su", &fs) == 0 && (fs.f_flag & ST_NOSUID) == 0 &&
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        escaped("the host's own work");
    refused(setuid(0), "setuid");
    refused(setgid(0), "setgid");
    refused(setreuid(0, 0), "setreuid");
    refused(setresuid(0, 0, 0), "setresuid");
}

static void secret(const void *arg)
{
    static const char *const always[] = {"/etc/shadow",
                                         "/root",
                                         "/home",
                                         "/var/lib/dormouse",
                                         "/run/dormouse",
                                         "/boot",
                                         "/etc/dormouse",
                                         "/var/log",
                                         "/var/spool",
                                         "/srv",
                                         "/proc/1/root/etc/shadow",
                                         "/proc/1/root/root",
                                         "/newroot",
                                         "/oldroot"};

    (void)arg;
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (faccessat(AT_FDCWD, always[i], R_OK, 0) == 0)
            escaped("%s can be read", always[i]);
    if (kit_secret != NULL)
        refused(open(kit_secret, O_RDONLY | O_CLOEXEC), kit_secret);
    contained("none of the host's");
}

/* ---- room ---- */

static char tried[4096];

/* Can something be made in this directory, and is the file system it is on a bounded one of the
 * pod's? */
static void try_directory(const char *path)
{
    static const char *const ours[] = {"/tmp", "/dev/shm", "/var/lib/postgresql",
                                       "/run/postgresql"};
    char name[PATH_MAX + 32];
    struct statvfs fs;
    size_t known = 0;
    int fd;

    (void)snprintf(name, sizeof(name), "%s/.kit.%d", path, (int)getpid());
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    (void)unlink(name);
    (void)close(fd);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        known += strncmp(path, ours[i], strlen(ours[i])) == 0;
    if (known == 0)
        escaped("%s can be written", path);
    if (statvfs(path, &fs) == 0 && fs.f_blocks * fs.f_frsize > (1ull << 34))
        escaped("%s has no bound", path);
    if (statvfs(path, &fs) == 0 && (fs.f_flag & (ST_NOSUID | ST_NODEV)) != (ST_NOSUID | ST_NODEV))
        escaped("%s takes devices or set-uid", path);
    (void)snprintf(tried + strlen(tried), sizeof(tried) - strlen(tried), "%s%s",
                   tried[0] != '\0' ? " " : "", path);
}

static void writable_places(const void *arg)
{
    static const char *const more[] = {"/",
                                       "/run",
                                       "/var",
                                       "/var/lib",
                                       "/var/tmp",
                                       "/etc",
                                       "/usr",
                                       "/usr/lib/postgresql",
                                       "/dev",
                                       "/proc",
                                       "/home",
                                       "/root",
                                       "/sys",
                                       "/run/dorm",
                                       "/var/run",
                                       "/run/lock",
                                       "/dev/mqueue",
                                       "/proc/self",
                                       "/proc/1",
                                       "/etc/ssl",
                                       "/etc/alternatives"};
    char *text = strdup(slurp("/proc/self/mountinfo")), *rest = NULL;

    (void)arg;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char where[256];

        if (sscanf(line, "%*s %*s %*s %*s %255s", where) == 1)
            try_directory(where);
    }
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        try_directory(more[i]);
    contained("only %s", tried);
}

/* What its owner may do to files that lie on file systems of the host's: sockets, FIFOs, masks. */
static void bound_files(const void *arg)
{
    static const char *const paths[] = {"/run/dorm/notify", "/dev/null", "/etc/passwd",
                                        "/etc/hosts", "/proc/kcore"};

    (void)arg;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct stat st;

        if (lstat(paths[i], &st) < 0)
            continue;
        refused(chmod(paths[i], 0777), paths[i]);
        refused(unlink(paths[i]), paths[i]);
        refused(utimensat(AT_FDCWD, paths[i], NULL, 0) < 0 || S_ISCHR(st.st_mode) ? -1 : 0,
                paths[i]);
    }
}

/* ---- core dumps ---- */

static void core_dumps(const void *arg)
{
    struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY};

    (void)arg;
    if (chdir("/tmp") < 0)
        not_tried("there is no /tmp");
    for (int i = 0; i < 20; i++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            (void)setrlimit(RLIMIT_CORE, &most);
            (void)raise(SIGSEGV);
            _exit(0);
        }
        (void)waitpid(pid, &status, 0);
        if (WIFSIGNALED(status) && WCOREDUMP(status))
            escaped("a core was dumped");
    }
    if (faccessat(AT_FDCWD, "/tmp/core", F_OK, 0) == 0)
        escaped("/tmp/core");
    contained("0 of 20");
}

/* ---- disks ---- */

static void make_devices(const void *arg)
{
    (void)arg;
    refused(mknod("/tmp/kit.loop", S_IFBLK | 0600, makedev(7, 0)), "a block device");
    refused(mknod("/tmp/kit.mem", S_IFCHR | 0600, makedev(1, 1)), "/dev/mem");
    refused(mknod("/tmp/kit.kmsg", S_IFCHR | 0600, makedev(1, 11)), "/dev/kmsg");
    refused(mknod("/var/lib/postgresql/kit.loop", S_IFBLK | 0600, makedev(7, 0)), "a block device");
}

/* The image below the volume is the host's: no way leads to its blocks. */
static void raw_blocks(const void *arg)
{
    char path[64];
    struct stat st;

    (void)arg;
    if (stat("/var/lib/postgresql", &st) == 0) {
        (void)snprintf(path, sizeof(path), "/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
        refused(open(path, O_RDONLY | O_CLOEXEC), path);
    }
    for (int i = 0; i < 64; i++) {
        (void)snprintf(path, sizeof(path), "/dev/loop%d", i);
        if (open(path, O_RDONLY | O_CLOEXEC) >= 0)
            escaped("%s", path);
    }
    contained("no block device");
}

const struct probe files_probes[] = {{"G2-03", "write to programs", write_programs, NULL},
                                     {"G2-03", "change programs", change_programs, NULL},
                                     {"G2-03", "set-uid programs", set_uid, NULL},
                                     {"G2-03", "read the host's files", secret, NULL},
                                     {"G2-18", "core dumps", core_dumps, NULL},
                                     {"G2-19", "write outside the volume", writable_places, NULL},
                                     {"G2-19", "files bound from the host", bound_files, NULL},
                                     {"G2-21", "make devices", make_devices, NULL},
                                     {"G2-21", "raw blocks", raw_blocks, NULL},
                                     {NULL, NULL, NULL, NULL}};
