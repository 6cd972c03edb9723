#include "talk.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"

#define ANSWER_MAX                                                                 \
    (1u << 20) /* of one statement: none of ours answers with more than a few rows \
                */

/* Wait until fd can be read or written; the deadline is the caller's, whatever the server does. */
static int wait_for(const struct pg_client *c, short events, struct err *e)
{
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = events};
        uint64_t now = clock_ms();
        uint64_t left = now < c->deadline ? c->deadline - now : 0;
        int n;

        if (left == 0)
            return err_set(e, ERR_BUSY, "the server did not answer in time");
        n = poll(&p, 1, left < 60000 ? (int)left : 60000);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_set_os(e, errno, "could not wait for the server");
    }
}

int pg_send(const struct pg_client *c, const struct buf *b, struct err *e)
{
    size_t done = 0;

    while (done < buf_len(b)) {
        ssize_t n = send(c->fd, buf_data(b) + done, buf_len(b) - done, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            if (wait_for(c, POLLOUT, e) < 0)
                return -1;
        } else if (errno != EINTR) {
            return err_set(e, ERR_PEER, "the server closed the connection");
        }
    }
    return 0;
}

int pg_receive(struct pg_client *c, struct err *e)
{
    if (c->taken > ANSWER_MAX)
        return err_set(e, ERR_PEER, "the server's answer has no end");
    if (!buf_reserve(&c->in, 4096))
        return err_set(e, ERR_PEER, "the server sent a message that is too long");
    for (;;) {
        ssize_t n = recv(c->fd, buf_tail(&c->in), buf_room(&c->in), MSG_DONTWAIT);

        if (n > 0) {
            buf_wrote(&c->in, (size_t)n);
            c->taken += (size_t)n;
            return 0;
        }
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            return err_set(e, ERR_PEER, "the server closed the connection");
        if (errno == EAGAIN && wait_for(c, POLLIN, e) < 0)
            return -1;
    }
}
