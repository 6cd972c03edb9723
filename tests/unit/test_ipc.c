/* ipc: messages come through whole or are refused whole; connections end in order. */
#include "ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "dice.h"
#include "ipc/conn.h"
#include "t.h"

static void every_row_has_a_name(void)
{
    for (int i = 0; i < IPC_N; i++)
        T_OK(ipc_name((enum ipc_type)i) != NULL);
    T_STR(ipc_name(IPC_GATE_WHO), "GATE_WHO");
}

static void numbers_texts_and_bytes_come_through(void)
{
    static const char *const networks[] = {"127.0.0.0/8", ""};
    struct buf b;
    struct ipc_msg m;
    struct err e;

    buf_init(&b, IPC_MAX);
    T_OK(ipc_format(&b, IPC_FAIL, (uint64_t)UINT64_MAX, "no", "try\nagain"));
    T_EQ(ipc_parse(buf_data(&b), buf_len(&b), &m, &e), 0);
    T_EQ(m.type, IPC_FAIL);
    T_EQ(m.n, 3);
    T_OK(m.field[0].number == UINT64_MAX);
    T_STR(m.field[1].at, "no");
    T_STR(m.field[2].at, "try\nagain");
    T_EQ(m.field[2].len, 9);

    buf_eat(&b, buf_len(&b));
    T_OK(ipc_format(&b, IPC_GATE_SETUP, "a\0b", (size_t)3, "", (size_t)0, "k", (size_t)1, networks,
                    (size_t)2));
    T_EQ(ipc_parse(buf_data(&b), buf_len(&b), &m, &e), 0);
    T_EQ(m.n, 5);
    T_EQ(m.field[0].len, 3);
    T_OK(memcmp(m.field[0].at, "a\0b", 4) == 0);
    T_EQ(m.field[1].len, 0);
    T_STR(m.field[3].at, "127.0.0.0/8");
    T_STR(m.field[4].at, "");
    buf_done(&b);
}

static void rows_without_fields_and_empty_lists_come_through(void)
{
    struct buf b;
    struct ipc_msg m;
    struct err e;

    buf_init(&b, IPC_MAX);
    T_OK(ipc_format(&b, IPC_DONE));
    T_EQ(ipc_parse(buf_data(&b), buf_len(&b), &m, &e), 0);
    T_EQ(m.n, 0);
    buf_eat(&b, buf_len(&b));
    T_OK(ipc_format(&b, IPC_CALL, "status", (const char *const *)NULL, (size_t)0));
    T_EQ(ipc_parse(buf_data(&b), buf_len(&b), &m, &e), 0);
    T_EQ(m.n, 1);
    buf_done(&b);
}

static void what_is_too_large_is_not_written_at_all(void)
{
    static char text[IPC_MAX];
    const char *many[IPC_FIELDS + 1];
    struct buf b;

    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i <= IPC_FIELDS; i++)
        many[i] = "x";
    buf_init(&b, 3 * IPC_MAX);
    T_OK(buf_put_u8(&b, 'a'));
    T_OK(!ipc_format(&b, IPC_SAY, (uint64_t)0, text));
    T_EQ(buf_len(&b), 1);
    T_OK(!ipc_format(&b, IPC_ROW, many, (size_t)IPC_FIELDS + 1));
    T_EQ(buf_len(&b), 1);
    T_OK(ipc_format(&b, IPC_ROW, many, (size_t)IPC_FIELDS));
    text[IPC_MAX - 22 - 1] = '\0'; /* head 4, number 4 + 8 + 1, text 4 + n + 1 */
    buf_eat(&b, buf_len(&b));
    T_OK(ipc_format(&b, IPC_SAY, (uint64_t)0, text));
    T_OK(buf_len(&b) <= IPC_MAX);
    buf_done(&b);
}

