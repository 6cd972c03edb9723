#include "engine/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups-memory.h"
#include "box/groups.h"
#include "box/look.h"
#include "box/procstatus.h"
#include "tool-int.h"

enum { CLEAN_AGAIN_MS = 2, CLEAN_MOST_MS = 1000, SEEN_MAX = 64 };

struct tools {
    struct map all; /* struct tool by id */
    struct tool_hooks hooks;
};

struct tool {
    struct local *local;
    char id[TOOL_ID_SIZE];
    uid_t uid;
    struct job *launch;
    struct loop_io said; /* the child: its listeners, then the end of it: it is bubblewrap now */
    int said_fd;         /* owned */
    struct loop_child init, payload; /* when it was found, not started, by us */
    struct loop_timer again;
    uint64_t clean_ms, held; /* memory, when it was last asked for */
    int status;
    bool ending;
    struct err why;
};

void tool_hook(struct engine *engine, const struct tool_hooks *hooks)
{
    struct local *l = local_of(engine);

    if (l->tools == NULL)
        l->tools = mem_new(sizeof(*l->tools));
    l->tools->hooks = *hooks;
}

static struct tool *tool_new(struct local *l, const char *id)
{
    struct tool *t = mem_new(sizeof(*t));

    *t = (struct tool){
        .local = l, .said_fd = -1, .init = {.pidfd = -1}, .payload = {.pidfd = -1}, .status = -1};
    (void)snprintf(t->id, sizeof(t->id), "%s", id);
    map_add(&l->tools->all, t->id, t);
    return t;
}

static void tool_free(struct tool *t)
{
    struct local *l = t->local;

    if (t->launch != NULL)
        job_forget(t->launch);
    loop_io_stop(l->loop, &t->said);
    close_fd(&t->said_fd);
    loop_child_stop(&t->init);
    loop_child_stop(&t->payload);
    loop_timer_stop(l->loop, &t->again);
    (void)map_remove(&l->tools->all, t->id);
    loop_free_later(l->loop, t);
}

/* ---- the end ---- */

static int clean(const struct local *l, const char *id, struct err *e)
{
    int left = box_groups_kill(l->groups, id, e);

    if (left != 0)
        return left;
    return INJECT("tool.killed", e) < 0 ? -1 : box_groups_remove(l->groups, id, e);
}

/* For as long as it takes, but less and less often. */
static void clean_again(struct loop_timer *timer)
{
    struct tool *t = list_of(timer, struct tool, again);
    struct local *l = t->local;
    struct tool_hooks hooks = l->tools->hooks;
    char id[TOOL_ID_SIZE];
    struct err e, why = t->why;
    int left = clean(l, t->id, &e), status = t->status;

    if (left != 0) {
        if (left < 0)
            log_err(NULL, LOG_ERROR_, &e);
        t->clean_ms = t->clean_ms == 0 ? CLEAN_AGAIN_MS : 2 * t->clean_ms;
        if (left < 0 || t->clean_ms > CLEAN_MOST_MS)
            t->clean_ms = CLEAN_MOST_MS;
        loop_timer_set(l->loop, timer, loop_now(l->loop) + t->clean_ms, clean_again);
        return;
    }
    memcpy(id, t->id, sizeof(id));
    tool_free(t);
    hooks.ended(hooks.owner, id, status, why.kind == ERR_NONE ? NULL : &why);
}

static void begin_end(struct tool *t)
{
    if (t->ending)
        return;
    t->ending = true;
    loop_timer_set(t->local->loop, &t->again, 0, clean_again);
}

static void launch_done(void *owner, int status, const struct err *e)
{
    struct tool *t = owner;

    t->launch = NULL;
    if (status != -1 && WIFEXITED(status))
        t->status = WEXITSTATUS(status);
    else if (status != -1 && WIFSIGNALED(status))
        t->status = 128 + WTERMSIG(status);
    /* an end after the exec is the program's own, whatever its status */
    if (e != NULL && !(e->kind == ERR_OS && e->os_errno == 0) && t->why.kind == ERR_NONE)
        t->why = *e;
    begin_end(t);
}

static void init_gone(struct loop_child *child, int status)
{
    (void)status;
    begin_end(list_of(child, struct tool, init));
}

/* Its strays can keep process 1 alive: it is over when the payload is. */
static void payload_gone(struct loop_child *child, int status)
{
    (void)status;
    begin_end(list_of(child, struct tool, payload));
}

