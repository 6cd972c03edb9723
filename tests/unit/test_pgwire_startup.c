#include "pgwire/startup.h"

#include "base/mem.h"

#include "t.h"

#define V3       0x00030000u
#define SSL      0x04d2162fu
#define GSSENC   0x04d21630u
#define CANCEL   0x04d2162eu
#define RAW(s)   s, sizeof(s) - 1
#define ALICE    RAW("user\0alice\0database\0alice\0\0")
#define MAX_SIZE 40000

struct row {
    const char *name;
    uint32_t size; /* the length word; 0: as long as the packet is */
    uint32_t code;
    const char *body;
    size_t body_len;
    enum startup_verdict verdict;
    const char *sqlstate; /* of a refusal */
    unsigned flags;
};

static void put32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static size_t packet(uint8_t *at, uint32_t size, uint32_t code, const void *body, size_t len)
{
    put32(at, size == 0 ? (uint32_t)len + 8 : size);
    put32(at + 4, code);
    if (len > 0)
        memcpy(at + 8, body, len);
    return len + 8;
}

/* From a copy of exactly that size, so that a read behind it is seen. */
static enum startup_verdict read_exact(const uint8_t *bytes, size_t len, unsigned flags,
                                       struct startup *s)
{
    uint8_t *exact = malloc(len == 0 ? 1 : len);
    enum startup_verdict verdict;

    if (exact == NULL)
        abort();
    memcpy(exact, bytes, len);
    verdict = startup_read(exact, len, flags, s);
    free(exact);
    return verdict;
}

/* Whole, and byte for byte: until the verdict MORE with a want that grows honestly, then the same.
 */
static enum startup_verdict judge(const uint8_t *bytes, size_t len, unsigned flags,
                                  struct startup *ret)
{
    enum startup_verdict whole = read_exact(bytes, len, flags, ret), early = STARTUP_MORE;
    struct startup s = {.need = 0};

    for (size_t n = 0; n <= len && early == STARTUP_MORE; n++) {
        early = read_exact(bytes, n, flags, &s);
        if (early == STARTUP_MORE)
            T_OK(s.need > n && s.need <= STARTUP_MAX);
        if (early == STARTUP_PACKET)
            T_EQ(s.need, n);
        if (early == STARTUP_REFUSE)
            T_STR(s.why.sqlstate, ret->why.sqlstate);
        startup_done(&s);
    }
    T_EQ(early, whole);
    return whole;
}

static void check_rows(const struct row *rows, size_t n)
{
    static uint8_t bytes[MAX_SIZE];

    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        size_t len = packet(bytes, r->size, r->code, r->body, r->body_len);
        int before = t_failures;
        struct startup s;

        T_EQ(judge(bytes, len, r->flags, &s), r->verdict);
        if (r->verdict == STARTUP_REFUSE)
            T_STR(s.why.sqlstate, r->sqlstate);
        startup_done(&s);
        if (t_failures != before)
            printf("# in the row \"%s\"\n", r->name);
    }
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void nothing_yet_wants_more(void)
{
    struct startup s;

    T_EQ(read_exact((const uint8_t *)"", 0, 0, &s), STARTUP_MORE);
    T_EQ(s.need, 4);
    T_EQ(read_exact((const uint8_t *)"\0", 1, 0, &s), STARTUP_MORE);
    T_EQ(s.need, 4);
    T_EQ(read_exact((const uint8_t *)"\0\0\0\x64", 4, 0, &s), STARTUP_MORE);
    T_EQ(s.need, 8);
    T_EQ(read_exact((const uint8_t *)"\0\0\0\x64\0\3\0\0user\0ali", 16, 0, &s), STARTUP_MORE);
    T_EQ(s.need, 100);
}

static void a_length_that_cannot_be_right_closes_with_its_fourth_byte(void)
{
    static const uint32_t sizes[] = {0, 1, 4, 7, 10005, 0x7fffffff, 0x80000000, 0xffffffff, 65536};
    uint8_t bytes[4];
    struct startup s;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        put32(bytes, sizes[i]);
        T_EQ(read_exact(bytes, 3, 0, &s), STARTUP_MORE);
        T_EQ(read_exact(bytes, 4, 0, &s), STARTUP_CLOSE);
    }
    T_EQ(read_exact((const uint8_t *)"GET / HTTP/1.1\r\n", 16, 0, &s), STARTUP_CLOSE);
    T_EQ(read_exact((const uint8_t *)"\x16\x03\x01\x02", 4, 0, &s), STARTUP_CLOSE);
    T_OK(startup_is_tls((const uint8_t *)"\x16"));
    T_OK(!startup_is_tls((const uint8_t *)"\0"));
}

