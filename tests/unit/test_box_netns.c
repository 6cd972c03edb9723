/* A network namespace made by us: who can reach its listener, and that it ends with it. */
#include "box/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "t.h"

enum { PORT = 5432, NET_NAME = 64 };

static void net_name(char at[NET_NAME])
{
    ssize_t n = readlink("/proc/self/ns/net", at, NET_NAME - 1);

    at[n < 0 ? 0 : n] = '\0';
}

static int dial(int family, const char *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = {0};
    AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        to.v4.sin_port = htons(PORT);
    else
        to.v6.sin6_port = htons(PORT);
    (void)inet_pton(family, address,
                    family == AF_INET ? (void *)&to.v4.sin_addr : (void *)&to.v6.sin6_addr);
    return fd >= 0 && connect(fd, &to.any, family == AF_INET ? sizeof(to.v4) : sizeof(to.v6)) == 0
               ? 0
               : errno;
}

/* In a child: this process keeps its own network. */
static int inside(const char *outside)
{
    char name[NET_NAME];
    int fds[BOX_NETNS_LISTENERS];
    struct sockaddr_in at;
    socklen_t size = sizeof(at);
    size_t n = 0;
    struct err e;

    T_EQ(box_netns_make(PORT, fds, &n, &e), 0);
    net_name(name);
    T_OK(strcmp(name, outside) != 0);
    T_EQ(n, box_has_ip6() ? 2 : 1);
    T_EQ(getsockname(fds[0], (struct sockaddr *)&at, &size), 0);
    T_EQ(ntohl(at.sin_addr.s_addr), INADDR_LOOPBACK);
    T_EQ(dial(AF_INET, "127.0.0.1"), 0);
    T_EQ(dial(AF_INET, "127.0.0.2"), ECONNREFUSED);
    T_EQ(dial(AF_INET, "192.0.2.1"), ENETUNREACH);
    if (n == 2)
        T_EQ(dial(AF_INET6, "::1"), 0);
    while (n > 0)
        (void)close(fds[--n]);
    T_EQ(dial(AF_INET, "127.0.0.1"), ECONNREFUSED);
    /* and once more: nothing of the first is in the way */
    T_EQ(box_netns_make(PORT, fds, &n, &e), 0);
    (void)fflush(stdout);
    return t_failures;
}

static void it_has_loopback_and_our_listener_and_nothing_else(void)
{
    char name[NET_NAME], after[NET_NAME];
    int status = -1;
    pid_t pid;

    net_name(name);
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0)
        _exit(inside(name));
    T_OK(waitpid(pid, &status, 0) == pid);
    T_EQ(status, 0);
    net_name(after);
    T_STR(after, name);
}

int main(void)
{
    if (geteuid() != 0) {
        (void)puts("1..0 # SKIP needs root to make a network namespace");
        return 0;
    }
    T_RUN(it_has_loopback_and_our_listener_and_nothing_else);
    return t_end();
}
