/* The client and the naming against a server that is played: its answers are written beforehand. */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "pg/pg.h"
#include "t.h"

#define HELLO           "R\0\0\0\10\0\0\0\0Z\0\0\0\5I"
#define DONE            "C\0\0\0\6X\0Z\0\0\0\5I"
#define ERROR_OF(state) "E\0\0\0\20C" state "\0Mno\0\0" /* 16 = 4 + 7 + 4 + 1 */
#define S(text)         (text), sizeof(text) - 1

static int other = -1;
static struct err e;

/* A socket on whose other end these bytes have been said; then the end, unless it stays open. */
static int played(const char *bytes, size_t len, bool open)
{
    int fds[2];

    close_fd(&other);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
        write(fds[1], bytes, len) != (ssize_t)len)
        abort();
    if (!open)
        (void)shutdown(fds[1], SHUT_WR);
    other = fds[1];
    return fds[0];
}

/* What the client had said, up to max bytes. */
static size_t heard(char *at, size_t max)
{
    ssize_t n = recv(other, at, max, MSG_DONTWAIT);

    return n < 0 ? 0 : (size_t)n;
}

static int begin(struct pg_client *c, const char *bytes, size_t len)
{
    e = (struct err){0};
    return pg_client_start(c, played(bytes, len, false), "u", "d", clock_ms() + 2000, &e);
}

static void a_login_and_a_value(void)
{
    struct pg_client c;
    char said[200], value[20] = "";
    size_t n;

    T_EQ(begin(&c, S(HELLO "T\0\0\0\6\0\0D\0\0\0\15\0\1\0\0\0\3abcD\0\0\0\13\0\1\0\0\0\1x" DONE)),
         0);
    T_EQ(pg_client_value(&c, "SELECT 1", value, sizeof(value), &e), 0);
    T_STR(value, "abc");
    pg_client_close(&c);
    T_EQ(c.fd, -1);
    n = heard(said, sizeof(said));
    T_OK(n > 30 && memcmp(said + 8, S("user\0u\0database\0d\0\0")) == 0);
    T_OK(memcmp(said + n - 5, S("X\0\0\0\4")) == 0);
}

static void no_row_and_null_are_not_found(void)
{
    struct pg_client c;
    char value[20] = "kept";

    T_EQ(begin(&c, S(HELLO DONE "D\0\0\0\12\0\1\377\377\377\377" DONE)), 0);
    T_EQ(pg_client_value(&c, "SELECT", value, sizeof(value), &e), -1);
    T_EQ(e.kind, ERR_NOT_FOUND);
    T_EQ(pg_client_value(&c, "SELECT", value, sizeof(value), &e), -1);
    T_EQ(e.kind, ERR_NOT_FOUND);
    T_STR(value, "kept");
    pg_client_close(&c);
}

static void an_sql_error_is_told_and_the_session_goes_on(void)
{
    struct pg_client c;

    T_EQ(begin(&c, S(HELLO ERROR_OF("53100") "Z\0\0\0\5I" DONE)), 0);
    T_EQ(pg_client_exec(&c, "x", &e), -1);
    T_EQ(e.kind, ERR_NO_SPACE);
    T_STR(c.sqlstate, "53100");
    T_STR(e.msg, "the server says: no (53100)");
    T_EQ(pg_client_exec(&c, "x", &e), 0);
    T_STR(c.sqlstate, "");
    pg_client_close(&c);
}

static void the_last_word_of_a_server_is_kept_when_it_leaves(void)
{
    struct pg_client c;

    T_EQ(begin(&c, S(ERROR_OF("57P03"))), -1);
    T_EQ(e.kind, ERR_BUSY);
    T_STR(c.sqlstate, "57P03");
    T_EQ(c.fd, -1);
    pg_client_close(&c); /* nothing is left to close */
}

static void a_server_that_breaks_the_protocol_is_left(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } wrong[] = {
        {S("")},
        {S("R\0\0\0\10\0\0\0\0")},  /* ends before it is ready */
        {S("R\0\0\0\10\0\0\0\3")},  /* wants a password */
        {S("R\0\0\0\3")},           /* shorter than its own length */
        {S("R\177\377\377\377")},   /* 2 GiB */
        {S("R\0\0\0\4Z\0\0\0\5I")}, /* no number in it */
        {S("HTTP/1.1 400 Bad Request\r\n\r\n")},
        {S("R\0\0\0\10\0\0\0\0G\0\0\0\7\0\0\0")}, /* wants a COPY */
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct pg_client c;

        T_EQ(begin(&c, wrong[i].bytes, wrong[i].len), -1);
        T_OK(e.kind == ERR_PEER || e.kind == ERR_AUTH);
        T_EQ(c.fd, -1);
    }
}