static void a_layout_that_is_not_pairs_and_an_end_is_refused(void)
{
    static const struct row rows[] = {
        {"no body", 0, V3, RAW(""), STARTUP_REFUSE, "08P01", 0},
        {"no terminator", 0, V3, RAW("user\0alice\0"), STARTUP_REFUSE, "08P01", 0},
        {"no end of the last value", 0, V3, RAW("user\0alice"), STARTUP_REFUSE, "08P01", 0},
        {"bytes after the end", 0, V3, RAW("user\0alice\0\0garbage"), STARTUP_REFUSE, "08P01", 0},
        {"a zero after the end", 0, V3, RAW("user\0alice\0\0\0"), STARTUP_REFUSE, "08P01", 0},
        {"a key without a value", 0, V3, RAW("user\0alice\0database\0"), STARTUP_REFUSE, "08P01",
         0},
        {"a key, then the end", 0, V3, RAW("user\0alice\0database\0\0"), STARTUP_REFUSE, "08P01",
         0},
        {"one letter", 0, V3, RAW("u"), STARTUP_REFUSE, "08P01", 0},
    };

    CHECK_ROWS(rows);
}

static void a_session_without_a_user_is_refused(void)
{
    static const struct row rows[] = {
        {"only the end", 0, V3, RAW("\0"), STARTUP_REFUSE, "28000", 0},
        {"no user", 0, V3, RAW("database\0alice\0\0"), STARTUP_REFUSE, "28000", 0},
        {"empty user", 0, V3, RAW("user\0\0\0"), STARTUP_REFUSE, "28000", 0},
        {"a user in capitals", 0, V3, RAW("USER\0alice\0\0"), STARTUP_REFUSE, "28000", 0},
    };

    CHECK_ROWS(rows);
}

static void a_user_or_database_given_twice_is_refused(void)
{
    static const struct row rows[] = {
        {"alice, bob", 0, V3, RAW("user\0alice\0user\0bob\0\0"), STARTUP_REFUSE, "08P01", 0},
        {"bob, alice", 0, V3, RAW("user\0bob\0user\0alice\0\0"), STARTUP_REFUSE, "08P01", 0},
        {"the same", 0, V3, RAW("user\0a\0x\0y\0user\0a\0\0"), STARTUP_REFUSE, "08P01", 0},
        {"empty, alice", 0, V3, RAW("user\0\0user\0alice\0\0"), STARTUP_REFUSE, "08P01", 0},
        {"database", 0, V3, RAW("user\0a\0database\0b\0database\0c\0\0"), STARTUP_REFUSE, "08P01",
         0},
        {"another setting", 0, V3, RAW("user\0a\0x\0b\0x\0c\0\0"), STARTUP_PACKET, NULL, 0},
    };

    CHECK_ROWS(rows);
}

static void versions_other_than_three_are_refused_in_a_form_they_can_read(void)
{
    static const struct row rows[] = {
        {"2.0", 0, 0x00020000, ALICE, STARTUP_REFUSE, "0A000", 0},
        {"1.0", 0, 0x00010000, ALICE, STARTUP_REFUSE, "0A000", 0},
        {"4.0", 0, 0x00040000, ALICE, STARTUP_REFUSE, "0A000", 0},
        {"0.0", 0, 0x00000000, ALICE, STARTUP_REFUSE, "0A000", 0},
        {"65535.65535", 0, 0xffffffff, ALICE, STARTUP_REFUSE, "0A000", 0},
        {"1234.9999", 0, 0x04d2270f, ALICE, STARTUP_REFUSE, "0A000", 0},
    };
    uint8_t bytes[64];
    struct startup s;
    struct buf b;

    CHECK_ROWS(rows);
    buf_init(&b, 1000);
    T_EQ(startup_read(bytes, packet(bytes, 0, 0x00020000, ALICE), 0, &s), STARTUP_REFUSE);
    T_OK(startup_put_refusal(&b, &s));
    T_STR((char *)buf_data(&b),
          "EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.0\n");
    T_EQ(buf_len(&b), strlen((char *)buf_data(&b)) + 1);
    buf_eat(&b, buf_len(&b));
    T_EQ(startup_read(bytes, packet(bytes, 0, 0x00040000, ALICE), 0, &s), STARTUP_REFUSE);
    T_OK(startup_put_refusal(&b, &s));
    T_STR((char *)buf_data(&b) + 5, "SFATAL");
    buf_done(&b);
}

