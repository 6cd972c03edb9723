#include "pgwire/message.h"

#include "t.h"

#define RAW(s) s, sizeof(s) - 1

/* A message with this body, in memory of exactly its size so that a read behind it is seen. */
static struct msg message(uint8_t type, const void *body, size_t len)
{
    static uint8_t *held;

    free(held);
    held = malloc(len == 0 ? 1 : len);
    if (held == NULL)
        abort();
    if (len > 0)
        memcpy(held, body, len);
    return (struct msg){.type = type, .body = held, .body_len = len, .total = len + 5};
}

static enum msg_verdict read_exact(const char *bytes, size_t len, uint32_t max, struct msg *m)
{
    static uint8_t *held;

    free(held);
    held = malloc(len == 0 ? 1 : len);
    if (held == NULL)
        abort();
    if (len > 0)
        memcpy(held, bytes, len);
    return msg_read(held, len, max, m);
}

static void a_message_is_read_byte_for_byte(void)
{
    static const char bytes[] = "R\0\0\0\x0c\0\0\0\x0a"
                                "abcd";
    struct msg m;

    for (size_t n = 0; n < sizeof(bytes) - 1; n++) {
        T_EQ(read_exact(bytes, n, 100, &m), MSG_INCOMPLETE);
        T_EQ(m.total, n < 5 ? 5 : 13);
    }
    T_EQ(read_exact(bytes, sizeof(bytes), 100, &m), MSG_WHOLE);
    T_EQ(m.type, 'R');
    T_EQ(m.total, 13);
    T_EQ(m.body_len, 8);
    T_OK(memcmp(m.body,
                "\0\0\0\x0a"
                "abcd",
                8) == 0);
    T_EQ(read_exact(RAW("X\0\0\0\4"), 4, &m), MSG_WHOLE);
    T_EQ(m.body_len, 0);
}

static void a_length_that_cannot_be_right_is_bad_with_its_fifth_byte(void)
{
    static const char bad[][6] = {"p\0\0\0\0",         "p\0\0\0\3",         "p\x7f\xff\xff\xff",
                                  "p\x80\0\0\5",       "p\xff\xff\xff\xff", "R\0\0\0\3",
                                  "E\x7f\xff\xff\xff", "p\0\0\x08\x01"};
    struct msg m;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        T_EQ(read_exact(bad[i], 4, SASL_MESSAGE_MAX, &m), MSG_INCOMPLETE);
        T_EQ(read_exact(bad[i], 5, SASL_MESSAGE_MAX, &m), MSG_BAD);
    }
    T_EQ(read_exact(RAW("p\0\0\x08\0"), SASL_MESSAGE_MAX, &m), MSG_INCOMPLETE);
    T_EQ(m.total, SASL_MESSAGE_MAX + 1);
    T_EQ(m.type, 'p');
}

static int initial(uint8_t type, const char *body, size_t len, bool plus, struct sasl_initial *ret,
                   struct refusal *why)
{
    struct msg m = message(type, body, len);

    return msg_read_sasl_initial(&m, plus, ret, why);
}

static void the_first_sasl_message_names_a_mechanism_that_was_offered(void)
{
    struct sasl_initial s;
    struct refusal why;

    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\0\0\0\5n,,xy"), false, &s, &why), 0);
    T_OK(!s.plus);
    T_EQ(s.len, 5);
    T_OK(memcmp(s.data, "n,,xy", 5) == 0);
    T_EQ(initial('p', RAW("SCRAM-SHA-256-PLUS\0\0\0\0\1p"), true, &s, &why), 0);
    T_OK(s.plus);
    T_EQ(s.len, 1);

    T_EQ(initial('p', RAW("SCRAM-SHA-256-PLUS\0\0\0\0\1p"), false, &s, &why), -1);
    T_STR(why.sqlstate, "08P01");
    T_STR(why.message, "client selected an invalid SASL authentication mechanism");
    T_EQ(initial('p', RAW("SCRAM-MD5\0\0\0\0\1p"), true, &s, &why), -1);
    T_STR(why.sqlstate, "08P01");
    T_EQ(initial('p', RAW("\0\0\0\0\1p"), true, &s, &why), -1);
    T_STR(why.sqlstate, "08P01");
    T_EQ(initial('p', RAW("scram-sha-256\0\0\0\0\1p"), true, &s, &why), -1);
}

