#include "end.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"
#include "dormd/door.h"
#include "dormd/fleet.h"
#include "dormd/identity.h"
#include "engine/local.h"

static bool purging;

static void gate_gone(void *owner)
{
    struct hub *h = owner;

    loop_quit(h->loop);
}

static void all_asleep(void *owner)
{
    struct hub *h = owner;

    door_close(h->door, gate_gone, h);
}

void end_hub(struct hub *h, enum end_how how)
{
    if (h->going_down)
        return;
    h->going_down = true;
    purging = how == END_PURGE;
    log_info(NULL, "going down%s", purging ? ", to be removed" : "");
    fleet_down(h->fleet, all_asleep, h);
}

/* A tree of our own making, without mounts in it: those were given back before. */
static int remove_tree(int parent, const char *name, dev_t device, struct err *e)
{
    AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *dir = NULL;
    struct dirent *entry;
    struct stat st;

    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return unlinkat(parent, name, 0) < 0 ? err_set_os(e, errno, "could not remove \"%s\"", name)
                                             : 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 0 : err_set_os(e, errno, "could not open \"%s\"", name);
    if (st.st_dev != device)
        return err_set(e, ERR_BUSY, "something is still mounted on \"%s\"", name);
    dir = fdopendir(fd);
    if (dir == NULL)
        return err_set_os(e, errno, "could not read \"%s\"", name);
    (void)take_fd(&fd);
    while ((entry = readdir(dir)) != NULL)
        if (!str_is(entry->d_name, ".") && !str_is(entry->d_name, "..") &&
            remove_tree(dirfd(dir), entry->d_name, device, e) < 0)
            return -1;
    return unlinkat(parent, name, AT_REMOVEDIR) < 0
               ? err_set_os(e, errno, "could not remove directory \"%s\"", name)
               : 0;
}

static int remove_state(struct hub *h, struct err *e)
{
    struct stat st;

    if (fstat(h->state_fd, &st) < 0)
        return err_set_os(e, errno, "could not find the hub's directory");
    if (remove_tree(AT_FDCWD, h->state_dir, st.st_dev, e) < 0)
        return -1;
    if (unlink(h->conf_path) < 0 && errno != ENOENT)
        return err_set_os(e, errno, "could not remove \"%s\"", h->conf_path);
    if (h->default_place)
        (void)rmdir("/etc/dormouse"); /* stays if the operator keeps anything there */
    identity_forget(h);
    return 0;
}

int end_finish(struct hub *h, struct err *e)
{
    struct stat run;

    if (!h->going_down)
        return 0; /* only this process ends: servers and sessions go on */
    if (local_leave(h->engine, e) < 0 || stat(h->run_dir, &run) < 0 ||
        remove_tree(AT_FDCWD, h->run_dir, run.st_dev, e) < 0)
        return -1;
    return purging ? remove_state(h, e) : 0;
}
