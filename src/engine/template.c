/*
 * Templates: what a new server of one major version and one capacity is cloned from. Built once, in
 * a sandbox like any server's, under a name of its own, and named last.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups.h"
#include "box/look.h"
#include "local-int.h"
#include "pg/pg.h"

enum { BUILD_MS = 300000, STEP_MS = 120000, LOCK_AGAIN_MS = 50, BUILD_MEMORY = 1 << 30 };

#define BUILD_GROUP "template" /* no server's id has this length */

struct waiting {
    struct list node;
    struct pod *pod; /* borrowed; or NULL, then done is called */
    engine_done_fn done;
    void *owner;
};

struct template
{
    struct list node;
    struct local *local;
    const struct local_place *place;
    const struct pg_install *install;
    uint64_t capacity;
    char name[NAME_ROOM], unfinished[NAME_ROOM];
    struct list waiting;
};

/* ---- in the child ---- */

struct build {
    const struct template *t;
    struct pod_dirs dirs;
    struct pg_server server;
    int log_fd, notify_fd;
};

/* A program of the template's sandbox, or the server itself when argv is NULL. */
static pid_t run_in_box(const struct build *b, const struct pg_words *argv, struct err *e)
{
    struct pod_run run = {.local = b->t->local,
                          .dirs = &b->dirs,
                          .group = BUILD_GROUP,
                          .login = PG_OWNER_ROLE,
                          .uid = b->t->local->build_uid,
                          .server = &b->server,
                          .argv = argv,
                          .err_fd = b->log_fd,
                          .lock_fd = -1}; /* ours: a build that is killed must not keep it */
    pid_t pid = fork();
    struct err why;

    if (pid < 0)
        return err_set_os(e, errno, "could not start a process");
    if (pid > 0)
        return pid;
    (void)pod_exec(&run, &why);
    (void)dprintf(b->log_fd, "FATAL:  %s\n", why.msg);
    _exit(1);
}

static int wait_for(pid_t pid, uint64_t limit_ms, int *ret_status, struct err *e)
{
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

    if (pidfd < 0 || poll(&poll_fd, 1, (int)limit_ms) != 1) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return err_set(e, ERR_BUSY, "it did not end in %llu s",
                       (unsigned long long)limit_ms / 1000);
    }
    if (waitpid(pid, ret_status, 0) != pid)
        return err_set_os(e, errno, "could not learn how it ended");
    return 0;
}

/* What the failed program said, for the message. */
static int explain(const struct build *b, const char *what, struct err *e)
{
    char text[8192], line[200];
    off_t size = lseek(b->log_fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) : 0;
    ssize_t n = pread(b->log_fd, text, sizeof(text), from);
    enum err_kind kind = pg_start_failure(text, n < 0 ? 0 : (size_t)n, line, sizeof(line));

    if (line[0] == '\0' && n > 0)
        (void)str_show(line, sizeof(line), text, (size_t)n);
    return err_set(e, kind, "%s failed: %s", what, line);
}