#define T_REFUSED(bytes) t_refused((bytes), sizeof(bytes) - 1)
static void t_refused(const char *bytes, size_t len)
{
    AUTO_FREE char *exact = malloc(len + (len == 0)); /* a byte too far is an error ASan can see */
    struct ipc_msg m;
    struct err e;

    if (exact == NULL)
        abort();
    memcpy(exact, bytes, len);
    T_EQ(ipc_parse(exact, len, &m, &e), -1);
    T_EQ(e.kind, ERR_PEER);
}

static void malformed_messages_are_refused(void)
{
    _Static_assert(IPC_DONE == 4 && IPC_SAY == 3 && IPC_CALL == 0,
                   "the bytes below know the order");
    T_REFUSED("");
    T_REFUSED("\0\4\0");
    T_REFUSED("\xff\xff\0\0");                        /* no such type */
    T_REFUSED("\0\4\0\0x");                           /* a byte too many */
    T_REFUSED("\0\4\0\1\0\0\0\0\0");                  /* a field too many */
    T_REFUSED("\0\0\0\0");                            /* no verb */
    T_REFUSED("\0\0\0\1\0\0\0\1");                    /* no text */
    T_REFUSED("\0\0\0\1\0\0\0\1x");                   /* no NUL */
    T_REFUSED("\0\0\0\1\0\0\0\1xy");                  /* another byte in its place */
    T_REFUSED("\0\0\0\1\0\0\0\3a\0b\0");              /* NUL inside a text */
    T_REFUSED("\0\0\0\1\xff\xff\xff\xffx\0");         /* a length near 4 GiB */
    T_REFUSED("\0\3\0\2\0\0\0\1x\0\0\0\0\1y\0");      /* a number of one byte */
    T_REFUSED("\0\3\0\1\0\0\0\10\0\0\0\0\0\0\0\0\0"); /* the text is missing */
    T_REFUSED("\0\0\0\x41\0\0\0\0\0");                /* more fields than there may be */
}

static void every_cut_of_a_message_is_refused(void)
{
    static const char *const pairs[] = {"login", "alice", "yes", "1"};
    struct buf b;
    struct ipc_msg m;
    struct err e;

    buf_init(&b, IPC_MAX);
    T_OK(ipc_format(&b, IPC_CALL, "user remove", pairs, (size_t)4));
    for (size_t n = 0; n < buf_len(&b); n++)
        T_EQ(ipc_parse(buf_data(&b), n, &m, &e), -1);
    T_EQ(ipc_parse(buf_data(&b), buf_len(&b), &m, &e), 0);
    buf_done(&b);
}

static void random_rows(struct dice *d)
{
    bool good = true;

    for (int i = 0; i < 2000 && good; i++) {
        char texts[IPC_FIELDS][40];
        const char *at[IPC_FIELDS];
        size_t n = dice_below(d, IPC_FIELDS + 1);
        struct buf b;
        struct ipc_msg m;
        struct err e;

        for (size_t k = 0; k < n; k++) {
            size_t len = dice_below(d, sizeof(texts[k]));

            for (size_t c = 0; c < len; c++)
                texts[k][c] = (char)(1 + dice_below(d, 255));
            texts[k][len] = '\0';
            at[k] = texts[k];
        }
        buf_init(&b, IPC_MAX);
        good = ipc_format(&b, IPC_ROW, at, n) &&
               ipc_parse(buf_data(&b), buf_len(&b), &m, &e) == 0 && m.n == n;
        for (size_t k = 0; k < n && good; k++)
            good = m.field[k].len == strlen(at[k]) && strcmp(m.field[k].at, at[k]) == 0;
        buf_done(&b);
    }
    T_OK(good);
}

static void rows_of_any_texts_come_through(void)
{
    dice_runs(random_rows);
}

/* Two ends in one loop. What a wrote, b counts. */
static struct loop *l;
static struct ipc_conn a, b;
static size_t came, ends;
static enum err_kind end_kind;
static uint64_t last_number;
static bool in_order;
static int came_fd;

