/* local-int.h: what the files of the local engine share. */
#pragma once

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "box/box.h"
#include "engine/engine.h"
#include "engine/job.h"
#include "loop/loop.h"
#include "pg/install.h"
#include "pg/settings.h"
#include "vol/vol.h"

enum { PATH_ROOM = 256, NAME_ROOM = 64 };

struct local_pool {
    char *class, *dir; /* owned */
    struct vol_pool pool;
};

struct local {
    struct engine engine;
    struct loop *loop;
    char *state_dir, *run_dir; /* owned */
    char hub_id[ID_SIZE];
    uid_t build_uid;
    struct local_pool *pools; /* owned */
    size_t pools_n;
    struct box_groups *groups; /* owned */
    struct box_host host;
    int seccomp_fd, lean_fd, locks_fd; /* owned */
    struct pg_install installs[PG_INSTALLS];
    size_t installs_n;
    struct map pods;       /* struct pod by server id */
    struct list templates; /* struct template: being built */
    struct list chores;    /* struct chore: work on the volume of a sleeping server */
};

/* ---- log.c: what a server says on stderr, kept on the host within bounds ---- */

enum { POD_LOG_TAIL = 8192 };

struct pod_log {
    struct loop *loop;
    struct loop_io io;
    struct loop_timer pause;
    int fifo_fd, file_fd, dir_fd; /* owned; dir_fd is the directory of the files */
    char name[ID_SIZE + 8];
    uint64_t second, bytes; /* taken in this second */
    size_t tail_len;
    char tail[POD_LOG_TAIL]; /* the last of it: why it did not start stands there */
};

/* Make or find the FIFO of this server and read from it; ret_fd is what the server gets as stderr.
 */
int pod_log_open(struct pod_log *log, const struct local *l, const char *id, uid_t uid, int *ret_fd,
                 struct err *e);
void pod_log_drain(struct pod_log *log);
void pod_log_close(struct pod_log *log);

/* ---- plan.c: a server as a sandbox ---- */

struct pod_dirs {
    char volume[PATH_ROOM];  /* where its volume is mounted */
    char sockets[PATH_ROOM]; /* a tiny tmpfs of the user's: the server's socket */
    char notify[PATH_ROOM];  /* our socket that the server tells READY=1 */
};

void pod_dirs_of(struct pod_dirs *dirs, const struct local *l, const char *id, const char *volume);
int pod_notify_open(const struct pod_dirs *dirs, uid_t uid, int *ret_fd, struct err *e);
int pod_sockets_mount(const struct pod_dirs *dirs, uid_t uid, struct err *e);
void pod_sockets_unmount(const struct pod_dirs *dirs);

struct pod_run {
    const struct local *local;
    const struct pod_dirs *dirs;
    const char *group, *login; /* login: name of the user inside */
    uid_t uid;
    const struct pg_server *server;
    const struct pg_words *argv; /* NULL: the server itself */
    int err_fd, lock_fd;
};
/* In a child: become that program in its sandbox. Returns only on failure. */
int pod_exec(const struct pod_run *run, struct err *e);

/* ---- pod.c ---- */

struct pod;

const struct local_pool *local_pool_of(const struct local *l, const char *class, struct err *e);
const struct pg_install *local_install(const struct local *l, uint32_t major, struct err *e);

int pod_start(struct local *l, const struct engine_server *spec, struct err *e);
int pod_ask(struct local *l, const struct engine_server *spec, struct err *e);
int pod_stop(struct local *l, const char *id, struct err *e);
int pod_kill(struct local *l, const char *id, struct err *e);
int pod_connect(struct local *l, const char *id, int *ret_fd, struct err *e);
/* A chore on this volume, or the template it needed, is done: go on. */
void pod_go_on(struct pod *p, const struct err *e);
void pod_free_all(struct local *l);
/* Remove what a pod without processes has left: group, tmpfs, sockets. 1: something still lives. */
int pod_clean(const struct local *l, const char *id, struct err *e);
/* The same, waiting a little for the killed to be gone: where nothing else waits. */
int pod_clean_now(const struct local *l, const char *id, struct err *e);

/* ---- template.c ---- */

/* 1: it is there; 0: it is being built, and pod_go_on(p) will follow (p may be NULL). */
int template_need(struct local *l, const struct local_pool *pool, const struct pg_install *install,
                  uint64_t capacity, struct pod *p, engine_done_fn done, void *owner,
                  struct err *e);
void template_forget(struct local *l, const struct pod *p);

/* ---- local.c ---- */

/* Is a chore at work on this volume? Then pod_go_on(p) will follow. */
bool chore_wait(struct local *l, const char *volume, struct pod *p);
void chore_forget(struct local *l, const struct pod *p);