int tool_end(struct engine *engine, const char *id, struct err *e)
{
    struct local *l = local_of(engine);
    struct tool *t = l->tools == NULL ? NULL : map_get(&l->tools->all, id);

    if (t == NULL)
        return 0;
    if (t->launch != NULL)
        job_kill(t->launch);
    if (box_groups_kill(l->groups, id, e) < 0)
        return -1;
    begin_end(t);
    return 0;
}

/* ---- when all pods together have too much ---- */

static void read_held(const struct local *l)
{
    map_each (&l->tools->all, slot) {
        struct tool *t = slot->value;
        struct box_memory now;
        struct err ignored;

        t->held = box_groups_memory(l->groups, t->id, &now, &ignored) < 0 ? 0 : now.held;
    }
}

static uint64_t held_beside(const struct local *l, const char *id, struct tool **ret_largest)
{
    uint64_t sum = 0;

    *ret_largest = NULL;
    map_each (&l->tools->all, slot) {
        struct tool *t = slot->value;

        if (t->ending || strncmp(t->id, id, ID_LEN) != 0)
            continue;
        sum += t->held;
        if (*ret_largest == NULL || t->held > (*ret_largest)->held)
            *ret_largest = t;
    }
    return sum;
}

uint64_t tool_memory(const struct local *l, struct tool **ret_largest, uint64_t *ret_coming)
{
    uint64_t most = 0;

    *ret_largest = NULL;
    if (l->tools == NULL)
        return 0;
    read_held(l);
    map_each (&l->tools->all, slot) {
        const struct tool *t = slot->value;
        struct tool *largest;
        uint64_t sum = held_beside(l, t->id, &largest);

        *ret_coming += t->ending ? t->held : 0;
        if (sum > most) {
            most = sum;
            *ret_largest = largest;
        }
    }
    return most;
}

void tool_give_up(struct tool *t)
{
    char used[16];
    struct err e;

    (void)err_set(
        &t->why, ERR_LIMIT,
        "a program beside the server used %s and was ended: all servers together had used "
        "up their memory",
        str_size(used, sizeof(used), t->held));
    (void)err_hint(&t->why, "take less at a time, or try again later");
    log_warn(NULL, "tool %s: %s", t->id, t->why.msg);
    if (tool_end(&t->local->engine, t->id, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

/* ---- the beginning ---- */

/* Seen from outside: whatever runs there runs as its user. */
static int verify(const struct tool *t, struct err *e)
{
    pid_t pids[SEEN_MAX];
    int n = box_groups_pids(t->local->groups, t->id, pids, SEEN_MAX, e);

    if (n < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        struct procstatus s;
        struct err gone;

        if (procstatus_read(pids[i], &s, &gone) < 0)
            continue;
        for (int u = 0; u < 4; u++)
            if (s.uid[u] != t->uid || s.gid[u] != t->uid)
                return err_set(e, ERR_INTERNAL, "process %d of pod \"%s\" has uid %u, not %u",
                               s.pid, t->id, (unsigned)s.uid[u], (unsigned)t->uid);
    }
    return 0;
}

/* How many descriptors came; 0 at the end, -1 when there is nothing yet. */
static int receive(int from, int fds[TOOL_LISTENERS])
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * TOOL_LISTENERS)];
    } control = {0};
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.space,
                         .msg_controllen = sizeof(control.space)};
    ssize_t got = recvmsg(from, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    const struct cmsghdr *c = got <= 0 ? NULL : CMSG_FIRSTHDR(&msg);
    size_t n;

    if (c == NULL)
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : 0;
    n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return (int)n;
}

