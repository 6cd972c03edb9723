/*
 * The server writes to a FIFO that does not block: whatever it and its owner's programs say, nobody
 * waits for us, and when we fall behind or are away, lines are lost rather than a server stopped.
 * The FIFO has a name, so that the next dormd finds it again; what is kept is two files of bounded
 * size on the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/str.h"
#include "local-int.h"

enum {
    KEEP_FILE = 512 << 10,   /* then it becomes ".1", and the one before is dropped */
    KEEP_SECOND = 256 << 10, /* a server that says more than this in a second waits, or loses it */
    READ_AT_ONCE = 16 << 10,
};

static void keep(struct pod_log *log, const char *data, size_t len)
{
    struct stat st;

    if (log->file_fd >= 0 && fstat(log->file_fd, &st) == 0 && st.st_size > KEEP_FILE) {
        char old[sizeof(log->name) + 2];

        (void)snprintf(old, sizeof(old), "%s.1", log->name);
        (void)renameat(log->dir_fd, log->name, log->dir_fd, old);
        close_fd(&log->file_fd);
    }
    if (log->file_fd < 0)
        log->file_fd = openat(log->dir_fd, log->name,
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->file_fd >= 0 && write(log->file_fd, data, len) < 0)
        close_fd(&log->file_fd); /* the host's disk is full: the tail in memory still serves */
}

static void remember(struct pod_log *log, const char *data, size_t len)
{
    if (len >= sizeof(log->tail)) {
        data += len - sizeof(log->tail);
        len = sizeof(log->tail);
        log->tail_len = 0;
    } else if (log->tail_len + len > sizeof(log->tail)) {
        size_t drop = log->tail_len + len - sizeof(log->tail);

        memmove(log->tail, log->tail + drop, log->tail_len - drop);
        log->tail_len -= drop;
    }
    memcpy(log->tail + log->tail_len, data, len);
    log->tail_len += len;
}

/* False when there was nothing. */
static bool take(struct pod_log *log)
{
    char data[READ_AT_ONCE];
    ssize_t n = read(log->fifo_fd, data, sizeof(data));

    if (n <= 0)
        return false;
    remember(log, data, (size_t)n);
    keep(log, data, (size_t)n);
    log->bytes += (uint64_t)n;
    return true;
}

static void pause_over(struct loop_timer *t)
{
    struct pod_log *log = list_of(t, struct pod_log, pause);

    loop_io_want(log->loop, &log->io, EPOLLIN);
}

static void came(struct loop_io *io, uint32_t events)
{
    struct pod_log *log = list_of(io, struct pod_log, io);
    uint64_t second = loop_now(log->loop) / 1000;

    (void)events;
    if (log->second != second) {
        log->second = second;
        log->bytes = 0;
    }
    (void)take(log);
    if (log->bytes > KEEP_SECOND) {
        loop_io_want(log->loop, io, 0);
        loop_timer_set(log->loop, &log->pause, (second + 1) * 1000, pause_over);
    }
}

static int open_fifo(const struct local *l, const char *id, uid_t uid, int *ret_write_fd,
                     int *ret_read_fd, struct err *e)
{
    char path[PATH_ROOM];
    AUTO_CLOSE int both = -1;

    (void)snprintf(path, sizeof(path), "%s/log/%s", l->run_dir, id);
    if (mkfifo(path, 0600) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make FIFO \"%s\"", path);
    both = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (both < 0)
        return err_set_os(e, errno, "could not open FIFO \"%s\"", path);
    /* theirs, so that their programs may open /dev/stderr */
    if (fchown(both, uid, uid) < 0)
        return err_set_os(e, errno, "could not give FIFO \"%s\" to its server", path);
    *ret_read_fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (*ret_read_fd < 0)
        return err_set_os(e, errno, "could not open FIFO \"%s\"", path);
    *ret_write_fd = take_fd(&both);
    return 0;
}

int pod_log_open(struct pod_log *log, const struct local *l, const char *id, uid_t uid, int *ret_fd,
                 struct err *e)
{
    char dir[PATH_ROOM];

    *log = (struct pod_log){.loop = l->loop, .fifo_fd = -1, .file_fd = -1, .dir_fd = -1};
    (void)snprintf(log->name, sizeof(log->name), "%s.log", id);
    (void)snprintf(dir, sizeof(dir), "%s/logs", l->state_dir);
    log->dir_fd = fd_open_dir(AT_FDCWD, dir, 0700, e);
    if (log->dir_fd < 0)
        return -1;
    if (open_fifo(l, id, uid, ret_fd, &log->fifo_fd, e) < 0 ||
        loop_io_start(l->loop, &log->io, log->fifo_fd, EPOLLIN, came, e) < 0) {
        pod_log_close(log);
        return -1;
    }
    return 0;
}

void pod_log_drain(struct pod_log *log)
{
    for (int i = 0; i < 16 && log->loop != NULL && log->fifo_fd >= 0 && take(log); i++)
        ;
}

void pod_log_close(struct pod_log *log)
{
    if (log->loop == NULL)
        return;
    loop_timer_stop(log->loop, &log->pause);
    loop_io_stop(log->loop, &log->io);
    close_fd(&log->fifo_fd);
    close_fd(&log->file_fd);
    close_fd(&log->dir_fd);
}
