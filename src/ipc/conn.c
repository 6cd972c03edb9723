#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

enum { FLUSH_SECONDS = 5 }; /* then a peer that does not read has had its chance */

enum { TURN_MESSAGES = 64 }; /* so that one chatty peer leaves room for the others */

struct pending {
    struct list node;
    int fd; /* owned; -1: none */
    size_t len;
    uint8_t data[];
};

union fd_control {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int))];
};

/* 1 sent, 0 would block, -1 failed with errno. */
static int send_one(int socket_fd, const void *data, size_t len, int fd, int flags)
{
    struct iovec iov = {.iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    union fd_control control = {0};

    memcpy(&iov.iov_base, &data, sizeof(data)); /* sendmsg does not write, its type cannot say so */
    if (fd >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    }
    for (;;) {
        if (sendmsg(socket_fd, &msg, MSG_NOSIGNAL | flags) >= 0)
            return 1;
        if (errno == EAGAIN || errno == ENOBUFS)
            return 0;
        if (errno != EINTR)
            return -1;
    }
}

/* Length, 0 at the end, -1 with errno. Keeps the first descriptor that came along, closes others.
 */
static ssize_t receive_one(int socket_fd, void *data, size_t size, int flags, int *ret_fd)
{
    struct iovec iov = {.iov_base = data, .iov_len = size};
    union fd_control control = {0};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = CMSG_LEN(sizeof(int)), /* room for one: of more the kernel tells */
    };
    ssize_t n = recvmsg(socket_fd, &msg, MSG_CMSG_CLOEXEC | flags);
    struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);

    *ret_fd = -1;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
    if (n >= 0 && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        close_fd(ret_fd);
        errno = EMSGSIZE;
        return -1;
    }
    return n;
}

static void end(struct ipc_conn *c, const struct err *why)
{
    ipc_conn_stop(c);
    c->on_end(c, why);
}

static void pending_free(struct ipc_conn *c, struct pending *p)
{
    list_remove(&p->node);
    c->queued -= sizeof(*p) + p->len;
    close_fd(&p->fd);
    free(p);
}

/* 0, or -1 with errno when the peer is gone. */
static int send_queue(struct ipc_conn *c)
{
    while (!list_empty(&c->queue)) {
        struct pending *p = list_of(list_first(&c->queue), struct pending, node);
        int sent = send_one(c->fd, p->data, p->len, p->fd, MSG_DONTWAIT);

        if (sent < 0)
            return -1;
        if (sent == 0)
            break;
        pending_free(c, p);
    }
    loop_io_want(c->loop, &c->io, list_empty(&c->queue) ? EPOLLIN : EPOLLIN | EPOLLOUT);
    return 0;
}

static void receive_some(struct ipc_conn *c)
{
    /* a datagram needs one spare byte: its last field ends with a NUL that is part of it */
    uint8_t data[IPC_MAX];

    for (int i = 0; i < TURN_MESSAGES && c->fd >= 0; i++) {
        AUTO_CLOSE int fd = -1;
        struct ipc_msg msg;
        struct err e;
        ssize_t n = receive_one(c->fd, data, sizeof(data), MSG_DONTWAIT, &fd);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            (void)err_set_os(&e, errno, "could not receive a message");
            end(c, &e);
        } else if (n == 0) {
            (void)err_set(&e, ERR_PEER, "the other side has closed the connection");
            end(c, &e);
        } else if (ipc_parse(data, (size_t)n, &msg, &e) < 0) {
            end(c, &e);
        } else {
            c->on_msg(c, &msg, &fd);
        }
    }
}

static void ready(struct loop_io *io, uint32_t events)
{
    struct ipc_conn *c = list_of(io, struct ipc_conn, io);

    if (c->failed || ((events & EPOLLOUT) != 0 && send_queue(c) < 0)) {
        struct err e;

        (void)err_set(&e, ERR_PEER, "the other side does not take messages any more");
        end(c, &e);
        return;
    }
    receive_some(c);
}

int ipc_conn_start(struct ipc_conn *c, struct loop *loop, int *fd_take, ipc_msg_fn on_msg,
                   ipc_end_fn on_end, struct err *e)
{
    *c = (struct ipc_conn){.loop = loop, .fd = -1, .on_msg = on_msg, .on_end = on_end};
    list_init(&c->queue);
    if (loop_io_start(loop, &c->io, *fd_take, EPOLLIN, ready, e) < 0)
        return -1;
    c->fd = take_fd(fd_take);
    return 0;
}

