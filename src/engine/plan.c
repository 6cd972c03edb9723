/* A server as a sandbox: which directories of the host it gets, and as what. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "local-int.h"
#include "memory-plan.h"
#include "pg/place.h"

enum {
    NOFILE = 4096,
};

void pod_dirs_of(struct pod_dirs *dirs, const struct local *l, const char *id, const char *volume)
{
    (void)snprintf(dirs->volume, sizeof(dirs->volume), "%s/vol/%s", l->run_dir, volume);
    (void)snprintf(dirs->sockets, sizeof(dirs->sockets), "%s/pods/%s", l->run_dir, id);
    (void)snprintf(dirs->notify, sizeof(dirs->notify), "%s/notify/%s", l->run_dir, id);
}

int pod_notify_open(const struct pod_dirs *dirs, uid_t uid, int *ret_fd, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_set_os(e, errno, "could not create a socket");
    if (!str_copy(address.sun_path, sizeof(address.sun_path), dirs->notify))
        return err_set(e, ERR_CONFIG, "the run directory's path is too long for a socket in it");
    fd_refuse_fds(fd);
    (void)unlink(dirs->notify);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(dirs->notify, 0600) < 0 || chown(dirs->notify, uid, uid) < 0)
        return err_set_os(e, errno, "could not make socket \"%s\"", dirs->notify);
    *ret_fd = take_fd(&fd);
    return 0;
}

/*
 * The directory of the server's socket is writable by its owner, so it is a file system of its own:
 * a hundred small files at most, instead of the host's /run filled up.
 */
int pod_sockets_mount(const struct pod_dirs *dirs, uid_t uid, struct err *e)
{
    char options[128];

    pod_sockets_unmount(dirs); /* of a pod that ended while nobody was here to clean up */
    (void)snprintf(options, sizeof(options), "size=256k,nr_inodes=100,mode=0700,uid=%u,gid=%u",
                   (unsigned)uid, (unsigned)uid);
    if (mkdir(dirs->sockets, 0711) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make directory \"%s\"", dirs->sockets);
    if (mount("dormouse", dirs->sockets, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        return err_set_os(e, errno, "could not mount \"%s\"", dirs->sockets);
    return 0;
}

void pod_sockets_unmount(const struct pod_dirs *dirs)
{
    /* lazily: only a descriptor of ours in flight can still hold it, and it holds no data */
    while (umount2(dirs->sockets, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    (void)rmdir(dirs->sockets);
}

/* Data that somebody else made need not be where ours are. */
static void plan_data(struct box_plan *plan, const struct pod_run *run)
{
    const char *where = run->data == NULL ? PG_DATA_NAME : run->data;
    char *pod = mem_printf("%s/" VOL_DIR_POD, run->dirs->volume);

    if (str_is(where, ".")) {
        box_plan_bind(plan, pod, PG_DATA, 0);
        return;
    }
    box_plan_bind(plan, pod, PG_VOLUME, 0);
    if (!str_is(where, PG_DATA_NAME))
        box_plan_bind(plan, mem_printf("%s/%s", pod, where), PG_DATA, 0);
}

/* The texts live until the exec, or as long as the child that failed to. */
static void plan_binds(struct box_plan *plan, const struct pod_run *run)
{
    const struct pod_dirs *dirs = run->dirs;

    plan_data(plan, run);
    box_plan_bind(plan, dirs->sockets, PG_SOCKET_DIR, 0);
    box_plan_bind(plan, dirs->notify, PG_NOTIFY, BOX_READ_ONLY);
    for (size_t i = 1; run->spec != NULL && i < run->spec->disks_n; i++) {
        const struct engine_disk *d = &run->spec->disks[i];
        char point[PATH_ROOM];

        disk_point(run->local, run->spec, i, point);
        box_plan_bind(plan, mem_printf("%s/" VOL_DIR_POD, point), d->mount,
                      d->read_only ? BOX_READ_ONLY : 0);
    }
}

int pod_exec(const struct pod_run *run, struct err *e)
{
    struct box_plan plan;
    struct pg_words argv = {0}, env = {0};

    box_plan_init(&plan);
    plan.uid = run->uid;
    plan.gid = run->uid;
    plan.group = run->group;
    plan.user = run->login;
    plan.home = PG_VOLUME;
    plan.hostname = "dormouse";
    plan.cwd = PG_VOLUME;
    plan.host = &run->local->host;
    plan.in = run->in_fd > 0 ? run->in_fd : -1;
    plan.out = run->out_fd > 0 ? run->out_fd : -1;
    plan.err = run->err_fd;
    plan.lock_fd = run->lock_fd;
    plan.seccomp_fd = run->local->seccomp_fd;
    plan.lean_fd = run->local->lean_fd;
    plan.rlimits.nofile = NOFILE;
    if (run->server->memory != 0) {
        /* one backend may not take it all: its statement fails, the server lives on */
        plan.rlimits.data = memory_of_one(run->server->memory);
        plan.shm_size = run->server->memory / 2;
        plan.tmp_size = run->server->memory / 4;
    }
    plan_binds(&plan, run);
    box_plan_file(&plan, PG_CONF, pg_conf_text(run->server)); /* freed by the exec, or with us */
    box_plan_file(&plan, PG_HBA, pg_hba_text());
    box_plan_file(&plan, PG_IDENT, pg_ident_text());
    pg_server_env(run->server->install, &env);
    if (run->spec != NULL)
        pg_client_env(run->spec->superuser, &env);
    if (run->argv == NULL && pg_server_argv(run->server, &argv, e) < 0)
        return -1;
    plan.argv = (const char *const *)(run->argv != NULL ? run->argv->at : argv.at);
    plan.env = (const char *const *)env.at;
    return box_exec(&plan, run->local->groups, e);
}
