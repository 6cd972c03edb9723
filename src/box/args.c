/* The plan as bubblewrap's options, and the files of /etc that the pod gets instead of the host's.
 */
#include "box.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

struct args {
    struct buf *buf;
    bool full;
};

static void put(struct args *a, const char *word)
{
    if (!buf_put_str(a->buf, word))
        a->full = true;
}

static void put1(struct args *a, const char *option, const char *value)
{
    put(a, option);
    put(a, value);
}

static void put2(struct args *a, const char *option, const char *from, const char *to)
{
    put1(a, option, from);
    put(a, to);
}

static void put_number(struct args *a, const char *option, uint64_t value)
{
    put(a, option);
    if (!buf_printf(a->buf, "%llu", (unsigned long long)value) || !buf_put_u8(a->buf, 0))
        a->full = true;
}

static void put_fd(struct args *a, const char *option, int fd, const char *to)
{
    put_number(a, option, (uint64_t)fd);
    if (to != NULL)
        put(a, to);
}

static void put_tmpfs(struct args *a, const char *to, uint64_t size)
{
    put1(a, "--perms", "1777");
    put_number(a, "--size", size);
    put1(a, "--tmpfs", to);
}

static void namespaces(struct args *a, const struct box_plan *p)
{
    put(a, "--unshare-user");
    put(a, "--unshare-pid");
    if (!p->own_net)
        put(a, "--unshare-net");
    put(a, "--unshare-ipc");
    put(a, "--unshare-uts");
    put(a, "--unshare-cgroup");
    put_number(a, "--uid", BOX_UID);
    put_number(a, "--gid", BOX_UID);
    put1(a, "--hostname", p->hostname);
    put(a, "--new-session");
}

static void environment(struct args *a, const struct box_plan *p)
{
    put(a, "--clearenv");
    for (size_t i = 0; p->env != NULL && p->env[i] != NULL; i++) {
        const char *equals = strchr(p->env[i], '=');
        size_t n = equals == NULL ? 0 : (size_t)(equals - p->env[i]);

        put(a, "--setenv");
        if (equals == NULL || !buf_put(a->buf, p->env[i], n) || !buf_put_u8(a->buf, 0) ||
            !buf_put_str(a->buf, equals + 1))
            a->full = true;
    }
}

static void devices(struct args *a, const struct box_plan *p)
{
    static const char *const nodes[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                        "/dev/random", "/dev/urandom", "/dev/tty"};

    if (p->terminals) {
        put1(a, "--dev", "/dev");
    } else {
        /* --dev would add a devpts, for whose sake bubblewrap makes a second user namespace. */
        put1(a, "--tmpfs", "/dev");
        for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
            put2(a, "--dev-bind", nodes[i], nodes[i]);
        put2(a, "--symlink", "/proc/self/fd", "/dev/fd");
        put2(a, "--symlink", "/proc/self/fd/0", "/dev/stdin");
        put2(a, "--symlink", "/proc/self/fd/1", "/dev/stdout");
        put2(a, "--symlink", "/proc/self/fd/2", "/dev/stderr");
    }
    put_tmpfs(a, "/dev/shm", p->shm_size);
}

static void host_root(struct args *a, const struct box_host *host)
{
    for (size_t i = 0; i < host->n; i++) {
        const struct box_host_name *name = &host->names[i];

        if (name->link[0] != '\0')
            put2(a, "--symlink", name->link, name->path);
        else
            put2(a, "--ro-bind", name->path, name->path);
    }
}

/*
 * A file is covered by /dev/null, which cannot even be opened here (nodev), a directory by an empty
 * one that nobody can write to.
 */
static void masks(struct args *a, const struct box_host *host)
{
    for (size_t i = 0; i < host->n_masks; i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%s", host->masks[i].name);
        if (!host->masks[i].directory) {
            put2(a, "--ro-bind", "/dev/null", path);
            continue;
        }
        put1(a, "--perms", "0555");
        put_number(a, "--size", 4096);
        put1(a, "--tmpfs", path);
        put1(a, "--remount-ro", path);
    }
}

static void files(struct args *a, const struct box_plan *p, const struct box_fds *fds)
{
    static const char *const etc[BOX_ETC_N] = {
        [BOX_PASSWD] = "/etc/passwd",
        [BOX_GROUP] = "/etc/group",
        [BOX_NSSWITCH] = "/etc/nsswitch.conf",
        [BOX_HOSTS] = "/etc/hosts",
    };

    for (size_t i = 0; i < BOX_ETC_N; i++) {
        put1(a, "--perms", "0444");
        put_fd(a, "--file", fds->etc[i], etc[i]);
    }
    for (size_t i = 0; i < p->n_files; i++) {
        put1(a, "--perms", "0444");
        put_fd(a, "--file", fds->files[i], p->files[i].to);
    }
}

static void binds(struct args *a, const struct box_plan *p, const struct box_fds *fds)
{
    for (size_t i = 0; i < p->n_binds; i++) {
        const struct box_bind *b = &p->binds[i];
        bool read_only = (b->flags & BOX_READ_ONLY) != 0, try = (b->flags & BOX_IF_THERE) != 0;

        if (b->by_fd)
            put_fd(a, read_only ? "--ro-bind-fd" : "--bind-fd", fds->binds[i], b->to);
        else if (read_only)
            put2(a, try ? "--ro-bind-try" : "--ro-bind", b->from, b->to);
        else
            put2(a, try ? "--bind-try" : "--bind", b->from, b->to);
    }
}

bool box_args(const struct box_plan *p, const struct box_fds *fds, struct buf *args)
{
    struct args a = {.buf = args};

    namespaces(&a, p);
    environment(&a, p);
    host_root(&a, p->host);
    put1(&a, "--proc", "/proc");
    masks(&a, p->host);
    devices(&a, p);
    put_tmpfs(&a, "/tmp", p->tmp_size);
    put1(&a, "--dir", "/run");
    files(&a, p, fds);
    binds(&a, p, fds);
    /* Last: until here directories for the above had to be made. Mounts below stay as they are. */
    put1(&a, "--remount-ro", "/dev");
    put1(&a, "--remount-ro", "/");
    put1(&a, "--chdir", p->cwd);
    if (fds->lock >= 0)
        put_fd(&a, "--sync-fd", fds->lock, NULL);
    if (fds->seccomp >= 0)
        put_fd(&a, "--seccomp", fds->seccomp, NULL);
    return !a.full;
}

bool box_etc(const struct box_plan *p, enum box_etc_file which, struct buf *text)
{
    switch (which) {
    case BOX_PASSWD:
        return buf_printf(text,
                          "%s:x:%d:%d::%s:/bin/bash\n"
                          "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
                          p->user, BOX_UID, BOX_UID, p->home);
    case BOX_GROUP:
        return buf_printf(text, "%s:x:%d:\nnogroup:x:65534:\n", p->user, BOX_UID);
    case BOX_NSSWITCH:
        return buf_printf(text, "passwd: files\ngroup: files\nhosts: files dns\n"
                                "services: files\nprotocols: files\n");
    case BOX_HOSTS:
        return buf_printf(text, "127.0.0.1 localhost %s\n::1 localhost\n", p->hostname);
    case BOX_ETC_N:
        break;
    }
    return false;
}