static void the_first_sasl_message_is_as_long_as_it_says(void)
{
    struct sasl_initial s;
    struct refusal why;

    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\xff\xff\xff\xff"), false, &s, &why), 0);
    T_OK(s.data == NULL);
    T_EQ(s.len, 0);
    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\0\0\0\0"), false, &s, &why), 0);
    T_OK(s.data != NULL);
    T_EQ(s.len, 0);

    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\0\0\x13\x88n,,"), false, &s, &why), -1);
    T_STR(why.message, "insufficient data left in message");
    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\x7f\xff\xff\xffn,,"), false, &s, &why), -1);
    T_STR(why.message, "insufficient data left in message");
    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\xff\xff\xff\xfen,,"), false, &s, &why), -1);
    T_STR(why.sqlstate, "08P01");
    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\0\0\0\2n,,"), false, &s, &why), -1);
    T_STR(why.message, "invalid message format");
    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\xff\xff\xff\xffx"), false, &s, &why), -1);
    T_STR(why.message, "invalid message format");
    T_EQ(initial('p', RAW("SCRAM-SHA-256\0\0\0\0"), false, &s, &why), -1);
    T_EQ(initial('p', RAW("SCRAM-SHA-256"), false, &s, &why), -1);
    T_EQ(initial('p', RAW(""), false, &s, &why), -1);
    T_STR(why.message, "invalid string in message");
}

static void another_message_than_sasl_is_refused_by_its_number(void)
{
    struct msg q = message('Q', RAW("select 1"));
    struct sasl_initial s;
    struct refusal why;
    const uint8_t *data;
    size_t len;

    T_EQ(msg_read_sasl_initial(&q, true, &s, &why), -1);
    T_STR(why.sqlstate, "08P01");
    T_STR(why.message, "expected SASL response, got message type 81");
    T_EQ(msg_read_sasl(&q, &data, &len, &why), -1);
    T_STR(why.sqlstate, "08P01");
    q = message('X', RAW(""));
    T_EQ(msg_read_sasl(&q, &data, &len, &why), -1);
    /* a second StartupMessage: its length begins where a type should be */
    q = message(0, RAW(""));
    T_EQ(msg_read_sasl(&q, &data, &len, &why), -1);
    q = message('p', RAW("c=biws"));
    T_EQ(msg_read_sasl(&q, &data, &len, &why), 0);
    T_OK(len == 6 && memcmp(data, "c=biws", 6) == 0);
}

static void an_authentication_request_has_a_number(void)
{
    uint32_t type = 77;
    struct err e;
    struct msg m;

    for (size_t n = 0; n < 4; n++) {
        m = message('R', "\0\0\0", n);
        T_EQ(msg_read_auth(&m, &type, &e), -1);
        T_EQ(e.kind, ERR_PEER);
    }
    T_EQ(type, 77);
    m = message('R', RAW("\0\0\0\0"));
    T_EQ(msg_read_auth(&m, &type, &e), 0);
    T_EQ(type, MSG_AUTH_OK);
    m = message('R', RAW("\0\0\0\0x"));
    T_EQ(msg_read_auth(&m, &type, &e), -1);
    m = message('R', RAW("\x7f\xff\xff\xff"));
    T_EQ(msg_read_auth(&m, &type, &e), 0);
    T_EQ(type, 0x7fffffff);
    m = message('R', RAW("\0\0\0\x0br=x,s=y,i=2147483647"));
    T_EQ(msg_read_auth(&m, &type, &e), 0);
    T_EQ(type, 11);
}

static void a_backend_key_has_four_to_256_bytes(void)
{
    static const size_t lens[] = {0, 3, 4, 7, 8, 260, 261, 1004};
    uint8_t body[1100];
    struct msg_key key;
    struct err e;

    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)i;
    for (int i = 0; i < 8; i++) {
        struct msg m = message('K', body, lens[i]);
        bool good = lens[i] == 8 || lens[i] == 260;

        T_EQ(msg_read_key(&m, &key, &e), good ? 0 : -1);
        if (!good)
            continue;
        T_EQ(key.pid, 0x00010203);
        T_EQ(key.key_len, lens[i] - 4);
        T_OK(memcmp(key.key, body + 4, key.key_len) == 0);
    }
}

