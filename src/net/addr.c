#include "addr.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static void be_ip6(struct addr *a, const struct in6_addr *from)
{
    if (IN6_IS_ADDR_V4MAPPED(from)) {
        a->kind = ADDR_IP4;
        memcpy(a->at, from->s6_addr + 12, 4);
        return;
    }
    a->kind = ADDR_IP6;
    memcpy(a->at, from->s6_addr, 16);
}

void addr_of_sockaddr(struct addr *ret, const struct sockaddr_storage *from)
{
    *ret = (struct addr){.kind = ADDR_UNIX, .uid = UINT64_MAX};
    if (from->ss_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, from, sizeof(in));
        ret->kind = ADDR_IP4;
        memcpy(ret->at, &in.sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, from, sizeof(in6));
        be_ip6(ret, &in6.sin6_addr);
    }
}

char *addr_text(char at[ADDR_TEXT], const struct addr *a)
{
    at[0] = '\0';
    switch (a->kind) {
    case ADDR_UNIX:
        if (a->uid == UINT64_MAX)
            (void)snprintf(at, ADDR_TEXT, "unix");
        else
            (void)snprintf(at, ADDR_TEXT, "unix:%" PRIu64, a->uid);
        break;
    case ADDR_IP4:
        (void)inet_ntop(AF_INET, a->at, at, ADDR_TEXT);
        break;
    case ADDR_IP6:
        (void)inet_ntop(AF_INET6, a->at, at, ADDR_TEXT);
        break;
    case ADDR_POD:
        (void)snprintf(at, ADDR_TEXT, ADDR_POD_PREFIX "%.15s", (const char *)a->at);
        break;
    }
    return at;
}

char *addr_source(char at[ADDR_TEXT], const struct addr *a)
{
    struct addr source = *a;

    if (source.kind == ADDR_IP6)
        memset(source.at + 8, 0, 8);
    return addr_text(at, &source);
}

/* False when a bit behind the prefix is set: whoever wrote that meant something else. */
static bool ends_with_zeros(const struct cidr *c, unsigned width)
{
    for (unsigned bit = c->bits; bit < width; bit++)
        if ((c->at[bit / 8] & (0x80u >> bit % 8)) != 0)
            return false;
    return true;
}

int cidr_parse(struct cidr *ret, const char *text, struct err *e)
{
    const char *slash = strchr(text, '/');
    char host[INET6_ADDRSTRLEN], shown[80];
    struct cidr c = {.kind = strchr(text, ':') != NULL ? ADDR_IP6 : ADDR_IP4};
    unsigned width = c.kind == ADDR_IP6 ? 128 : 32;
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    uint64_t bits = width;

    (void)str_show(shown, sizeof(shown), text, strlen(text));
    if (len >= sizeof(host))
        return err_set(e, ERR_INPUT, "\"%s\" is not a network", shown);
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(c.kind == ADDR_IP6 ? AF_INET6 : AF_INET, host, c.at) != 1)
        return err_set(e, ERR_INPUT, "\"%s\" is not a network", shown);
    if (slash != NULL && (!str_u64(slash + 1, &bits) || bits > width))
        return err_set(e, ERR_INPUT, "the length of network \"%s\" is not 0 to %u", shown, width);
    c.bits = (unsigned)bits;
    if (!ends_with_zeros(&c, width))
        return err_set(e, ERR_INPUT, "network \"%s\" has bits set behind its length", shown);
    *ret = c;
    return 0;
}

bool cidr_has(const struct cidr *c, const struct addr *a)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    if (c->kind != a->kind || memcmp(c->at, a->at, whole) != 0)
        return false;
    return rest == 0 || ((c->at[whole] ^ a->at[whole]) & (0xff00u >> rest) & 0xffu) == 0;
}