void ipc_conn_stop(struct ipc_conn *c)
{
    if (c->fd < 0)
        return;
    loop_io_stop(c->loop, &c->io);
    list_each (&c->queue, node)
        pending_free(c, list_of(node, struct pending, node));
    close_fd(&c->fd);
}

/* The caller of ipc_send is not ready to lose c: hang up, and hear of it in a later turn. */
static void fail_later(struct ipc_conn *c)
{
    c->failed = true;
    (void)shutdown(c->fd, SHUT_RDWR);
}

static void enqueue(struct ipc_conn *c, const struct buf *b, int fd)
{
    struct pending *p;

    /* what is around it counts: it is more than a short message is itself */
    if (c->queued + sizeof(*p) + buf_len(b) > IPC_QUEUE_MAX) {
        fail_later(c);
        return;
    }
    p = mem_new(sizeof(*p) + buf_len(b));
    p->len = buf_len(b);
    p->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && p->fd < 0) { /* without it the message would be a lie */
        free(p);
        fail_later(c);
        return;
    }
    memcpy(p->data, buf_data(b), p->len);
    list_append(&c->queue, &p->node);
    c->queued += sizeof(*p) + p->len;
    loop_io_want(c->loop, &c->io, EPOLLIN | EPOLLOUT);
}

void ipc_send(struct ipc_conn *c, int fd, enum ipc_type type, ...)
{
    struct buf b;
    va_list ap;
    bool fits;
    int sent = 0;

    if (c->fd < 0 || c->failed)
        return;
    buf_init(&b, IPC_MAX);
    va_start(ap, type);
    fits = ipc_vformat(&b, type, ap);
    va_end(ap);
    if (!fits)
        abort(); /* whoever calls bounds its texts; a message cut short would be a lie */
    if (list_empty(&c->queue))
        sent = send_one(c->fd, buf_data(&b), buf_len(&b), fd, MSG_DONTWAIT);
    if (sent < 0) {
        fail_later(c);
    } else if (sent == 0) {
        enqueue(c, &b, fd);
    }
    buf_done(&b);
}

int ipc_flush_now(struct ipc_conn *c)
{
    struct timeval patience = {.tv_sec = FLUSH_SECONDS};

    if (c->fd >= 0)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    while (c->fd >= 0 && !list_empty(&c->queue)) {
        struct pending *p = list_of(list_first(&c->queue), struct pending, node);

        if (send_one(c->fd, p->data, p->len, p->fd, 0) != 1)
            return -1;
        pending_free(c, p);
    }
    return c->fd < 0 || c->failed ? -1 : 0;
}

int ipc_connect(const char *path, int *ret_fd, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_set_os(e, errno, "could not create a socket");
    if (!str_copy(address.sun_path, sizeof(address.sun_path), path))
        return err_set(e, ERR_INPUT, "the path of socket \"%s\" is too long", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return err_set_os(e, errno, "could not connect to \"%s\"", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int ipc_send_now(int fd, const struct buf *formatted, struct err *e)
{
    if (send_one(fd, buf_data(formatted), buf_len(formatted), -1, 0) != 1)
        return err_set_os(e, errno, "could not send a message");
    return 0;
}

int ipc_receive_fd_now(int fd, struct buf *storage, struct ipc_msg *ret_msg, int *ret_fd,
                       struct err *e)
{
    AUTO_CLOSE int came = -1;
    ssize_t n;

    buf_eat(storage, buf_len(storage));
    if (!buf_reserve(storage, IPC_MAX))
        return err_set(e, ERR_INTERNAL, "a message buffer is too small");
    do
        n = receive_one(fd, buf_tail(storage), IPC_MAX, 0, &came);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set_os(e, errno, "could not receive a message");
    if (n == 0)
        return err_set(e, ERR_PEER, "the other side has closed the connection");
    buf_wrote(storage, (size_t)n);
    if (ipc_parse(buf_data(storage), (size_t)n, ret_msg, e) < 0)
        return -1;
    *ret_fd = take_fd(&came);
    return 0;
}

int ipc_receive_now(int fd, struct buf *storage, struct ipc_msg *ret_msg, struct err *e)
{
    AUTO_CLOSE int came = -1;

    return ipc_receive_fd_now(fd, storage, ret_msg, &came, e);
}