static void a_setting_is_two_strings_and_nothing_else(void)
{
    struct msg_setting s;
    struct err e;
    struct msg m = message('S', RAW("server_version\00015.4\0"));

    T_EQ(msg_read_setting(&m, &s, &e), 0);
    T_STR(s.name, "server_version");
    T_STR(s.value, "15.4");
    m = message('S', RAW("a\0\0"));
    T_EQ(msg_read_setting(&m, &s, &e), 0);
    T_STR(s.value, "");
    m = message('S', RAW("a\0b"));
    T_EQ(msg_read_setting(&m, &s, &e), -1);
    m = message('S', RAW("a\0"));
    T_EQ(msg_read_setting(&m, &s, &e), -1);
    m = message('S', RAW("a"));
    T_EQ(msg_read_setting(&m, &s, &e), -1);
    m = message('S', RAW(""));
    T_EQ(msg_read_setting(&m, &s, &e), -1);
    m = message('S', RAW("\0b\0"));
    T_EQ(msg_read_setting(&m, &s, &e), -1);
    m = message('S', RAW("a\0b\0c"));
    T_EQ(msg_read_setting(&m, &s, &e), -1);
}

static void ready_has_one_of_three_states(void)
{
    struct err e;
    struct msg m;
    char status;

    for (int c = 0; c < 256; c++) {
        bool good = c == 'I' || c == 'T' || c == 'E';
        char body = (char)c;

        m = message('Z', &body, 1);
        T_EQ(msg_read_ready(&m, &status, &e), good ? 0 : -1);
        if (good)
            T_EQ(status, c);
    }
    m = message('Z', RAW(""));
    T_EQ(msg_read_ready(&m, &status, &e), -1);
    m = message('Z', RAW("II"));
    T_EQ(msg_read_ready(&m, &status, &e), -1);
}

static void a_negotiation_has_as_many_options_as_it_says(void)
{
    struct msg m = message('v', RAW("\0\3\0\0\0\0\0\2_pq_.a\0_pq_.b\0"));
    struct msg_versions v;
    struct err e;

    T_EQ(msg_read_versions(&m, &v, &e), 0);
    T_EQ(v.newest, 0x00030000);
    T_EQ(v.n, 2);
    m = message('v', RAW("\0\3\0\0\xff\xff\xff\xff_pq_.a\0"));
    T_EQ(msg_read_versions(&m, &v, &e), -1);
    m = message('v', RAW("\0\3\0\0\0\0\0\0x"));
    T_EQ(msg_read_versions(&m, &v, &e), -1);
    m = message('v', RAW("\0\3\0\0\0\0\0\1x"));
    T_EQ(msg_read_versions(&m, &v, &e), -1);
    m = message('v', RAW("\0\3\0\0\0\0\0"));
    T_EQ(msg_read_versions(&m, &v, &e), -1);
}

static void an_error_is_read_by_its_letters(void)
{
    struct msg m = message('E', RAW("SFATALE\0VFATAL\0C3D000\0Mno such\0Dbecause\0Hdo\0Fx.c\0\0"));
    struct msg_error e;

    msg_read_error(&m, &e);
    T_STR(e.severity, "FATAL");
    T_STR(e.sqlstate, "3D000");
    T_STR(e.message, "no such");
    T_STR(e.detail, "because");
    T_STR(e.hint, "do");
    T_OK(e.whole);
}

static void something_is_said_of_an_error_that_is_not_one(void)
{
    static const char *bodies[] = {"", "\0", "M", "Mx", "C", "S", "C123\0M\0", "Cabcde\0", "\0M"};
    static const size_t lens[] = {0, 1, 1, 2, 1, 1, 7, 7, 2};
    struct msg_error e;
    struct msg m;

    for (int i = 0; i < 9; i++) {
        m = message('E', bodies[i], lens[i]);
        msg_read_error(&m, &e);
        T_STR(e.severity, "ERROR");
        T_STR(e.sqlstate, "XX000");
        T_STR(e.message, i == 3 ? "x" : "the server gave no message");
        T_OK(!e.whole);
    }
    m = message('N', RAW("\0"));
    msg_read_error(&m, &e);
    T_STR(e.severity, "NOTICE");
    m = message('E', RAW("C57P01\0Mx\0\0garbage"));
    msg_read_error(&m, &e);
    T_STR(e.sqlstate, "57P01");
    T_OK(!e.whole);
    m = message('E', RAW("C57P01\0Mx\0"));
    msg_read_error(&m, &e);
    T_OK(!e.whole);
}

