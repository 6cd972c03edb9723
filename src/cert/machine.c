/* machine.c: by which names and addresses this machine may be reached. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#include "cert-int.h"

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of 1 to 63 letters, digits and hyphens; "*" may be the first of several. One that ends in
 * a number is an address with a slip in it. */
static bool is_dns_name(const char *name)
{
    const char *p = str_starts(name, "*.") ? name + 2 : name, *last = strrchr(name, '.');
    size_t label = 0;

    last = last == NULL ? name : last + 1;
    if (*p == '\0' || last[strspn(last, "0123456789")] == '\0')
        return false;
    for (; *p != '\0'; p++) {
        if (*p == '.' && (label == 0 || p[-1] == '-'))
            return false;
        if (*p != '.' && (!letter(*p) || (label == 0 && *p == '-')))
            return false;
        label = *p == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0 && p[-1] != '-';
}

/* An address in the one form that is compared, else lower case without the root's dot. */
static bool normal(const char *name, char ret_name[CERT_NAME_SIZE])
{
    uint8_t bytes[16];
    size_t n = strnlen(name, CERT_NAME_SIZE);

    if (inet_pton(AF_INET, name, bytes) == 1)
        return inet_ntop(AF_INET, bytes, ret_name, CERT_NAME_SIZE) != NULL;
    if (inet_pton(AF_INET6, name, bytes) == 1)
        return inet_ntop(AF_INET6, bytes, ret_name, CERT_NAME_SIZE) != NULL;
    if (n == 0 || n >= CERT_NAME_SIZE)
        return false;
    memset(ret_name, 0, CERT_NAME_SIZE);
    for (size_t i = 0; i < n; i++)
        ret_name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    if (n > 1 && ret_name[n - 1] == '.')
        ret_name[n - 1] = '\0';
    return is_dns_name(ret_name);
}

int cert_names_add(struct cert_names *names, const char *name, struct err *e)
{
    char clean[CERT_NAME_SIZE], shown[120];

    if (!normal(name, clean))
        return err_set(e, ERR_INPUT, "\"%s\" is neither a DNS name nor an address",
                       str_show(shown, sizeof(shown), name, strnlen(name, 512)));
    for (size_t i = 0; i < names->n; i++)
        if (str_is(names->name[i], clean))
            return 0;
    if (names->n == CERT_NAMES_MAX)
        return err_set(e, ERR_LIMIT, "a certificate holds at most %d names", CERT_NAMES_MAX);
    memcpy(names->name[names->n++], clean, sizeof(clean));
    return 0;
}

static void add_interface(struct cert_names *names, const struct ifaddrs *i)
{
    char text[INET6_ADDRSTRLEN];
    struct err ignored;

    if (i->ifa_addr == NULL || (i->ifa_flags & IFF_UP) == 0)
        return;
    if (i->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)i->ifa_addr;

        if (ntohl(a->sin_addr.s_addr) >> 16 == 0xa9fe) /* 169.254/16 */
            return;
        (void)inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text));
    } else if (i->ifa_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)i->ifa_addr;

        if (IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr))
            return;
        (void)inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof(text));
    } else {
        return;
    }
    (void)cert_names_add(names, text, &ignored);
}

/* A host name that no certificate can hold is left out: the machine is then reached by address. */
static void add_host(struct cert_names *names)
{
    char host[CERT_NAME_SIZE] = "", local[CERT_NAME_SIZE + 8];
    struct err ignored;

    if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
        return;
    (void)cert_names_add(names, host, &ignored);
    if (strchr(host, '.') != NULL)
        return;
    (void)snprintf(local, sizeof(local), "%s.local", host);
    (void)cert_names_add(names, local, &ignored);
}

int cert_names_of_machine(struct cert_names *ret_names, const char *hub, const char *domain,
                          struct err *e)
{
    static const char *const always[] = {"localhost", "127.0.0.1", "::1"};
    struct ifaddrs *all = NULL;

    memset(ret_names, 0, sizeof(*ret_names));
    if (!str_copy(ret_names->hub, sizeof(ret_names->hub), hub))
        return err_set(e, ERR_INPUT, "the hub's name is longer than %d bytes", CERT_HUB_SIZE - 1);
    if (domain != NULL && *domain != '\0' && cert_names_add(ret_names, domain, e) < 0)
        return -1;
    add_host(ret_names);
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (cert_names_add(ret_names, always[i], e) < 0)
            return -1;
    if (getifaddrs(&all) < 0)
        return err_set_os(e, errno, "could not list the addresses of this machine");
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
        add_interface(ret_names, i);
    freeifaddrs(all);
    return 0;
}
