/* addr.h: who a peer is, and the networks an operator names. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

enum addr_kind { ADDR_UNIX, ADDR_IP4, ADDR_IP6, ADDR_POD };

struct addr {
    enum addr_kind kind;
    uint8_t at[16]; /* 4 or 16 bytes; none for a Unix socket; of a pod its server's id, NUL added */
    uint64_t uid;   /* of the process at the other end of a Unix socket; else UINT64_MAX */
};

enum { ADDR_TEXT = 64 };

#define ADDR_POD_PREFIX "pod:"

/* The kernel vouches for who it is, and its bytes cross no network. */
static inline bool addr_is_vouched(const struct addr *a)
{
    return a->kind == ADDR_UNIX || a->kind == ADDR_POD;
}

/* An IPv4 address that came through an IPv6 socket is an IPv4 address. */
void addr_of_sockaddr(struct addr *ret, const struct sockaddr_storage *from);
/* "127.0.0.1", "2001:db8::1", "unix:1000", "pod:" and an id; returns at. */
char *addr_text(char at[ADDR_TEXT], const struct addr *a);
/*
 * What counts as one source of connections: an address, the /64 of an IPv6 address (whoever has
 * one has all of it), or an OS user; returns at.
 */
char *addr_source(char at[ADDR_TEXT], const struct addr *a);

struct cidr {
    enum addr_kind kind; /* ADDR_IP4 or ADDR_IP6 */
    uint8_t at[16];
    unsigned bits;
};

/* "10.0.0.0/8", "::1", "2001:db8::/32": no name, no bit set behind the prefix. */
int cidr_parse(struct cidr *ret, const char *text, struct err *e);
bool cidr_has(const struct cidr *c, const struct addr *a);
