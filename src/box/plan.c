#include "box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

void box_plan_init(struct box_plan *p)
{
    *p = (struct box_plan){
        .hostname = "dormouse",
        .cwd = "/",
        .tmp_size = 64u << 20,
        .shm_size = 64u << 20,
        .in = -1,
        .out = -1,
        .err = -1,
        .lock_fd = -1,
        .seccomp_fd = -1,
        .lean_fd = -1,
    };
}

/* One too many is counted but not stored: box_plan_check refuses the plan. */
void box_plan_bind(struct box_plan *p, const char *from, const char *to, uint32_t flags)
{
    if (p->n_binds < BOX_BINDS_MAX)
        p->binds[p->n_binds] = (struct box_bind){.from = from, .to = to, .flags = flags, .fd = -1};
    p->n_binds++;
}

void box_plan_file(struct box_plan *p, const char *to, const char *text)
{
    if (p->n_files < BOX_FILES_MAX)
        p->files[p->n_files] = (struct box_file){.to = to, .data = text, .len = strlen(text)};
    p->n_files++;
}

/* The host's merged or unmerged /usr, and what programs need of /etc to start and speak TLS. */
static const char *const host_names[] = {
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
};
_Static_assert(sizeof(host_names) / sizeof(host_names[0]) <= BOX_HOST_MAX, "all names fit");

static int host_name_read(const char *root, const char *path, struct box_host *host, struct err *e)
{
    AUTO_FREE char *full = mem_printf("%s%s", str_is(root, "/") ? "" : root, path);
    struct box_host_name *name = &host->names[host->n];
    struct stat st;
    ssize_t n;

    if (lstat(full, &st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return 0;
        return err_set_os(e, errno, "could not look at \"%s\"", full);
    }
    *name = (struct box_host_name){.link = ""};
    if (!str_copy(name->path, sizeof(name->path), path))
        return err_set(e, ERR_INTERNAL, "the host's path \"%s\" is too long", path);
    if (S_ISLNK(st.st_mode)) {
        n = readlink(full, name->link, sizeof(name->link) - 1);
        if (n < 0)
            return err_set_os(e, errno, "could not read the link \"%s\"", full);
        name->link[n] = '\0';
        /* A link into what is not shown, or cut off: bind the file that it means. */
        if ((size_t)n == sizeof(name->link) - 1 ||
            (!str_starts(name->link, "usr/") && !str_starts(name->link, "/usr/")))
            name->link[0] = '\0';
    }
    host->n++;
    return 0;
}

/*
 * What of /proc may be seen: what programs need to know of the machine, and what says nothing of
 * other tenants. Whatever else there is, and whatever a later kernel adds, is covered. Each cover
 * costs a start a third of a millisecond, so what is harmless is not covered for tidiness.
 */
static bool proc_shown(const char *name)
{
    static const char *const shown[] = {
        "buddyinfo", "bus",     "cgroups", "config.gz",   "consoles",   "cpuinfo",     "crypto",
        "devices",   "dma",     "driver",  "execdomains", "fb",         "filesystems", "iomem",
        "ioports",   "irq",     "loadavg", "locks",       "mdstat",     "meminfo",     "misc",
        "modules",   "mounts",  "mtrr",    "net",         "partitions", "pressure",    "self",
        "softirqs",  "stat",    "swaps",   "sys",         "sysvipc",    "thread-self", "tty",
        "uptime",    "version", "vmstat",  "zoneinfo",
    };

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (str_is(name, shown[i]))
            return true;
    return name[0] == '.' || (name[0] >= '0' && name[0] <= '9');
}

static int mask_add(struct box_host *host, int proc_fd, const char *name, struct err *e)
{
    struct box_mask *mask = &host->masks[host->n_masks];
    struct stat st;

    /* What only root may open is closed to a pod already. */
    if (fstatat(proc_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(st.st_mode) ||
        (st.st_mode & (S_IROTH | S_IWOTH)) == 0)
        return 0;
    if (host->n_masks == BOX_MASKS_MAX || !str_copy(mask->name, sizeof(mask->name), name))
        return err_set(e, ERR_LIMIT, "/proc has more entries than can be covered in a pod");
    mask->directory = S_ISDIR(st.st_mode);
    host->n_masks++;
    return 0;
}

static int masks_read(struct box_host *host, struct err *e)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int r = 0;

    if (dir == NULL)
        return err_set_os(e, errno, "could not read /proc");
    while (r == 0 && (entry = readdir(dir)) != NULL)
        if (!proc_shown(entry->d_name))
            r = mask_add(host, dirfd(dir), entry->d_name, e);
    (void)closedir(dir);
    return r;
}

void box_host_refresh(struct box_host *host)
{
    size_t kept = 0;

    for (size_t i = 0; i < host->n_masks; i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%s", host->masks[i].name);
        if (faccessat(AT_FDCWD, path, F_OK, 0) == 0)
            host->masks[kept++] = host->masks[i];
    }
    host->n_masks = kept;
}

int box_host_read(const char *root, struct box_host *ret_host, struct err *e)
{
    struct box_host host = {.n = 0};

    for (size_t i = 0; i < sizeof(host_names) / sizeof(host_names[0]); i++)
        if (host_name_read(root, host_names[i], &host, e) < 0)
            return -1;
    if (host.n == 0 || !str_is(host.names[0].path, "/usr"))
        return err_set(e, ERR_MISSING, "there is no /usr to show in pods below \"%s\"", root);
    if (masks_read(&host, e) < 0)
        return -1;
    *ret_host = host;
    return 0;
}

static bool word_ok(const char *s, const char *first, const char *rest, size_t max)
{
    size_t len = s == NULL ? 0 : strlen(s);

    return len > 0 && len <= max && strchr(first, s[0]) != NULL && strspn(s, rest) == len;
}

/* Absolute, without "..", control characters, or the ':' that would end a field of passwd. */
static bool path_ok(const char *path)
{
    if (path == NULL || path[0] != '/' || strlen(path) >= PATH_MAX)
        return false;
    for (const char *p = path; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 127 || *p == ':')
            return false;
        if (str_starts(p, "/..") && (p[3] == '/' || p[3] == '\0'))
            return false;
    }
    return true;
}

