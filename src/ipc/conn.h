/* conn.h: one SEQPACKET connection in an event loop, or used directly by a command. */
#pragma once

#include "base/list.h"
#include "ipc/ipc.h"
#include "loop/loop.h"

struct ipc_conn;

/* fd is -1, or a descriptor that the handler takes (take_fd) or that is closed after it. */
typedef void (*ipc_msg_fn)(struct ipc_conn *c, const struct ipc_msg *msg, int *fd);
/*
 * The peer is gone or broke the protocol; the connection is already stopped. Memory that holds c is
 * given back with loop_free_later, not here.
 */
typedef void (*ipc_end_fn)(struct ipc_conn *c, const struct err *why);

struct ipc_conn {
    struct loop *loop;
    struct loop_io io;
    int fd; /* owned; -1 when closed */
    ipc_msg_fn on_msg;
    ipc_end_fn on_end;
    struct list queue; /* datagrams that did not fit into the socket yet */
    size_t queued; /* the memory they take: a peer that does not read is dropped at IPC_QUEUE_MAX */
    bool failed;   /* sending failed: on_end comes in the next turn, never inside a send */
};

enum { IPC_QUEUE_MAX = 32 << 20 };

int ipc_conn_start(struct ipc_conn *c, struct loop *loop, int *fd_take, ipc_msg_fn on_msg,
                   ipc_end_fn on_end, struct err *e);
void ipc_conn_stop(struct ipc_conn *c);

/* Queue a message, with a duplicate of fd unless it is -1. Failure shows as on_end later. */
void ipc_send(struct ipc_conn *c, int fd, enum ipc_type type, ...);

/* Blocking: what is queued, for a process that will not turn the loop again. */
int ipc_flush_now(struct ipc_conn *c);

/* Blocking, for commands: connect to a path, send, receive the next message into a buffer. */
int ipc_connect(const char *path, int *ret_fd, struct err *e);
int ipc_send_now(int fd, const struct buf *formatted, struct err *e);
int ipc_receive_now(int fd, struct buf *storage, struct ipc_msg *ret_msg, struct err *e);
/* The same with the descriptor that came along, or -1. The caller closes it. */
int ipc_receive_fd_now(int fd, struct buf *storage, struct ipc_msg *ret_msg, int *ret_fd,
                       struct err *e);
