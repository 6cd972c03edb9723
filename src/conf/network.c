/* Networks as in "10.0.0.0/8" and "fd00::/8", and who is in them. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "conf-int.h"

/* Clear what is behind the prefix. Returns whether anything was set there. */
static bool clear_host(uint8_t address[16], unsigned bits)
{
    bool was_set = false;

    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits <= 8 * i ? 0 : bits >= 8 * (i + 1) ? 8 : bits - 8 * i;
        uint8_t mask = (uint8_t)(0xff00u >> kept);

        was_set = was_set || (address[i] & ~mask) != 0;
        address[i] &= mask;
    }
    return was_set;
}

int conf_network(const char *text, struct conf_network *ret, char why[VALUE_WHY])
{
    struct conf_network network = {0};
    char address[INET6_ADDRSTRLEN] = "";
    const char *slash = strchr(text, '/');
    size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text);
    uint64_t bits;
    unsigned most;

    if (n < sizeof(address))
        memcpy(address, text, n);
    network.family = strchr(address, ':') == NULL ? AF_INET : AF_INET6;
    most = network.family == AF_INET ? 32 : 128;
    if (inet_pton(network.family, address, network.address) != 1) {
        (void)snprintf(why, VALUE_WHY, "is not a network; write one like 10.0.0.0/8 or fd00::/8");
        return -1;
    }
    if (slash == NULL) {
        (void)snprintf(why, VALUE_WHY, "is not a network; did you mean %s/%u?", address, most);
        return -1;
    }
    if (!str_u64(slash + 1, &bits) || bits > most) {
        (void)snprintf(why, VALUE_WHY, "has a prefix that is not between 0 and %u", most);
        return -1;
    }
    network.bits = (uint8_t)bits;
    if (clear_host(network.address, network.bits)) {
        (void)inet_ntop(network.family, network.address, address, sizeof(address));
        (void)snprintf(why, VALUE_WHY, "has bits set behind its prefix; did you mean %s/%u?",
                       address, network.bits);
        return -1;
    }
    *ret = network;
    return 0;
}

bool conf_network_holds(const struct conf_network *n, int family, const uint8_t *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t copy[16] = {0};

    if (family == AF_INET6 && n->family == AF_INET && memcmp(address, mapped, 12) == 0) {
        family = AF_INET;
        address += 12;
    }
    if (family != n->family)
        return false;
    memcpy(copy, address, family == AF_INET ? 4 : 16);
    (void)clear_host(copy, n->bits);
    return memcmp(copy, n->address, sizeof(copy)) == 0;
}