static void a_newer_minor_version_or_unknown_option_is_negotiated_and_stripped(void)
{
    static const uint32_t versions[] = {0x00030001, 0x00030002, 0x0003270f};
    static const char none[] = "v\0\0\0\x0c\0\3\0\0\0\0\0\0";
    static const char two[] = "v\0\0\0\x1b\0\3\0\0\0\0\0\2_pq_.x\0_pq_.yz\0";
    struct startup_param p;
    uint8_t bytes[128];
    struct startup s;
    size_t at = 0;
    struct buf b;

    buf_init(&b, 1000);
    for (int i = 0; i < 3; i++) {
        T_EQ(judge(bytes, packet(bytes, 0, versions[i], ALICE), 0, &s), STARTUP_PACKET);
        T_OK(s.negotiate);
        T_OK(startup_put_negotiate(&b, &s));
        T_OK(buf_len(&b) == sizeof(none) - 1 && memcmp(buf_data(&b), none, sizeof(none) - 1) == 0);
        buf_eat(&b, buf_len(&b));
        startup_done(&s);
    }
    T_EQ(judge(bytes, packet(bytes, 0, V3, RAW("_pq_.x\0001\0user\0alice\0_pq_.yz\0\0\0")), 0, &s),
         STARTUP_PACKET);
    T_OK(s.negotiate);
    T_OK(startup_put_negotiate(&b, &s));
    T_OK(buf_len(&b) == sizeof(two) - 1 && memcmp(buf_data(&b), two, sizeof(two) - 1) == 0);
    T_OK(startup_next(&s, &at, &p));
    T_STR(p.name, "user");
    T_OK(!startup_next(&s, &at, &p));
    T_OK(startup_get(&s, "_pq_.x") == NULL);
    startup_done(&s);
    T_EQ(judge(bytes, packet(bytes, 0, V3, ALICE), 0, &s), STARTUP_PACKET);
    T_OK(!s.negotiate);
    startup_done(&s);
    buf_done(&b);
}

static void the_largest_packet_is_taken_and_one_byte_more_is_not(void)
{
    static const size_t lens[] = {10000, 10004, 10005};
    static uint8_t bytes[MAX_SIZE], body[MAX_SIZE];
    static const char head[] = "user\0alice\0application_name\0";
    struct startup s;

    for (int i = 0; i < 3; i++) {
        size_t body_len = lens[i] - 8;

        memset(body, 'x', body_len);
        memcpy(body, head, sizeof(head) - 1);
        body[body_len - 2] = body[body_len - 1] = 0;
        T_EQ(judge(bytes, packet(bytes, 0, V3, body, body_len), 0, &s),
             i < 2 ? STARTUP_PACKET : STARTUP_CLOSE);
        if (i < 2)
            T_EQ(strlen(startup_get(&s, "application_name")), body_len - sizeof(head) - 1);
        startup_done(&s);
    }
}

static void nine_hundred_settings_are_taken_in_order_and_ten_thousand_are_not(void)
{
    static uint8_t bytes[MAX_SIZE];
    static char body[200000];
    struct startup_param p;
    size_t len = 0, at = 0;
    struct startup s;
    char name[16];

    memcpy(body, "user\0a", 7);
    len = 7;
    for (int i = 0; i < 900; i++)
        len += (size_t)snprintf(body + len, sizeof(body) - len, "p.%d%cv%d", i, 0, i) + 1;
    T_OK(len < STARTUP_MAX - 8);
    body[len++] = 0;
    T_EQ(judge(bytes, packet(bytes, 0, V3, body, len), 0, &s), STARTUP_PACKET);
    T_OK(startup_next(&s, &at, &p));
    for (int i = 0; i < 900; i++) {
        T_OK(startup_next(&s, &at, &p));
        (void)snprintf(name, sizeof(name), "p.%d", i);
        T_STR(p.name, name);
    }
    T_OK(!startup_next(&s, &at, &p));
    startup_done(&s);
    T_EQ(startup_read(bytes, packet(bytes, 8 + 10000 * 12, V3, body, len), 0, &s), STARTUP_CLOSE);
}

static void a_user_name_is_taken_as_it_is_and_never_cut(void)
{
    char long_name[65], body[100];
    uint8_t bytes[128];
    struct startup s;
    size_t len;

    memset(long_name, 'n', 64);
    long_name[64] = '\0';
    len = (size_t)snprintf(body, sizeof(body), "user%c%s%c", 0, long_name, 0) + 1;
    T_EQ(judge(bytes, packet(bytes, 0, V3, body, len), 0, &s), STARTUP_PACKET);
    T_STR(s.user, long_name);
    T_STR(s.database, long_name);
    startup_done(&s);
    T_EQ(judge(bytes, packet(bytes, 0, V3, RAW("user\0../../etc/passwd\0\0")), 0, &s),
         STARTUP_PACKET);
    T_STR(s.user, "../../etc/passwd");
    startup_done(&s);
    T_EQ(judge(bytes, packet(bytes, 0, V3, RAW("user\0\xff\xfe\xc0\x80\0\0")), 0, &s),
         STARTUP_PACKET);
    T_STR(s.user, "\xff\xfe\xc0\x80");
    startup_done(&s);
}