static void a_long_error_is_cut_between_characters(void)
{
    static char body[5000];
    struct msg_error e;
    struct msg m;

    body[0] = 'M';
    for (size_t i = 1; i + 1 < sizeof(body); i += 2)
        memcpy(body + i, "\xc3\xa4", 2);
    m = message('E', body, sizeof(body));
    msg_read_error(&m, &e);
    T_EQ(strlen(e.message), 478);
    memset(body + 1, 0x80, sizeof(body) - 1);
    m = message('E', body, sizeof(body));
    msg_read_error(&m, &e);
    T_OK(strlen(e.message) >= 475);
    body[0] = 'V';
    memset(body + 1, 'A', sizeof(body) - 1);
    m = message('E', body, sizeof(body));
    msg_read_error(&m, &e);
    T_STR(e.severity, "ERROR");
}

static void writers_write_what_postgresql_writes(void)
{
    static const char want[] = "S"
                               "R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
                               "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
                               "R\0\0\0\x0b\0\0\0\x0br=x"
                               "R\0\0\0\x0b\0\0\0\x0cv=y"
                               "R\0\0\0\x08\0\0\0\0"
                               "S\0\0\0\x08"
                               "a\0b\0"
                               "K\0\0\0\x0c\0\0\0\7\1\2\3\4"
                               "Z\0\0\0\5I"
                               "Q\0\0\0\x06;\0"
                               "X\0\0\0\4";
    struct buf b;

    buf_init(&b, 1000);
    T_OK(msg_put_ssl_answer(&b, true));
    T_OK(msg_put_auth_sasl(&b, true));
    T_OK(msg_put_auth_sasl(&b, false));
    T_OK(msg_put_sasl_continue(&b, "r=x", 3));
    T_OK(msg_put_sasl_final(&b, "v=y", 3));
    T_OK(msg_put_auth_ok(&b));
    T_OK(msg_put_setting(&b, "a", "b"));
    T_OK(msg_put_key(&b, 7, (const uint8_t *)"\1\2\3\4"));
    T_OK(msg_put_ready(&b, 'I'));
    T_OK(msg_put_query(&b, ";"));
    T_OK(msg_put_terminate(&b));
    T_EQ(buf_len(&b), sizeof(want) - 1);
    T_OK(buf_len(&b) == sizeof(want) - 1 && memcmp(buf_data(&b), want, sizeof(want) - 1) == 0);
    buf_done(&b);
}

static void an_error_is_written_fit_for_any_client(void)
{
    static const char want[] =
        "SFATAL\0VFATAL\0CXX000\0M\\x1b[2J\\x01 \xc3\xa4 \\xff a\\b\nc\0Hok\0\0";
    struct msg_notice n = {.severity = "FATAL",
                           .sqlstate = "bad\n1",
                           .message = "\x1b[2J\x01 \xc3\xa4 \xff a\\b\nc",
                           .detail = "",
                           .hint = "ok"};
    struct msg m;
    struct buf b;

    buf_init(&b, 100000);
    T_OK(msg_put_error(&b, &n));
    T_EQ(msg_read(buf_data(&b), buf_len(&b), 1000, &m), MSG_WHOLE);
    T_EQ(m.type, 'E');
    T_EQ(m.total, buf_len(&b));
    T_OK(m.body_len == sizeof(want) - 1 && memcmp(m.body, want, sizeof(want) - 1) == 0);
    buf_eat(&b, buf_len(&b));
    n.message = "";
    n.sqlstate = "57P03";
    T_OK(msg_put_notice(&b, &n));
    T_EQ(buf_data(&b)[0], 'N');
    T_STR((char *)buf_data(&b) + 5 + 14, "C57P03");
    T_STR((char *)buf_data(&b) + 5 + 21, "Munknown error");
    buf_done(&b);
}

