#include "repair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/str.h"
#include "box/look.h"

enum { SINGLE_MS = 30000, PRINTED_MAX = 64 << 10, PUT_BACK_MS = 30000 };

#define WAYS_BACK                                                                                  \
    "go back to a snapshot: dorm snapshot list %s; or begin anew: dorm server reset %s; more in: " \
    "dorm server logs %s"

/* ---- in the child: as the owner of the data ---- */

/* Their file system rights, nothing else of theirs: they cannot signal us or look into us. */
static void become_owner(uid_t uid)
{
    (void)setfsgid(uid);
    (void)setfsuid(uid);
}

static void become_root(void)
{
    (void)setfsuid(0);
    (void)setfsgid(0);
}

static int open_pod(const struct pod *p, struct err *e)
{
    AUTO_CLOSE int top = open(p->dirs.volume, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return top < 0 ? err_set_os(e, errno, "could not open volume \"%s\"", p->spec->disks[0].volume)
                   : fd_open_beneath(top, VOL_DIR_POD, O_PATH | O_DIRECTORY, e);
}

/* What a wish to begin anew would be; only dormd can do it, so the start fails here. */
static int check_emptied(const struct pod *p, int pod_fd, struct err *e)
{
    int emptied = pg_is_emptied(pod_fd, e);

    if (emptied > 0) {
        p->repair->emptied = true;
        (void)err_set(e, ERR_MISSING, "the data directory of server \"%s\" is empty",
                      p->spec->login);
    }
    return emptied == 0 ? 0
                        : err_hint(e, WAYS_BACK, p->spec->login, p->spec->login, p->spec->login);
}

/* 1: aside; 0: it said nothing, or is not there. */
static int set_aside(const struct pod *p, int data_fd, const char *name, struct err *e)
{
    struct repair *r = p->repair;
    size_t i = r->asides[0].name[0] == '\0' ? 0 : 1;
    char aside[PG_ASIDE_SIZE];
    int done = pg_set_aside(data_fd, name, aside, e);

    if (done <= 0)
        return done;
    memcpy(r->asides[i].aside, aside, sizeof(aside));
    (void)snprintf(r->asides[i].name, sizeof(r->asides[i].name), "%s", name);
    return INJECT("repair.aside", e) < 0 ? -1 : 1;
}

/* Something must be different from the start that failed, or there is none. */
static int change_something(const struct pod *p, int data_fd, struct err *e)
{
    int changed = p->tries == 1 ? pg_mend_modes(data_fd, &p->repair->mended, e) : 0;

    if (changed == 0)
        changed = set_aside(p, data_fd, PG_AUTO_CONF, e);
    if (changed == 0 || (changed == 1 && p->tries + 1 == REPAIR_STARTS)) {
        int more = set_aside(p, data_fd, PG_USER_CONF, e);

        changed = more < 0 ? -1 : changed | more;
    }
    if (changed != 0)
        return changed < 0 ? -1 : 0;
    *e = p->first;
    return err_hint(e, WAYS_BACK, p->spec->login, p->spec->login, p->spec->login);
}

static int mend_as_owner(const struct pod *p, int pod_fd, const char *where, struct err *e)
{
    AUTO_CLOSE int data = -1;

    if (pg_mend_entrance(pod_fd, where, &p->repair->mended, e) < 0) {
        (void)err_prefix(e, "the data directory of server \"%s\"", p->spec->login);
        return err_hint(e, WAYS_BACK, p->spec->login, p->spec->login, p->spec->login);
    }
    data = fd_open_beneath(pod_fd, where, O_RDONLY | O_DIRECTORY, e);
    if (data < 0 || pg_mend_data(data, p->server.install->major, &p->repair->mended, e) < 0) {
        (void)err_prefix(e, "the data directory of server \"%s\"", p->spec->login);
        return err_hint(e, WAYS_BACK, p->spec->login, p->spec->login, p->spec->login);
    }
    return p->tries == 0 ? 0 : change_something(p, data, e);
}

/* ---- in the child: single-user mode ---- */

static pid_t run_single(const struct pod *p, const char *where, int in_fd, int out_fd, int lock_fd,
                        const struct pg_words *argv, struct err *e)
{
    struct pod_run run = {.local = p->local,
                          .dirs = &p->dirs,
                          .spec = p->spec,
                          .data = where,
                          .login = p->spec->login,
                          .uid = p->uid,
                          .server = &p->server,
                          .argv = argv,
                          .in_fd = in_fd,
                          .out_fd = out_fd,
                          .err_fd = p->stderr_fd,
                          .lock_fd = lock_fd};
    pid_t pid = fork();
    struct err why;

    if (pid < 0)
        return err_set_os(e, errno, "could not start a process");
    if (pid > 0)
        return pid;
    (void)pod_exec(&run, &why);
    (void)dprintf(p->stderr_fd, "FATAL:  %s\n", why.msg);
    _exit(1);
}

static void wait_for(const struct pod *p, pid_t pid)
{
    AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    struct err ignored;

    /* all that is in the pod dies with its process 1; we are in its group, and not in it */
    if (pidfd < 0 || poll(&ended, 1, SINGLE_MS) != 1)
        (void)box_signal(p->local->groups, p->id, BOX_INIT, SIGKILL, &ignored);
    (void)waitpid(pid, NULL, 0);
}

/* 1: it found something and put it right. What it could not do, the start that follows shows. */
static int mend_owner(const struct pod *p, const char *where, int lock_fd, struct err *e)
{
    struct pg_words argv;
    struct buf sql;
    AUTO_CLOSE int in = -1;
    AUTO_CLOSE int out = memfd_create("single", MFD_CLOEXEC);
    AUTO_FREE char *printed = NULL;
    ssize_t n;
    pid_t pid;

    buf_init(&sql, 16384);
    if (pg_mend_sql(p->spec->superuser, &sql, e) == 0)
        in = fd_sealed("single.sql", buf_data(&sql), buf_len(&sql), e);
    buf_done(&sql);
    if (in < 0 || out < 0 || pg_mend_argv(&p->server, &argv, e) < 0)
        return -1;
    pid = run_single(p, where, in, out, lock_fd, &argv, e);
    pg_words_done(&argv);
    if (pid < 0)
        return -1;
    wait_for(p, pid);
    printed = calloc(1, PRINTED_MAX);
    n = printed == NULL ? -1 : pread(out, printed, PRINTED_MAX, 0);
    return n > 0 && pg_mend_said(p->spec->superuser, printed, (size_t)n, &p->repair->mended);
}

/* Nothing was wrong with roles and databases: then it is a setting of the server's. */
static int let_owner_in(const struct pod *p, int pod_fd, const char *where, int lock_fd,
                        struct err *e)
{
    AUTO_CLOSE int data = -1;
    int mended = mend_owner(p, where, lock_fd, e);

    if (mended != 0)
        return mended < 0 ? -1 : 0;
    become_owner(p->uid);
    data = fd_open_beneath(pod_fd, where, O_RDONLY | O_DIRECTORY, e);
    mended = data < 0 ? -1 : set_aside(p, data, PG_AUTO_CONF, e);
    become_root();
    return mended < 0 ? -1 : 0;
}

int repair_data(const struct pod *p, const char *where, int lock_fd, struct err *e)
{
    AUTO_CLOSE int pod_fd = open_pod(p, e);
    int r;

    if (pod_fd < 0)
        return -1;
    (void)snprintf(p->repair->where, sizeof(p->repair->where), "%s", where);
    become_owner(p->uid);
    /* only where an empty one can be kept and made anew */
    r = p->spec->disks[0].path == NULL && str_is(where, PG_DATA_NAME) ? check_emptied(p, pod_fd, e)
                                                                      : 0;
    if (r == 0)
        r = mend_as_owner(p, pod_fd, where, e);
    become_root();
    if (r < 0 || p->tries > 0 || !p->spec->mend)
        return r;
    return let_owner_in(p, pod_fd, where, lock_fd, e);
}

/* ---- in dormd ---- */

int repair_begin(struct pod *p, struct err *e)
{
    void *page;

    if (p->repair != NULL)
        return 0;
    page =
        mmap(NULL, sizeof(*p->repair), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return err_set_os(e, errno, "could not get a page of memory");
    p->repair = page;
    return 0;
}

void repair_done(struct pod *p)
{
    if (p->repair != NULL)
        (void)munmap(p->repair, sizeof(*p->repair));
    p->repair = NULL;
}

/* With so many starts in all, single-user mode counted. */
static bool may_try_again(const struct pod *p)
{
    unsigned most = p->spec->mend ? REPAIR_STARTS - 1 : REPAIR_STARTS;

    return p->started && !p->was_up && !p->told_to_end && p->why.kind == ERR_INTERNAL &&
           p->repair != NULL && p->tries + 1 < most;
}

static bool try_again(struct pod *p)
{
    struct err e;

    if (p->tries == 0)
        p->first = p->why;
    log_info(NULL, "server %s: %s; trying otherwise", p->id, p->why.msg);
    p->tries++;
    p->why = (struct err){0};
    p->started = false;
    if (p->launch != NULL)
        job_forget(p->launch); /* it was killed, and its end must not be taken for the next one's */
    p->launch = NULL;
    pod_log_close(&p->log);
    close_fd(&p->notify_fd);
    close_fd(&p->stderr_fd);
    if (pod_start_now(p, &e) == 0)
        return true;
    p->why = e;
    p->phase = POD_ENDING;
    return false;
}

static int put_back(void *arg, struct err *e)
{
    const struct pod *p = arg;
    AUTO_CLOSE int pod_fd = open_pod(p, e);
    AUTO_CLOSE int data = -1;

    if (pod_fd < 0)
        return -1;
    become_owner(p->uid);
    data = fd_open_beneath(pod_fd, p->repair->where, O_RDONLY | O_DIRECTORY, e);
    for (size_t i = 0; data >= 0 && i < REPAIR_ASIDES; i++)
        if (p->repair->asides[i].name[0] != '\0' &&
            pg_put_back(data, p->repair->asides[i].name, p->repair->asides[i].aside, e) < 0)
            return -1;
    return data < 0 ? -1 : 0;
}

static void is_back(void *owner, int status, const struct err *e)
{
    struct pod *p = owner;

    (void)status;
    p->work = NULL;
    if (e != NULL)
        log_err(NULL, LOG_WARN_, e);
    repair_done(p);
    pod_clean_soon(p);
}

/* It was not the settings: they come back. */
static bool puts_back(struct pod *p)
{
    struct err e;

    if (p->was_up || p->repair == NULL || p->repair->asides[0].name[0] == '\0')
        return false;
    p->work = job_start(&(struct job_spec){.loop = p->local->loop,
                                           .what = "put settings back",
                                           .run = put_back,
                                           .arg = p,
                                           .done = is_back,
                                           .owner = p,
                                           .limit_ms = PUT_BACK_MS},
                        &e);
    return p->work != NULL;
}

bool repair_goes_on(struct pod *p)
{
    if (may_try_again(p) && try_again(p))
        return true;
    if (p->tries > 0 && p->why.kind == ERR_INTERNAL)
        (void)err_hint(&p->why, WAYS_BACK, p->spec->login, p->spec->login, p->spec->login);
    return puts_back(p);
}

bool repair_told(const struct pod *p, struct err *ret)
{
    const struct repair *r = p->repair;
    char line[160];

    if (r == NULL || (r->mended.said[0] == '\0' && r->asides[0].name[0] == '\0'))
        return false;
    if (r->asides[0].name[0] == '\0') {
        (void)err_set(ret, ERR_CONFIG, "your server was mended: %.199s", r->mended.said);
        if (strstr(r->mended.said, "empty one") != NULL)
            (void)err_hint(ret, "what was in it may be in a snapshot: dorm snapshot list %s",
                           p->spec->login);
        return true;
    }
    (void)snprintf(line, sizeof(line), "%.150s",
                   p->first.kind == ERR_NONE ? "your server let nobody in, or did not last"
                                             : p->first.msg);
    (void)err_set(ret, ERR_CONFIG, "%s: it runs without %s%s%s now%s%.60s", line, r->asides[0].name,
                  r->asides[1].name[0] != '\0' ? " and " : "", r->asides[1].name,
                  r->mended.said[0] != '\0' ? "; " : "", r->mended.said);
    (void)err_hint(ret, "kept as %s: SELECT pg_read_file('%s'); then ALTER SYSTEM what was right",
                   r->asides[0].aside, r->asides[0].aside);
    return true;
}