static void child_said(struct loop_io *io, uint32_t events)
{
    struct tool *t = list_of(io, struct tool, said);
    const struct tool_hooks *hooks = &t->local->tools->hooks;
    int fds[TOOL_LISTENERS];
    int n = receive(io->fd, fds);
    struct err e;

    (void)events;
    if (n > 0) {
        hooks->listening(hooks->owner, t->id, fds, (size_t)n);
        return;
    }
    if (n < 0)
        return;
    loop_io_stop(t->local->loop, io);
    close_fd(&t->said_fd);
    if (!t->ending && verify(t, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        t->why = e;
        (void)tool_end(&t->local->engine, t->id, &e);
    }
}

static int launch(struct tool *t, const struct tool_spec *spec, const struct tool_run *run,
                  int *ret_said, struct err *e)
{
    struct local *l = t->local;
    struct box_limits limits = {.memory = spec->memory,
                                .cpu_milli = spec->cpu_milli,
                                .weight_milli = spec->weight_milli,
                                .pids = spec->pids};
    AUTO_CLOSE int birthplace = -1;

    if (box_groups_make(l->groups, t->id, &limits, e) < 0 || INJECT("tool.group", e) < 0 ||
        loop_io_start(l->loop, &t->said, *ret_said, EPOLLIN, child_said, e) < 0)
        return -1;
    t->said_fd = take_fd(ret_said);
    birthplace = box_groups_birthplace(l->groups, t->id);
    t->launch = job_start(&(struct job_spec){.loop = l->loop,
                                             .what = "start a program beside the server",
                                             .run = tool_launch,
                                             .arg = (void *)(uintptr_t)run,
                                             .done = launch_done,
                                             .owner = t,
                                             .outlives_us = true,
                                             .birthplace = birthplace},
                          e);
    return t->launch == NULL ? -1 : 0;
}

static void close_all(int fds[TOOL_STREAMS])
{
    for (int i = 0; i < TOOL_STREAMS; i++)
        close_fd(&fds[i]);
}

int tool_start(struct engine *engine, const struct tool_spec *spec, char ret_id[TOOL_ID_SIZE],
               int ret_streams[TOOL_STREAMS], struct err *e)
{
    struct local *l = local_of(engine);
    struct tool_run run = {.local = l, .spec = spec, .id = ret_id, .stdio = {-1, -1, -1}};
    char own[ID_SIZE];
    int ends[2] = {-1, -1}, r = -1;
    struct tool *t;

    run.install = local_install(l, spec->major, e);
    if (run.install == NULL)
        return -1;
    rand_id(own);
    (void)snprintf(ret_id, TOOL_ID_SIZE, "%s-%s", spec->server, own);
    t = tool_new(l, ret_id);
    t->uid = spec->uid;
    if (tool_streams(spec, run.stdio, ret_streams, e) == 0) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
            (void)err_set_os(e, errno, "could not make a pair of sockets");
        else
            r = launch(t, spec, (run.said = ends[1], &run), &ends[0], e);
    }
    close_fd(&ends[0]);
    close_fd(&ends[1]);
    close_all(run.stdio);
    if (r < 0) {
        struct err ignored;

        close_all(ret_streams);
        (void)clean(l, t->id, &ignored);
        tool_free(t);
    }
    return r;
}

/* ---- for local.c ---- */

bool tool_is_id(const char *id)
{
    return strlen(id) == TOOL_ID_SIZE - 1 && id[ID_LEN] == '-';
}

int tool_found(struct local *l, const char *id, struct err *e)
{
    struct tool *t;
    struct box_seen seen;
    int r;

    if (l->tools == NULL)
        return err_set(e, ERR_INTERNAL, "a tool was found that nobody asks for");
    if (map_get(&l->tools->all, id) != NULL)
        return 0;
    if (box_look(l->groups, id, &seen, e) < 0)
        return -1;
    t = tool_new(l, id);
    r = loop_child_start(l->loop, &t->init, seen.init, init_gone, e) < 0 ||
                loop_child_start(l->loop, &t->payload, seen.payload, payload_gone, e) < 0
            ? -1
            : 0;
    box_seen_done(&seen);
    if (r < 0)
        tool_free(t);
    else
        l->tools->hooks.found(l->tools->hooks.owner, id);
    return r;
}

size_t tool_usage(struct engine *engine, const char *server, struct engine_usage *ret)
{
    const struct local *l = local_of(engine);
    size_t n = 0;

    *ret = (struct engine_usage){0};
    if (l->tools == NULL)
        return 0;
    map_each (&l->tools->all, slot) {
        struct box_usage u;
        struct err ignored;

        if (!str_starts(slot->key, server) ||
            box_groups_usage(l->groups, slot->key, &u, &ignored) < 0)
            continue;
        n++;
        ret->memory += u.memory == BOX_UNKNOWN ? 0 : u.memory;
        ret->cpu_us += u.cpu_us == BOX_UNKNOWN ? 0 : u.cpu_us;
        ret->processes += u.pids == BOX_UNKNOWN ? 0 : (uint32_t)u.pids;
    }
    return n;
}

bool tool_any(const struct local *l)
{
    return l->tools != NULL && l->tools->all.used > 0;
}

void tool_free_all(struct local *l)
{
    if (l->tools == NULL)
        return;
    for (;;) {
        struct tool *any = NULL;

        map_each (&l->tools->all, slot)
            any = slot->value;
        if (any == NULL)
            break;
        tool_free(any);
    }
    map_done(&l->tools->all);
    free(l->tools);
    l->tools = NULL;
}
