#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "store/store.h"

enum { BACKLOG = 4096, PORTS_TRIED = 200 };

static int bind_tcp(const char *address, uint16_t port, int *ret_fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {0};
    bool v4 = inet_pton(AF_INET, address, &at.v4.sin_addr) == 1;
    AUTO_CLOSE int fd = -1;
    int on = 1;

    if (!v4 && inet_pton(AF_INET6, address, &at.v6.sin6_addr) != 1)
        return EINVAL;
    at.any.sa_family = v4 ? AF_INET : AF_INET6;
    *(v4 ? &at.v4.sin_port : &at.v6.sin6_port) = htons(port);
    fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!v4)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, &at.any, v4 ? sizeof(at.v4) : sizeof(at.v6)) < 0 || listen(fd, BACKLOG) < 0)
        return errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

/* All addresses on that port, or none: 0, or the errno of the one that failed. */
static int bind_all(const char *const *addresses, size_t n, uint16_t port, struct listener *ret,
                    size_t *ret_n, const char **ret_culprit)
{
    size_t made = 0;
    int problem = 0;

    for (size_t i = 0; i < n && problem == 0; i++) {
        int fd = -1;

        problem = bind_tcp(addresses[i], port, &fd);
        if (problem == 0)
            ret[made++] = (struct listener){"tcp", fd};
        else if (n > 1 && (problem == EADDRNOTAVAIL || problem == EAFNOSUPPORT))
            problem = 0; /* a machine without IPv6 (or without IPv4) still has the other */
        else
            *ret_culprit = addresses[i];
    }
    if (problem == 0 && made == 0)
        problem = EADDRNOTAVAIL;
    while (problem != 0 && made > 0)
        close_fd(&ret[--made].fd);
    *ret_n = made;
    return problem;
}

static uint16_t remembered_port(struct hub *h)
{
    char text[16];
    uint64_t port = 0;
    struct err e;

    if (store_setting_get(h->store, "port.postgres", text, sizeof(text), &e) == 1 &&
        str_u64(text, &port) && port > 0 && port < 65536)
        return (uint16_t)port;
    return 0;
}

static int remember_port(struct hub *h, uint16_t wanted, struct err *e)
{
    char text[16], wish[16];

    (void)snprintf(text, sizeof(text), "%u", h->port);
    (void)snprintf(wish, sizeof(wish), "%u", wanted);
    return store_setting_set(h->store, "port.postgres", text, e) < 0 ||
                   store_setting_set(h->store, "port.postgres.wanted", wish, e) < 0
               ? -1
               : 0;
}

/* A port written into the hub file since the last start counts for more than what was remembered.
 */
static bool wish_changed(struct hub *h, uint16_t wanted)
{
    char text[16], wish[16];
    struct err e;

    (void)snprintf(wish, sizeof(wish), "%u", wanted);
    return store_setting_get(h->store, "port.postgres.wanted", text, sizeof(text), &e) == 1 &&
           !str_is(text, wish);
}

int listen_postgres(struct hub *h, struct listener *ret, size_t *ret_n, struct err *e)
{
    const char *addresses[2] = {NULL, NULL}, *culprit = "?";
    size_t n = conf_listen_addresses(h->conf, addresses);
    uint16_t wanted = h->conf->listen.postgres, port = remembered_port(h);
    int problem = EADDRINUSE;

    if (port == 0 || wish_changed(h, wanted))
        port = wanted;
    for (int tried = 0; tried < PORTS_TRIED && problem == EADDRINUSE; tried++) {
        problem = bind_all(addresses, n, port, ret, ret_n, &culprit);
        if (problem == 0)
            break;
        if (problem == EADDRINUSE && tried == 0)
            log_warn(NULL, "port %u is taken by another program, looking for a free one", port);
        port = tried == 0 && port != wanted ? wanted : (uint16_t)(port == 65535 ? 1024 : port + 1);
    }
    if (problem != 0) {
        (void)err_set_os(e, problem, "could not listen on \"%s\", port %u", culprit, port);
        return err_hint(e, "see listen: in %.180s", h->conf_path);
    }
    h->port = port;
    return remember_port(h, wanted, e);
}

int listen_unix(const char *path, int type, unsigned mode, int *ret_fd, struct err *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_set_os(e, errno, "could not create a socket");
    if (!str_copy(at.sun_path, sizeof(at.sun_path), path))
        return err_set(e, ERR_CONFIG, "the path of socket \"%s\" is too long", path);
    (void)unlink(path);
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || chmod(path, mode) < 0 ||
        listen(fd, BACKLOG) < 0)
        return err_set_os(e, errno, "could not listen on \"%s\"", path);
    *ret_fd = take_fd(&fd);
    return 0;
}
