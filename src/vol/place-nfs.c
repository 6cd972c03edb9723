/* Volumes as directories on an export, which we mount. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"

#include "place-tree.h"
#include "run.h"

#define MOUNT_MS 60000

/* An IPv6 address stands in brackets. */
static char *source_of(const struct vol_place_spec *spec)
{
    bool bare = strchr(spec->server, ':') != NULL && spec->server[0] != '[';

    return mem_printf(bare ? "[%s]:%s" : "%s:%s", spec->server, spec->export_path);
}

static int check_spec(const struct vol_place_spec *spec, struct err *e)
{
    if (spec->mountpoint[0] != '/')
        return err_set(e, ERR_CONFIG, "\"%s\" is not an absolute path", spec->mountpoint);
    if (spec->server[0] == '\0' || spec->server[0] == '-' || spec->export_path[0] != '/')
        return err_set(e, ERR_CONFIG, "\"%s:%s\" is not an export", spec->server,
                       spec->export_path);
    return 0;
}

static int check_machine(struct err *e)
{
    if (mnt_type_known("nfs4") != 1) {
        (void)err_set(e, ERR_MISSING, "this kernel has no NFS client");
        return err_hint(e, "it is the module nfsv4: modprobe nfsv4");
    }
    if (!vol_run_found("mount.nfs4")) {
        (void)err_set(e, ERR_MISSING, "the program mount.nfs4 is not installed");
        return err_hint(e, "apt-get install nfs-common");
    }
    return 0;
}

static int mount_export(const struct vol_place_spec *spec, const char *source, struct err *e)
{
    /* Hard: a server that is away for a minute makes PostgreSQL wait; soft would make it fail, with
     * data half written. What would let users in as others comes last, so that no option before
     * takes it back. */
    AUTO_FREE char *options = mem_printf("hard,timeo=600,retry=0%s%s,nosuid,nodev",
                                         spec->options[0] == '\0' ? "" : ",", spec->options);
    const char *argv[] = {"mount.nfs4", source, spec->mountpoint, "-o", options, NULL};
    struct vol_run run = {.package = "nfs-common", .argv = argv, .fd = -1, .deadline_ms = MOUNT_MS};

    if (check_machine(e) < 0 || vol_run(&run, e) < 0)
        return -1;
    return INJECT("nfs.mounted", e);
}

/* 1: an NFS is mounted at the directory, 0: nothing is, -1. The source is not compared: the kernel
 * prints it in other words. Which disk it is, its identity says. */
static int is_mounted(int top, const char *path, struct err *e)
{
    static const unsigned long nfs_magic = 0x6969;
    struct statfs fs;
    dev_t dev;
    int r = mnt_is_root(top, "", &dev);

    if (r < 0 || fstatfs(top, &fs) < 0)
        return err_set_os(e, errno, "could not look at \"%s\"", path);
    if (r == 1 && (unsigned long)fs.f_type != nfs_magic)
        return err_set(e, ERR_EXISTS, "something else is mounted at \"%s\"", path);
    return r;
}

/* The mountpoint and the directory it is in, as far as there is nothing in them. */
static void forget_point(const struct vol_place_spec *spec)
{
    AUTO_FREE char *folder = mem_copy(spec->mountpoint);
    char *slash = strrchr(folder, '/');

    if (rmdir(spec->mountpoint) == 0 && slash != folder) {
        *slash = '\0';
        (void)rmdir(folder);
    }
}

static int make_point(const struct vol_place_spec *spec, struct err *e)
{
    AUTO_FREE char *folder = mem_copy(spec->mountpoint);
    char *slash = strrchr(folder, '/');

    if (slash != folder) {
        *slash = '\0';
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return err_set_os(e, errno, "could not make the directory \"%s\"", folder);
    }
    return attach_point(spec->mountpoint, e);
}

static int open_mounted(const struct vol_place_spec *spec, const char *source, bool *ret_new,
                        struct err *e)
{
    AUTO_CLOSE int top = make_point(spec, e);
    int r = top < 0 ? -1 : is_mounted(top, spec->mountpoint, e);

    if (r < 0)
        return -1;
    close_fd(&top);
    if (r == 0 && mount_export(spec, source, e) < 0) {
        forget_point(spec);
        return err_prefix(e, "could not mount \"%s\"", source);
    }
    *ret_new = r == 0;
    top = open(spec->mountpoint, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
        return err_set_os(e, errno, "could not open \"%s\"", spec->mountpoint);
    return take_fd(&top);
}

static int nfs_open(const struct vol_place_spec *spec, struct vol_place *p, struct err *e)
{
    AUTO_FREE char *source = source_of(spec);
    AUTO_CLOSE int top = -1;
    struct err ignored;
    bool new = false;

    if (check_spec(spec, e) < 0)
        return -1;
    top = open_mounted(spec, source, &new, e);
    if (top >= 0 && tree_place_open(top, spec, source, p, e) == 0)
        return 0;
    close_fd(&top); /* it would be what keeps it busy */
    tree_place_done(p);
    /* One that was there before may have servers on it. */
    if (new &&place_unmount(spec->mountpoint, source, &ignored) == 0)
        forget_point(spec);
    return -1;
}

static int nfs_close(const struct vol_place_spec *spec, struct err *e)
{
    AUTO_FREE char *what = source_of(spec);
    AUTO_CLOSE int top = open(spec->mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r;

    if (top < 0)
        return errno == ENOENT ? 0
                               : err_set_os(e, errno, "could not look at \"%s\"", spec->mountpoint);
    r = is_mounted(top, spec->mountpoint, e);
    close_fd(&top);
    if (r < 0 || (r == 1 && place_unmount(spec->mountpoint, what, e) < 0))
        return -1;
    forget_point(spec);
    return 0;
}

const struct vol_place_ops place_nfs_ops = {
    .open = nfs_open,
    .done = tree_place_done,
    .close = nfs_close,
    TREE_OPS,
};