static void count_message(struct ipc_conn *c, const struct ipc_msg *msg, int *fd)
{
    (void)c;
    came++;
    if (msg->type == IPC_SAY) {
        in_order = in_order && msg->field[0].number == last_number + 1;
        last_number = msg->field[0].number;
    }
    if (*fd >= 0)
        came_fd = take_fd(fd);
    if (msg->type == IPC_DONE)
        loop_quit(l);
}

static void count_end(struct ipc_conn *c, const struct err *why)
{
    T_EQ(c->fd, -1);
    ends++;
    end_kind = why->kind;
    loop_quit(l);
}

static void open_pair(void)
{
    int fd[2];
    struct err e;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0 || (l = loop_new(&e)) == NULL)
        abort();
    T_EQ(ipc_conn_start(&a, l, &fd[0], count_message, count_end, &e), 0);
    T_EQ(ipc_conn_start(&b, l, &fd[1], count_message, count_end, &e), 0);
    T_EQ(fd[0], -1);
    came = ends = 0;
    last_number = 0;
    in_order = true;
    came_fd = -1;
}

static void close_pair(void)
{
    ipc_conn_stop(&a);
    ipc_conn_stop(&b);
    loop_free(l);
}

static void run(void)
{
    struct err e;

    T_EQ(loop_run(l, &e), 0);
}

static void what_does_not_fit_into_the_socket_waits_in_order(void)
{
    static char text[30000];

    memset(text, 'x', sizeof(text) - 1);
    open_pair();
    for (uint64_t i = 1; i <= 300; i++)
        ipc_send(&a, -1, IPC_SAY, i, text);
    T_OK(a.queued > 0); /* else this test shows nothing */
    ipc_send(&a, -1, IPC_DONE);
    run();
    T_EQ(came, 301);
    T_OK(in_order);
    T_EQ(a.queued, 0);
    T_EQ(ends, 0);
    close_pair();
}

static void a_peer_that_never_reads_is_dropped_at_a_bound(void)
{
    static char text[60000];

    memset(text, 'x', sizeof(text) - 1);
    open_pair();
    loop_io_stop(l, &b.io);
    for (uint64_t i = 1; i <= 700; i++)
        ipc_send(&a, -1, IPC_SAY, i, text);
    T_OK(a.queued <= IPC_QUEUE_MAX);
    T_EQ(ends, 0); /* never from inside a send */
    run();
    T_EQ(ends, 1);
    T_EQ(a.fd, -1);
    close_pair();
}

static void the_memory_of_short_messages_counts(void)
{
    open_pair();
    loop_io_stop(l, &b.io);
    for (int i = 0; i < 1000000; i++)
        ipc_send(&a, -1, IPC_DONE);
    T_OK(a.queued <= IPC_QUEUE_MAX);
    run();
    T_EQ(ends, 1);
    close_pair();
}

static void a_descriptor_travels_at_once_and_after_waiting(void)
{
    static char text[30000];

    memset(text, 'x', sizeof(text) - 1);
    for (int waiting = 0; waiting < 2; waiting++) {
        int end[2];
        char got = 0;

        if (pipe2(end, O_CLOEXEC) < 0)
            abort();
        open_pair();
        for (uint64_t i = 1; waiting == 1 && i <= 100; i++)
            ipc_send(&a, -1, IPC_SAY, i, text);
        ipc_send(&a, end[1], IPC_GATE_READY, (uint64_t)1);
        close_fd(&end[1]); /* the sender's own: what travels is a duplicate */
        ipc_send(&a, -1, IPC_DONE);
        run();
        T_OK(came_fd >= 0);
        T_OK((fcntl(came_fd, F_GETFD) & FD_CLOEXEC) != 0);
        T_EQ(write(came_fd, "y", 1), 1);
        T_EQ(read(end[0], &got, 1), 1);
        T_EQ(got, 'y');
        close_fd(&came_fd);
        T_EQ(read(end[0], &got, 1), 0); /* nobody holds another copy */
        close_fd(&end[0]);
        close_pair();
    }
}

