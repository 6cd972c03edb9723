#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/auto.h"

enum { KEEP_IDLE_S = 60, KEEP_EVERY_S = 15, KEEP_TIMES = 4 };

static void set(int fd, int level, int option, int value)
{
    /* an option that is refused makes the connection slower, not wrong */
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void prepare(int fd, struct addr *peer)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (peer->kind == ADDR_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
            peer->uid = cred.uid;
        return;
    }
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_EVERY_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_TIMES);
}

enum listen_result listen_accept(int listener, int *ret_fd, struct addr *ret_peer)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof(from);
    int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        switch (errno) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            return LISTEN_FULL;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
            return LISTEN_ERR;
        default: /* Linux hands on errors of the connection that was waiting */
            return LISTEN_NONE;
        }
    }
    addr_of_sockaddr(ret_peer, &from);
    prepare(fd, ret_peer);
    *ret_fd = fd;
    return LISTEN_OK;
}

int listen_check(int fd, bool *ret_unix, struct err *e)
{
    int domain = 0, listening = 0, type = 0;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
        return err_set_os(e, errno, "could not use a descriptor as a listener");
    if (type != SOCK_STREAM || listening == 0)
        return err_set(e, ERR_INPUT, "a descriptor that came as a listener does not listen");
    *ret_unix = domain == AF_UNIX;
    return 0;
}
