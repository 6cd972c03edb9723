#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "t.h"

static struct addr from_text(const char *text)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct addr a;

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&storage, &in, sizeof(in));
    } else {
        T_EQ(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&storage, &in6, sizeof(in6));
    }
    addr_of_sockaddr(&a, &storage);
    return a;
}

static bool within(const char *network, const char *address)
{
    struct addr a = from_text(address);
    struct cidr c;
    struct err e;

    T_EQ(cidr_parse(&c, network, &e), 0);
    return cidr_has(&c, &a);
}

static void a_network_has_its_addresses_and_no_others(void)
{
    T_OK(within("127.0.0.0/8", "127.0.0.1"));
    T_OK(within("127.0.0.0/8", "127.255.255.255"));
    T_OK(!within("127.0.0.0/8", "126.255.255.255"));
    T_OK(!within("127.0.0.0/8", "128.0.0.0"));
    T_OK(within("10.1.128.0/17", "10.1.200.3"));
    T_OK(!within("10.1.128.0/17", "10.1.127.255"));
    T_OK(within("192.0.2.7", "192.0.2.7"));
    T_OK(!within("192.0.2.7", "192.0.2.6"));
    T_OK(within("2001:db8::/33", "2001:db8:7fff::1"));
    T_OK(!within("2001:db8::/33", "2001:db8:8000::1"));
    T_OK(within("::1", "::1"));
}

static void all_addresses_of_one_kind_are_a_network(void)
{
    T_OK(within("0.0.0.0/0", "203.0.113.9"));
    T_OK(!within("0.0.0.0/0", "2001:db8::1"));
    T_OK(within("::/0", "2001:db8::1"));
    T_OK(!within("::/0", "203.0.113.9"));
}

static void an_ip4_address_inside_an_ip6_socket_is_an_ip4_address(void)
{
    char text[ADDR_TEXT];
    struct addr a = from_text("::ffff:127.0.0.1");

    T_STR(addr_text(text, &a), "127.0.0.1");
    T_OK(within("127.0.0.0/8", "::ffff:127.0.0.1"));
}

static void a_unix_socket_is_in_no_network(void)
{
    struct addr a = {.kind = ADDR_UNIX, .uid = 1000};
    struct cidr c;
    struct err e;
    char text[ADDR_TEXT];

    T_EQ(cidr_parse(&c, "0.0.0.0/0", &e), 0);
    T_OK(!cidr_has(&c, &a));
    T_STR(addr_text(text, &a), "unix:1000");
}

static void a_pod_is_a_source_of_its_own_and_in_no_network(void)
{
    struct addr a = {.kind = ADDR_POD, .uid = UINT64_MAX, .at = "abcdefghijklm"};
    char text[ADDR_TEXT];
    struct cidr all;
    struct err e;

    T_STR(addr_text(text, &a), "pod:abcdefghijklm");
    T_STR(addr_source(text, &a), "pod:abcdefghijklm");
    T_OK(addr_is_vouched(&a));
    T_EQ(cidr_parse(&all, "0.0.0.0/0", &e), 0);
    T_OK(!cidr_has(&all, &a));
    T_EQ(cidr_parse(&all, "::/0", &e), 0);
    T_OK(!cidr_has(&all, &a));
    a = from_text("127.0.0.1");
    T_OK(!addr_is_vouched(&a));
}

static void what_is_no_network_is_refused(void)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8x",
                                      "10.0.0.1/8",
                                      "10.0.0/8",
                                      "localhost",
                                      "::1/129",
                                      "2001:db8::1/64",
                                      " 10.0.0.0/8",
                                      "10.0.0.0 /8",
                                      "010.0.0.0/8",
                                      "10.0.0.0/8/8",
                                      "1.2.3.4.5",
                                      "::ffff:1.2.3.4:5",
                                      "0.0.0.0/4294967296",
                                      "2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000/1"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cidr c;
        struct err e = {0};

        T_EQ(cidr_parse(&c, bad[i], &e), -1);
        T_EQ(e.kind, ERR_INPUT);
    }
}

static void one_subscriber_of_ip6_is_one_source(void)
{
    struct addr a = from_text("2001:db8:1:2:3:4:5:6"), b = from_text("2001:db8:1:2::1");
    struct addr c = from_text("2001:db8:1:3::1"), d = from_text("192.0.2.1");
    char at[ADDR_TEXT], bt[ADDR_TEXT], ct[ADDR_TEXT], dt[ADDR_TEXT];

    T_STR(addr_source(at, &a), addr_source(bt, &b));
    T_OK(strcmp(at, addr_source(ct, &c)) != 0);
    T_STR(addr_source(dt, &d), "192.0.2.1");
}

int main(void)
{
    T_RUN(a_network_has_its_addresses_and_no_others);
    T_RUN(all_addresses_of_one_kind_are_a_network);
    T_RUN(an_ip4_address_inside_an_ip6_socket_is_an_ip4_address);
    T_RUN(a_unix_socket_is_in_no_network);
    T_RUN(a_pod_is_a_source_of_its_own_and_in_no_network);
    T_RUN(what_is_no_network_is_refused);
    T_RUN(one_subscriber_of_ip6_is_one_source);
    return t_end();
}