static void the_database_is_the_user_where_none_is_named(void)
{
    uint8_t bytes[128];
    struct startup s;

    T_EQ(judge(bytes, packet(bytes, 0, V3, RAW("user\0alice\0\0")), 0, &s), STARTUP_PACKET);
    T_STR(s.database, "alice");
    startup_done(&s);
    T_EQ(judge(bytes, packet(bytes, 0, V3, RAW("database\0\0user\0alice\0\0")), 0, &s),
         STARTUP_PACKET);
    T_STR(s.database, "alice");
    startup_done(&s);
    T_EQ(judge(bytes, packet(bytes, 0, V3, RAW("user\0alice\0database\0shop\0\0")), 0, &s),
         STARTUP_PACKET);
    T_STR(s.database, "shop");
    startup_done(&s);
}

static void requests_are_eight_bytes_exactly_and_only_where_they_are_allowed(void)
{
    static const struct row rows[] = {
        {"SSLRequest", 0, SSL, RAW(""), STARTUP_PACKET, NULL, 0},
        {"SSLRequest of 9", 9, SSL, RAW("x"), STARTUP_CLOSE, NULL, 0},
        {"SSLRequest of 12", 12, SSL, RAW("xxxx"), STARTUP_CLOSE, NULL, 0},
        {"SSLRequest of 12, not there yet", 12, SSL, RAW(""), STARTUP_CLOSE, NULL, 0},
        {"GSSENCRequest", 0, GSSENC, RAW(""), STARTUP_PACKET, NULL, 0},
        {"GSSENCRequest of 9", 9, GSSENC, RAW("x"), STARTUP_CLOSE, NULL, 0},
        {"SSLRequest after GSSENCRequest", 0, SSL, RAW(""), STARTUP_PACKET, NULL,
         STARTUP_NO_GSSENC},
        {"SSLRequest again", 0, SSL, RAW(""), STARTUP_REFUSE, "0A000", STARTUP_NO_SSL},
        {"GSSENCRequest again", 0, GSSENC, RAW(""), STARTUP_REFUSE, "0A000", STARTUP_NO_GSSENC},
        {"long SSLRequest again", 9, SSL, RAW("x"), STARTUP_CLOSE, NULL, STARTUP_NO_SSL},
        {"a session in TLS", 0, V3, ALICE, STARTUP_PACKET, NULL,
         STARTUP_NO_SSL | STARTUP_NO_GSSENC},
    };
    uint8_t bytes[64];
    struct startup s;
    size_t len;

    CHECK_ROWS(rows);
    /* what is sent along is left where it is: the caller sees that there is more than was asked */
    len = packet(bytes, 0, SSL, NULL, 0);
    len += packet(bytes + len, 0, SSL, NULL, 0);
    T_EQ(startup_read(bytes, len, 0, &s), STARTUP_PACKET);
    T_EQ(s.kind, STARTUP_SSL);
    T_EQ(s.need, 8);
    len = packet(bytes, 0, GSSENC, NULL, 0);
    len += packet(bytes + len, 0, V3, ALICE);
    T_EQ(startup_read(bytes, len, 0, &s), STARTUP_PACKET);
    T_EQ(s.kind, STARTUP_GSSENC);
    T_EQ(s.need, 8);
}

static void a_cancel_request_has_a_key_of_four_to_256_bytes(void)
{
    static const size_t lens[] = {0, 3, 4, 7, 8, 12, 260, 261};
    static const bool good[] = {false, false, false, false, true, true, true, false};
    uint8_t bytes[400], body[300];
    struct startup s;

    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i + 1);
    for (int i = 0; i < 8; i++) {
        size_t len = packet(bytes, 0, CANCEL, body, lens[i]);

        T_EQ(judge(bytes, len, STARTUP_NO_SSL, &s), good[i] ? STARTUP_PACKET : STARTUP_CLOSE);
        if (!good[i])
            continue;
        T_EQ(s.kind, STARTUP_CANCEL);
        T_EQ(s.pid, 0x01020304);
        T_EQ(s.key_len, lens[i] - 4);
        T_OK(memcmp(s.key, body + 4, s.key_len) == 0);
        startup_done(&s);
    }
}

