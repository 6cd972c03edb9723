#include "netns.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/inject.h"

enum { BACKLOG = 512 };

bool box_has_ip6(void)
{
    AUTO_CLOSE int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd >= 0;
}

/* With it the kernel gives it 127.0.0.1 and ::1. */
static int loopback_up(struct err *e)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
        return err_set_os(e, errno, "could not bring up the loopback of a pod");
    return 0;
}

static int listen_on(int family, const struct sockaddr *at, socklen_t size)
{
    AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd < 0)
        return -1;
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, at, size) < 0 || listen(fd, BACKLOG) < 0)
        return -1;
    return take_fd(&fd);
}

int box_netns_make(uint16_t port, int ret_fds[BOX_NETNS_LISTENERS], size_t *ret_n, struct err *e)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    AUTO_CLOSE int first = -1;
    int second;

    if (unshare(CLONE_NEWNET) < 0)
        return err_set_os(e, errno, "could not make a network namespace");
    if (INJECT("tool.netns", e) < 0 || loopback_up(e) < 0)
        return -1;
    first = listen_on(AF_INET, (const struct sockaddr *)&v4, sizeof(v4));
    if (first < 0)
        return err_set_os(e, errno, "could not listen on 127.0.0.1, port %u, of a pod", port);
    second = listen_on(AF_INET6, (const struct sockaddr *)&v6, sizeof(v6));
    *ret_n = 0;
    ret_fds[(*ret_n)++] = take_fd(&first);
    if (second >= 0) /* a host without IPv6 does without */
        ret_fds[(*ret_n)++] = second;
    return 0;
}