static bool env_ok(const char *entry)
{
    size_t n = strspn(entry, LOWER UPPER DIGIT "_");

    return n > 0 && strchr(DIGIT, entry[0]) == NULL && entry[n] == '=';
}

static int paths_check(const struct box_plan *p, struct err *e)
{
    if (p->n_binds > BOX_BINDS_MAX || p->n_files > BOX_FILES_MAX)
        return err_set(e, ERR_LIMIT, "a pod cannot have %zu binds and %zu files", p->n_binds,
                       p->n_files);
    for (size_t i = 0; i < p->n_binds; i++) {
        const struct box_bind *b = &p->binds[i];

        if (!path_ok(b->to) || str_is(b->to, "/") || (b->by_fd ? b->fd < 0 : !path_ok(b->from)))
            return err_set(e, ERR_INPUT, "bind %zu of the pod has no usable path", i);
    }
    for (size_t i = 0; i < p->n_files; i++)
        if (!path_ok(p->files[i].to) || p->files[i].data == NULL)
            return err_set(e, ERR_INPUT, "file %zu of the pod has no usable path", i);
    if (!path_ok(p->home) || !path_ok(p->cwd))
        return err_set(e, ERR_INPUT, "the pod's home and working directory must be absolute paths");
    return 0;
}

int box_plan_check(const struct box_plan *p, struct err *e)
{
    if (p->uid == 0 || p->gid == 0 || p->uid == (uid_t)-1 || p->gid == (gid_t)-1)
        return err_set(e, ERR_INTERNAL, "a pod cannot run as uid %u, gid %u", p->uid, p->gid);
    if (p->host == NULL)
        return err_set(e, ERR_INTERNAL, "a pod must know the host's layout");
    if (!word_ok(p->user, LOWER "_", LOWER DIGIT "_-", 32))
        return err_set(e, ERR_INPUT, "the pod's user has no usable name");
    if (!word_ok(p->hostname, LOWER DIGIT, LOWER DIGIT "-", 63))
        return err_set(e, ERR_INPUT, "the pod has no usable host name");
    if (paths_check(p, e) < 0)
        return -1;
    if (p->argv == NULL || p->argv[0] == NULL || p->argv[0][0] != '/')
        return err_set(e, ERR_INPUT, "the pod's program must be an absolute path");
    for (size_t i = 0; p->env != NULL && p->env[i] != NULL; i++)
        if (!env_ok(p->env[i]))
            return err_set(e, ERR_INPUT, "entry %zu of the pod's environment is not NAME=value", i);
    if (p->tmp_size < 4096 || p->shm_size < 4096)
        return err_set(e, ERR_INPUT, "/tmp and /dev/shm of a pod need a size");
    return 0;
}