static void a_text_without_end_is_cut_between_characters(void)
{
    static const char want[] = "SFATAL\0VFATAL\0C28P01\0Mno\0Dbecause\0";
    static char text[5000];
    struct refusal why;
    struct msg_error e;
    struct msg m;
    struct buf b;

    buf_init(&b, 100000);
    text[0] = 'x';
    for (size_t i = 1; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    T_OK(msg_put_error(
        &b, &(struct msg_notice){.severity = "ERROR", .sqlstate = "22023", .message = text}));
    T_EQ(msg_read(buf_data(&b), buf_len(&b), 1300, &m), MSG_WHOLE);
    msg_read_error(&m, &e);
    T_OK(e.whole);
    T_OK(memmem(m.body, m.body_len, "\\x", 2) == NULL);
    T_OK(memmem(m.body, m.body_len, "\xa4...", 5) != NULL);
    buf_eat(&b, buf_len(&b));
    memset(text, 1, sizeof(text) - 1);
    T_OK(msg_put_error(
        &b, &(struct msg_notice){.severity = "ERROR", .sqlstate = "22023", .message = text}));
    T_OK(buf_len(&b) < 4200);
    buf_eat(&b, buf_len(&b));
    (void)refusal_set(&why, "28P01", "%s", "no");
    (void)refusal_detail(&why, "because");
    T_OK(msg_put_refusal(&b, &why));
    T_OK(memmem(buf_data(&b), buf_len(&b), want, sizeof(want)) != NULL);
    buf_done(&b);
}

static void a_failure_of_ours_is_told_with_its_hint(void)
{
    struct refusal why;
    struct err e;

    (void)err_set(&e, ERR_NO_SPACE, "could not go on");
    (void)err_hint(&e, "delete something");
    refusal_from_err(&why, &e);
    T_STR(why.sqlstate, "53100");
    T_STR(why.message, "could not go on");
    T_STR(why.hint, "delete something");
    T_STR(why.detail, "");
}

static void a_message_that_does_not_fit_leaves_the_buffer_as_it_was(void)
{
    struct msg_notice n = {
        .severity = "FATAL", .sqlstate = "28000", .message = "no", .hint = "yes"};
    struct buf b, whole;

    buf_init(&whole, 1000);
    T_OK(msg_put_error(&whole, &n));
    for (size_t room = 0; room < buf_len(&whole); room++) {
        buf_init(&b, room + 3);
        T_OK(buf_put(&b, "xyz", 3));
        T_OK(!msg_put_error(&b, &n));
        T_EQ(buf_len(&b), 3);
        T_OK(memcmp(buf_data(&b), "xyz", 3) == 0);
        buf_done(&b);
    }
    buf_init(&b, 10);
    T_OK(!msg_put_old_error(&b, "no"));
    T_EQ(buf_len(&b), 0);
    buf_done(&b);
    buf_done(&whole);
}

int main(void)
{
    T_RUN(a_message_is_read_byte_for_byte);
    T_RUN(a_length_that_cannot_be_right_is_bad_with_its_fifth_byte);
    T_RUN(the_first_sasl_message_names_a_mechanism_that_was_offered);
    T_RUN(the_first_sasl_message_is_as_long_as_it_says);
    T_RUN(another_message_than_sasl_is_refused_by_its_number);
    T_RUN(an_authentication_request_has_a_number);
    T_RUN(a_backend_key_has_four_to_256_bytes);
    T_RUN(a_setting_is_two_strings_and_nothing_else);
    T_RUN(ready_has_one_of_three_states);
    T_RUN(a_negotiation_has_as_many_options_as_it_says);
    T_RUN(an_error_is_read_by_its_letters);
    T_RUN(something_is_said_of_an_error_that_is_not_one);
    T_RUN(a_long_error_is_cut_between_characters);
    T_RUN(writers_write_what_postgresql_writes);
    T_RUN(an_error_is_written_fit_for_any_client);
    T_RUN(a_text_without_end_is_cut_between_characters);
    T_RUN(a_failure_of_ours_is_told_with_its_hint);
    T_RUN(a_message_that_does_not_fit_leaves_the_buffer_as_it_was);
    return t_end();
}
