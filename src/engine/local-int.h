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
#include "vol/place.h"

enum { PATH_ROOM = 256, NAME_ROOM = 64 };

struct local;

/* A storage class. */
struct local_place {
    struct local *local;
    char *class;            /* owned */
    struct vol_place place; /* its ops are NULL when its disk is not there: why says so */
    struct err why;
    struct vol_space room;   /* of a place that is slow to ask: when it was last asked */
    struct err room_why;     /* kind NONE: room is known */
    struct job *asking;      /* it is being asked now, in a child */
    struct vol_space *asked; /* owned: a page that the child shares with us */
    bool stale, again;       /* room is from before a change; there was one while it was asked */
};

struct local {
    struct engine engine;
    struct loop *loop;
    char *state_dir, *run_dir; /* owned */
    char hub_id[ID_SIZE];
    uid_t build_uid;
    struct local_place *places;   /* owned; the first is the default class */
    struct vol_place_spec *specs; /* owned, and so are their texts: how each was opened */
    size_t places_n;
    struct box_groups *groups; /* owned */
    struct box_host host;
    int seccomp_fd, lean_fd, locks_fd; /* owned */
    struct pg_install installs[PG_INSTALLS];
    size_t installs_n;
    struct map pods;           /* struct pod by server id */
    struct list templates;     /* struct template: being built */
    struct list tellings;      /* struct telling: children of memory.c's */
    struct list chores;        /* struct chore: work on volumes, in the order it was asked for */
    struct watch *watch;       /* owned; watch.c */
    struct tools *tools;       /* owned; tool.c */
    struct memory_all *memory; /* owned; memory.c */
    uint64_t limit_wished; /* of all together, as soon as they hold so little; 0: it is in force */
    struct loop_timer limit_timer;
    struct loop_timer places_timer;
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

/* ---- disk.c: the disks of a server, where they are attached and how; all but two in a child ----
 */

/* Where disk i is, or is to be, attached. */
void disk_point(const struct local *l, const struct engine_server *spec, size_t i,
                char at[PATH_ROOM]);
/* The lock that the data of this server is used under. */
int disk_lock_data(const struct local *l, const struct engine_server *spec, int *ret_fd,
                   struct err *e);

struct disk_want {
    const struct local *local;
    const struct engine_server *spec;
    const char *template_name;
    int major;
};
/* Make what is missing and attach everything. where: of the data, below the first disk. */
int disks_attach(const struct disk_want *want, char where[8], struct err *e);
/* static.c: find the data on a static volume that is attached at point, or put them there. */
int static_settle(const struct disk_want *want, const char *point, char where[8], struct err *e);
/* Detach whatever is attached of a volume, and of a server beside its data ("": nothing). */
int disks_detach(const struct local *l, const char *volume, const char *server, struct err *e);
/* Is the volume in use by a server that has processes, as another disk than its data? 1, 0, -1. */
int disks_in_use(const struct local *l, const char *volume, struct err *e);
/* The same for one mountpoint, whatever is there. */
int disk_detach(const struct local *l, const char *mountpoint, struct err *e);
/* Everything that is attached below the run directory and that no process uses. */
int disks_tidy(struct local *l, struct err *e);

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
    const struct engine_server *spec; /* NULL: no disks beside the data */
    const char *data;                 /* where the data are below the first disk; NULL: "data" */
    const char *group, *login;        /* login: name of the user inside */
    uid_t uid;
    const struct pg_server *server;
    const struct pg_words *argv; /* NULL: the server itself */
    int in_fd, out_fd;           /* of another program than the server; 0: nothing */
    int err_fd, lock_fd;
};
/* In a child: become that program in its sandbox. Returns only on failure. */
int pod_exec(const struct pod_run *run, struct err *e);

/* ---- pod.c ---- */

struct pod;

static inline struct local *local_of(const struct engine *engine)
{
    return (struct local *)(uintptr_t)engine;
}

struct local_spec;
/* ---- places.c: the storage classes ---- */

int places_open(struct local *l, const struct local_spec *spec, struct err *e);
void places_free(struct local *l);
/* Something was made or removed: what is known of places that are low is not true any more. */
void places_changed(struct local *l);
int places_close(struct local *l, struct err *e);   /* give mounts and loops back */
int places_destroy(struct local *l, struct err *e); /* and all that is in them */
/* NULL when there is no such class, or its disk is not there. */
const struct local_place *local_place_of(const struct local *l, const char *class, struct err *e);
const struct pg_install *local_install(const struct local *l, uint32_t major, struct err *e);

int pod_start(struct local *l, const struct engine_server *spec, struct err *e);
int pod_ask(struct local *l, const struct engine_server *spec, struct err *e);
int pod_stop(struct local *l, const char *id, struct err *e);
int pod_kill(struct local *l, const char *id, struct err *e);
int pod_connect(struct local *l, const char *id, int *ret_fd, struct err *e);
/* A chore on this volume, or the template it needed, is done: go on. */
void pod_go_on(struct pod *p, const struct err *e);
/* nap.c */
int pod_freeze(struct local *local, const char *id, struct err *e);
int pod_thaw(struct local *local, const char *id, struct err *e);
int pod_look(struct local *local, const char *id, engine_look_fn done, void *owner, struct err *e);
void pod_free_all(struct local *l);
void pod_room(const struct local *l, const char *id, struct engine_room *ret);
/* limit.c: other limits for one that runs. */
int pod_limit(struct local *l, const struct engine_server *spec, struct err *e);
/* Remove what a pod without processes has left: group, tmpfs, sockets. 1: something still lives. */
int pod_clean(const struct local *l, const char *id, struct err *e);
/* The same, waiting a little for the killed to be gone: where nothing else waits. */
int pod_clean_now(const struct local *l, const char *id, struct err *e);

/* ---- template.c ---- */

/* 1: it is there; 0: it is being built, and pod_go_on(p) will follow (p may be NULL). */
int template_need(struct local *l, const struct local_place *place,
                  const struct pg_install *install, uint64_t capacity, struct pod *p,
                  engine_done_fn done, void *owner, struct err *e);
void template_forget(struct local *l, const struct pod *p);

/* ---- chore.c ---- */

int chore_start(struct local *l, const struct engine_task *task, engine_task_fn done, void *owner,
                struct err *e);
/* Is a chore under way that a start on this volume has to wait for? Then pod_go_on(p) will follow.
 */
bool chore_wait(struct local *l, const char *volume, struct pod *p);
void chore_forget(struct local *l, const struct pod *p);

/* What the users of one volume may have written that is not on the disk yet. */
#define LOCAL_DIRTY_BYTES (UINT64_C(16) << 20)

/* ---- watch.c: how full things are, looked at from time to time ---- */

void watch_new(struct local *l);
void watch_free(struct local *l);
/* May a server with these disks start now? ERR_NO_SPACE with words when it could hurt others. */
int watch_admit(const struct local *l, const struct engine_server *spec, struct err *e);
/* With less free than this in a place of that size, nothing new begins. */
uint64_t watch_floor(uint64_t total);
/* A pod has begun or ended: look soon. */
void watch_soon(struct local *l);

/* ---- memory.c ---- */

void memory_new(struct local *l);
void memory_free(struct local *l);
/* The limit of all servers together may have changed. */
void memory_limited(struct local *l);