static void a_peer_that_leaves_ends_the_connection_once(void)
{
    open_pair();
    ipc_conn_stop(&b);
    run();
    T_EQ(ends, 1);
    T_EQ(end_kind, ERR_PEER);
    ipc_send(&a, -1, IPC_DONE); /* into nothing */
    close_pair();
}

static void a_malformed_message_ends_the_connection(void)
{
    open_pair();
    T_EQ(write(a.fd, "\xff\xff\0\0", 4), 4);
    run();
    T_EQ(ends, 1);
    T_EQ(end_kind, ERR_PEER);
    T_EQ(b.fd, -1);
    close_pair();
}

static void stop_both(struct ipc_conn *c, const struct ipc_msg *msg, int *fd)
{
    (void)c;
    (void)msg;
    (void)fd;
    came++;
    ipc_conn_stop(&a);
    ipc_conn_stop(&b);
    loop_quit(l);
}

static void a_handler_may_stop_the_connection_it_is_called_for(void)
{
    open_pair();
    b.on_msg = stop_both;
    for (uint64_t i = 1; i <= 5; i++)
        ipc_send(&a, -1, IPC_SAY, i, "x");
    run();
    T_EQ(came, 1);
    T_EQ(ends, 0);
    close_pair();
}

static void a_command_connects_asks_and_receives(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/dormouse-test-XXXXXX", path[64];
    AUTO_CLOSE int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), client = -1, in = -1;
    struct buf b1, storage;
    struct ipc_msg m;
    struct err e;

    T_OK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof(path), "%s/control", folder);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    T_EQ(ipc_connect(path, &client, &e), -1);
    T_EQ(e.os_errno, ENOENT);
    T_EQ(bind(server, (const struct sockaddr *)&address, sizeof(address)), 0);
    T_EQ(listen(server, 5), 0);
    T_EQ(ipc_connect(path, &client, &e), 0);
    in = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    buf_init(&b1, IPC_MAX);
    buf_init(&storage, IPC_MAX);
    T_OK(ipc_format(&b1, IPC_CALL, "status", (const char *const *)NULL, (size_t)0));
    T_EQ(ipc_send_now(client, &b1, &e), 0);
    T_EQ(ipc_receive_now(in, &storage, &m, &e), 0);
    T_EQ(m.type, IPC_CALL);
    T_STR(m.field[0].at, "status");
    close_fd(&client);
    T_EQ(ipc_receive_now(in, &storage, &m, &e), -1);
    T_EQ(e.kind, ERR_PEER);
    T_EQ(ipc_connect("/a/path/that/is/longer/than/the/one-hundred-and-seven-bytes/that/"
                     "an/address/of/a/unix/socket/can/hold/in/Linux",
                     &client, &e),
         -1);
    T_EQ(e.kind, ERR_INPUT);
    buf_done(&b1);
    buf_done(&storage);
    T_EQ(unlink(path), 0);
    T_EQ(rmdir(folder), 0);
}

int main(void)
{
    T_RUN(every_row_has_a_name);
    T_RUN(numbers_texts_and_bytes_come_through);
    T_RUN(rows_without_fields_and_empty_lists_come_through);
    T_RUN(what_is_too_large_is_not_written_at_all);
    T_RUN(malformed_messages_are_refused);
    T_RUN(every_cut_of_a_message_is_refused);
    T_RUN(rows_of_any_texts_come_through);
    T_RUN(what_does_not_fit_into_the_socket_waits_in_order);
    T_RUN(a_peer_that_never_reads_is_dropped_at_a_bound);
    T_RUN(the_memory_of_short_messages_counts);
    T_RUN(a_descriptor_travels_at_once_and_after_waiting);
    T_RUN(a_peer_that_leaves_ends_the_connection_once);
    T_RUN(a_malformed_message_ends_the_connection);
    T_RUN(a_handler_may_stop_the_connection_it_is_called_for);
    T_RUN(a_command_connects_asks_and_receives);
    return t_end();
}