static int init_data(const struct build *b, struct err *e)
{
    struct pg_words argv = {0};
    AUTO_CLOSE int top = -1, data = -1;
    uid_t uid = b->t->local->build_uid;
    int status = 0;
    pid_t pid;

    if (pg_initdb_argv(b->t->install, &argv, e) < 0)
        return -1;
    pid = run_in_box(b, &argv, e);
    pg_words_done(&argv);
    if (pid < 0 || wait_for(pid, STEP_MS, &status, e) < 0)
        return err_prefix(e, "initdb");
    if (status != 0)
        return explain(b, "initdb", e);
    top = open(b->dirs.volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    data = fd_open_beneath(top, VOL_DIR_POD "/" PG_DATA_NAME, O_RDONLY | O_DIRECTORY, e);
    if (data < 0)
        return -1;
    return fd_write_file(data, PG_USER_CONF, 0600, uid, uid, pg_user_conf_text(),
                         strlen(pg_user_conf_text()), e);
}

static int wait_ready(const struct build *b, pid_t pid, struct err *e)
{
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd fds[] = {{.fd = b->notify_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    uint64_t deadline = clock_ms() + STEP_MS;

    for (uint64_t now = clock_ms(); now < deadline; now = clock_ms()) {
        char datagram[1024];
        struct pg_notify notify;
        ssize_t n;

        (void)poll(fds, 2, (int)(deadline - now));
        while ((n = recv(b->notify_fd, datagram, sizeof(datagram), MSG_DONTWAIT)) >= 0)
            if (pg_notify_parse(datagram, (size_t)n, &notify) && notify.ready)
                return 0;
        if (fds[1].revents != 0)
            break;
    }
    return explain(b, "the first start", e);
}

static int dial(void *of, struct err *e)
{
    const struct build *b = of;
    AUTO_FREE char *path = mem_printf("%s%s", b->dirs.sockets, strrchr(PG_SOCKET, '/'));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || !str_copy(address.sun_path, sizeof(address.sun_path), path) ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set_os(e, errno, "could not connect to \"%s\"", path);
    return take_fd(&fd);
}

static int fill_data(struct build *b, struct err *e)
{
    struct pg_dial way = {.dial = dial, .of = b};
    uint64_t deadline = clock_ms() + STEP_MS;
    int status = 0, r;
    pid_t pid = run_in_box(b, NULL, e);

    if (pid < 0)
        return -1;
    r = wait_ready(b, pid, e);
    if (r == 0)
        r = pg_template_fill(&way, deadline, e);
    if (r == 0)
        r = pg_template_seal(&way, &b->server, deadline, e);
    if (r < 0) {
        struct err ignored;

        (void)box_groups_kill(b->t->local->groups, BUILD_GROUP, &ignored);
        (void)waitpid(pid, NULL, 0);
        return -1;
    }
    if (box_signal(b->t->local->groups, BUILD_GROUP, BOX_PAYLOAD, SIGINT, e) < 0 ||
        wait_for(pid, STEP_MS, &status, e) < 0)
        return err_prefix(e, "stopping the server of a template");
    return status == 0 ? 0 : explain(b, "the clean stop", e);
}

static int build_mounted(struct build *b, struct err *e)
{
    const struct template *t = b->t;
    struct box_limits limits = {.memory = BUILD_MEMORY};

    if (box_groups_make(t->local->groups, BUILD_GROUP, &limits, e) < 0 ||
        pod_sockets_mount(&b->dirs, t->local->build_uid, e) < 0 ||
        pod_notify_open(&b->dirs, t->local->build_uid, &b->notify_fd, e) < 0)
        return -1;
    return init_data(b, e) < 0 || INJECT("template.initdb", e) < 0 || fill_data(b, e) < 0 ? -1 : 0;
}

/* Builds of different templates share a group: one after the other. */
static int lock_builds(const struct template *t, int *ret_fd, struct err *e)
{
    uint64_t deadline = clock_ms() + BUILD_MS / 2;

    while (vol_lock(t->local->locks_fd, BUILD_GROUP, ret_fd, e) < 0) {
        struct timespec pause = {.tv_nsec = LOCK_AGAIN_MS * 1000000L};

        if (e->kind != ERR_BUSY || clock_ms() > deadline)
            return -1;
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

static int build(void *arg, struct err *e)
{
    const struct template *t = arg;
    struct build b = {
        .t = t,
        .server = {.install = t->install, .memory = 0, .capacity = t->capacity, .building = true},
        .notify_fd = -1,
    };
    const struct vol_place *place = &t->place->place;
    uid_t uid = t->local->build_uid;
    struct vol_attach attach = {
        .image = t->unfinished, .mountpoint = b.dirs.volume, .uid = uid, .gid = uid};
    AUTO_CLOSE int lock_fd = -1, log_fd = -1;
    struct err ignored;
    int r;

    pod_dirs_of(&b.dirs, t->local, BUILD_GROUP, t->unfinished);
    if (lock_builds(t, &lock_fd, e) < 0)
        return -1;
    log_fd = memfd_create("template-log", MFD_CLOEXEC);
    b.log_fd = log_fd;
    if (pod_clean_now(t->local, BUILD_GROUP, e) < 0 || /* of a build that was killed */
        disk_detach(t->local, b.dirs.volume, e) < 0 ||
        vol_place_destroy(place, t->unfinished, e) < 0 ||
        vol_place_make(place, t->unfinished, t->capacity, uid, uid, e) < 0 ||
        vol_place_attach(place, &attach, e) < 0)
        return -1;
    r = build_mounted(&b, e);
    if (pod_clean_now(t->local, BUILD_GROUP, r < 0 ? &ignored : e) < 0)
        r = -1;
    if (r < 0) {
        (void)disk_detach(t->local, b.dirs.volume, &ignored);
        return -1;
    }
    return disk_detach(t->local, b.dirs.volume, e) < 0
               ? -1
               : vol_place_publish(place, t->unfinished, t->name, e);
}

/* ---- in dormd ---- */

static void built(void *owner, int status, const struct err *e)
{
    struct template *t = owner;
    struct err why;

    (void)status;
    if (e != NULL) {
        why = *e;
        (void)err_prefix(&why, "could not build the template \"%s\"", t->name);
        e = &why;
    }
    log_info(NULL, "template \"%s\" %s", t->name, e == NULL ? "is built" : "could not be built");
    list_remove(&t->node);
    while (!list_empty(&t->waiting)) {
        struct waiting *w = list_of(list_first(&t->waiting), struct waiting, node);

        list_remove(&w->node);
        if (w->pod != NULL)
            pod_go_on(w->pod, e);
        else
            w->done(w->owner, t->name, e);
        free(w);
    }
    loop_free_later(t->local->loop, t);
}

static struct template *being_built(struct local *l, const struct local_place *place,
                                    const char *name)
{
    list_each (&l->templates, node) {
        struct template *t = list_of(node, struct template, node);

        if (t->place == place && str_is(t->name, name))
            return t;
    }
    return NULL;
}

static struct template *start_build(struct local *l, const struct local_place *place,
                                    const struct pg_install *install, uint64_t capacity,
                                    const char *name, struct err *e)
{
    struct template *t = mem_new(sizeof(*t));

    *t = (struct template){.local = l, .place = place, .install = install, .capacity = capacity};
    list_init(&t->waiting);
    (void)snprintf(t->name, sizeof(t->name), "%s", name);
    (void)snprintf(t->unfinished, sizeof(t->unfinished), "%.55s.unfit", name);
    log_info(NULL, "template \"%s\" is being built", t->name);
    if (job_start(&(struct job_spec){.loop = l->loop,
                                     .what = "build a template",
                                     .run = build,
                                     .arg = t,
                                     .done = built,
                                     .owner = t,
                                     .limit_ms = BUILD_MS},
                  e) == NULL) {
        free(t);
        return NULL;
    }
    list_append(&l->templates, &t->node);
    return t;
}

int template_need(struct local *l, const struct local_place *place,
                  const struct pg_install *install, uint64_t capacity, struct pod *p,
                  engine_done_fn done, void *owner, struct err *e)
{
    char name[NAME_ROOM];
    struct template *t;
    struct waiting *w;
    int there;

    (void)pg_template_name(name, sizeof(name), install, capacity, PG_TEMPLATE_GENERATION);
    t = being_built(l, place, name);
    if (t == NULL) {
        there = vol_place_exists(&place->place, name, e);
        /* a crash can have come between the name and the seal; what is sealed costs nothing */
        if (there != 0)
            return there < 0 || vol_place_publish(&place->place, name, name, e) < 0 ? -1 : 1;
        t = start_build(l, place, install, capacity, name, e);
        if (t == NULL)
            return -1;
    }
    w = mem_new(sizeof(*w));
    *w = (struct waiting){.pod = p, .done = done, .owner = owner};
    list_append(&t->waiting, &w->node);
    return 0;
}

void template_forget(struct local *l, const struct pod *p)
{
    list_each (&l->templates, node) {
        struct template *t = list_of(node, struct template, node);

        list_each (&t->waiting, waiter) {
            struct waiting *w = list_of(waiter, struct waiting, node);

            if (w->pod == p) {
                list_remove(&w->node);
                free(w);
            }
        }
    }
}