static void rows_that_lie_about_their_length_are_refused(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } wrong[] = {
        {S(HELLO "D\0\0\0\4" DONE)},
        {S(HELLO "D\0\0\0\13\0\1\0\0\0\2x" DONE)},
        {S(HELLO "D\0\0\0\13\0\1\177\377\377\377x" DONE)},
        {S(HELLO "D\0\0\0\14\0\1\0\0\0\2x\0" DONE)},
        {S(HELLO "D\0\0\0\22\0\1\0\0\0\0101234567\0" DONE)},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct pg_client c;
        char value[8];

        T_EQ(begin(&c, wrong[i].bytes, wrong[i].len), 0);
        T_EQ(pg_client_value(&c, "x", value, sizeof(value), &e), -1);
        T_EQ(e.kind, ERR_PEER);
        pg_client_close(&c);
    }
}

static void a_silent_server_costs_the_deadline_and_no_more(void)
{
    struct pg_client c;
    uint64_t began = clock_ms();

    T_EQ(pg_client_start(&c, played(S("R\0\0"), true), "u", "d", began + 100, &e), -1);
    T_EQ(e.kind, ERR_BUSY);
    T_OK(clock_ms() - began >= 100);
    T_OK(clock_ms() - began < 5000);
}

static void an_answer_without_end_is_left(void)
{
    static char notices[4096];
    struct pg_client c;
    int fds[2];
    pid_t child;

    for (size_t i = 0; i + 5 <= sizeof(notices); i += 5)
        memcpy(notices + i, "I\0\0\0\4", 5);
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    child = fork();
    if (child == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        (void)close(fds[0]);
        while (write(fds[1], notices, 4095) > 0)
            continue;
        _exit(0);
    }
    (void)close(fds[1]);
    T_EQ(pg_client_start(&c, fds[0], "u", "d", clock_ms() + 60000, &e), -1);
    T_STR(e.msg, "the server's answer has no end");
}

static void identifiers_and_literals_are_quoted(void)
{
    struct buf b;

    buf_init(&b, 100);
    T_OK(pg_put_ident(&b, "a\"b\\'") && pg_put_literal(&b, "o'b\\\"") && buf_put_u8(&b, 0));
    T_STR((const char *)buf_data(&b), "\"a\"\"b\\'\" E'o''b\\\\\"'");
    buf_done(&b);
    buf_init(&b, 3);
    T_OK(!pg_put_ident(&b, "abc"));
    buf_done(&b);
}

static void names_that_no_superuser_can_have_are_refused(void)
{
    static const char *const wrong[] = {
        "",           "dorm_owner",
        "dorm_setup", "public",
        "none",       "pg_x",
        "\xff",       "x123456789012345678901234567890123456789012345678901234567890123"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        T_EQ(pg_name_check(wrong[i], &e), -1);
        T_EQ(e.kind, ERR_INPUT);
        T_EQ(pg_name_owner(played(S(""), false), wrong[i], clock_ms() + 1000, &e), -1);
    }
    T_EQ(pg_name_check("alice", &e), 0);
}

static int name(const char *bytes, size_t len)
{
    e = (struct err){0};
    return pg_name_owner(played(bytes, len, false), "alice", clock_ms() + 2000, &e);
}

static void an_owner_is_named_in_one_message(void)
{
    char said[400];
    size_t n;

    T_EQ(name(S(HELLO DONE)), 1);
    n = heard(said, sizeof(said) - 1);
    said[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (said[i] == '\0')
            said[i] = '.';
    T_OK(strstr(said,
                "ALTER ROLE dorm_owner RENAME TO \"alice\"; ALTER DATABASE dorm_owner RENAME TO "
                "\"alice\"; SET SESSION AUTHORIZATION \"alice\"; DROP ROLE dorm_setup.X") != NULL);
}

static void no_setup_role_means_it_was_done(void)
{
    T_EQ(name(S(ERROR_OF("28000"))), 0);
    T_EQ(name(S(ERROR_OF("57P03"))), -1);
    T_EQ(name(S(HELLO ERROR_OF("53100") "Z\0\0\0\5I")), -1);
    T_EQ(e.kind, ERR_NO_SPACE);
    T_EQ(name(S(HELLO)), -1);
}

int main(void)
{
    T_RUN(a_login_and_a_value);
    T_RUN(no_row_and_null_are_not_found);
    T_RUN(an_sql_error_is_told_and_the_session_goes_on);
    T_RUN(the_last_word_of_a_server_is_kept_when_it_leaves);
    T_RUN(a_server_that_breaks_the_protocol_is_left);
    T_RUN(rows_that_lie_about_their_length_are_refused);
    T_RUN(a_silent_server_costs_the_deadline_and_no_more);
    T_RUN(an_answer_without_end_is_left);
    T_RUN(identifiers_and_literals_are_quoted);
    T_RUN(names_that_no_superuser_can_have_are_refused);
    T_RUN(an_owner_is_named_in_one_message);
    T_RUN(no_setup_role_means_it_was_done);
    close_fd(&other);
    return t_end();
}