static void a_fresh_start_has_the_new_user_and_the_settings_of_the_old(void)
{
    static const char sent[] = "options\0-c geqo=off\0user\0alice\0_pq_.x\0y\0replication\0banana\0"
                               "database\0shop\0no.such\0\0";
    static const char want[] = "\0\0\0\x57\0\3\0\0user\0postgres\0database\0alice\0options\0"
                               "-c geqo=off\0replication\0banana\0no.such\0\0";
    uint8_t bytes[256];
    struct startup s;
    struct buf b;

    buf_init(&b, 20000);
    T_EQ(judge(bytes, packet(bytes, 0, 0x00030002, sent, sizeof(sent)), 0, &s), STARTUP_PACKET);
    T_OK(startup_put_session(&b, &s, "postgres", "alice"));
    T_EQ(buf_len(&b), sizeof(want));
    T_EQ(buf_data(&b)[3], sizeof(want));
    T_OK(buf_len(&b) == sizeof(want) && memcmp(buf_data(&b) + 4, want + 4, sizeof(want) - 4) == 0);
    startup_done(&s);
    buf_done(&b);
}

static void a_packet_that_does_not_fit_leaves_the_buffer_as_it_was(void)
{
    static char long_name[STARTUP_MAX];
    uint8_t bytes[64];
    struct startup s;
    struct buf b;

    memset(long_name, 'n', sizeof(long_name) - 1);
    buf_init(&b, 20000);
    T_OK(buf_put(&b, "before", 6));
    T_EQ(judge(bytes, packet(bytes, 0, V3, ALICE), 0, &s), STARTUP_PACKET);
    T_OK(!startup_put_session(&b, &s, long_name, "d"));
    T_OK(!startup_put_plain(&b, long_name, NULL));
    T_EQ(buf_len(&b), 6);
    buf_done(&b);
    for (size_t max = 0; max < 35; max++) {
        buf_init(&b, max);
        T_OK(!startup_put_session(&b, &s, "alice", "alice"));
        T_EQ(buf_len(&b), 0);
        buf_done(&b);
    }
    buf_init(&b, 35);
    T_OK(startup_put_session(&b, &s, "alice", "alice"));
    T_OK(buf_len(&b) == 35 && memcmp(buf_data(&b), bytes, 35) == 0);
    buf_done(&b);
    startup_done(&s);
}

static void what_is_written_is_read_back(void)
{
    struct startup s;
    struct buf b;

    buf_init(&b, 1000);
    T_OK(startup_put_plain(&b, "alice", "shop"));
    T_EQ(judge(buf_data(&b), buf_len(&b), 0, &s), STARTUP_PACKET);
    T_STR(s.user, "alice");
    T_STR(s.database, "shop");
    startup_done(&s);
    buf_eat(&b, buf_len(&b));
    T_OK(startup_put_cancel(&b, 0xfffffffe, (const uint8_t *)"\1\2\3\4", 4));
    T_EQ(buf_len(&b), 16);
    T_EQ(judge(buf_data(&b), buf_len(&b), 0, &s), STARTUP_PACKET);
    T_EQ(s.pid, 0xfffffffe);
    T_EQ(s.key_len, 4);
    T_OK(memcmp(s.key, "\1\2\3\4", 4) == 0);
    buf_done(&b);
}

int main(void)
{
    T_RUN(nothing_yet_wants_more);
    T_RUN(a_length_that_cannot_be_right_closes_with_its_fourth_byte);
    T_RUN(a_layout_that_is_not_pairs_and_an_end_is_refused);
    T_RUN(a_session_without_a_user_is_refused);
    T_RUN(a_user_or_database_given_twice_is_refused);
    T_RUN(versions_other_than_three_are_refused_in_a_form_they_can_read);
    T_RUN(a_newer_minor_version_or_unknown_option_is_negotiated_and_stripped);
    T_RUN(the_largest_packet_is_taken_and_one_byte_more_is_not);
    T_RUN(nine_hundred_settings_are_taken_in_order_and_ten_thousand_are_not);
    T_RUN(a_user_name_is_taken_as_it_is_and_never_cut);
    T_RUN(the_database_is_the_user_where_none_is_named);
    T_RUN(requests_are_eight_bytes_exactly_and_only_where_they_are_allowed);
    T_RUN(a_cancel_request_has_a_key_of_four_to_256_bytes);
    T_RUN(a_fresh_start_has_the_new_user_and_the_settings_of_the_old);
    T_RUN(a_packet_that_does_not_fit_leaves_the_buffer_as_it_was);
    T_RUN(what_is_written_is_read_back);
    return t_end();
}
