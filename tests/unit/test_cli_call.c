/* A command and a stand-in for dormd, over a real socket in a state directory of their own. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/cli.h"
#include "cli/hub.h"
#include "ipc/conn.h"
#include "t.h"

static char state[] = "/tmp/dormouse-test-XXXXXX";
static char file[64];
static struct err e;

static const char *in_state(const char *name)
{
    (void)snprintf(file, sizeof(file), "%s/%s", state, name);
    return file;
}

static void make_state(void)
{
    if (mkdtemp(state) == NULL || fd_write_file(AT_FDCWD, in_state("run"), 0644, getuid(), getgid(),
                                                state, strlen(state), &e) < 0)
        abort();
}

static void remove_state(void)
{
    (void)unlink(in_state("control"));
    T_EQ(unlink(in_state("run")), 0);
    T_EQ(rmdir(state), 0);
}

/* Answers one call with these datagrams, each u16 length and bytes, and exits with 0 when the call
 * was the one expected. */
static pid_t stand_in(const char *expected, const struct buf *answers, size_t n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd;
    char got[1000] = "";
    struct ipc_msg m;
    struct buf storage;
    pid_t pid;

    (void)unlink(in_state("control"));
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_state("control"));
    if (bind(server, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(server, 1) < 0)
        abort();
    (void)fflush(stdout);
    pid = fork();
    if (pid != 0) {
        (void)close(server);
        return pid;
    }
    fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    buf_init(&storage, IPC_MAX);
    if (ipc_receive_now(fd, &storage, &m, &e) < 0)
        _exit(2);
    for (size_t i = 0; i < m.n; i++) {
        size_t used = strlen(got);

        (void)snprintf(got + used, sizeof(got) - used, "%s%s", i == 0 ? "" : "|", m.field[i].at);
    }
    for (size_t i = 0; i < n; i++)
        if (ipc_send_now(fd, &answers[i], &e) < 0)
            _exit(3);
    _exit(str_is(got, expected) ? 0 : 1);
}

struct outcome {
    int r;
    char *out, *err; /* owned */
};

static char *read_back(int fd)
{
    char *text = mem_new(1 << 16);

    if (pread(fd, text, (1 << 16) - 1, 0) < 0)
        abort();
    return text;
}

static struct outcome run(const char *const *argv, int n)
{
    AUTO_CLOSE int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    AUTO_CLOSE int old_out = fcntl(1, F_DUPFD_CLOEXEC, 3), old_err = fcntl(2, F_DUPFD_CLOEXEC, 3);
    struct outcome o;
    struct cli c;

    (void)fflush(stdout);
    if (dup2(out, 1) < 0 || dup2(err, 2) < 0)
        abort();
    e = (struct err){.kind = ERR_NONE};
    o.r = cli_parse(&c, n, argv, &e);
    if (o.r == 0)
        o.r = c.cmd->run(&c, &e);
    (void)fflush(stdout);
    (void)dup2(old_out, 1);
    (void)dup2(old_err, 2);
    o.out = read_back(out);
    o.err = read_back(err);
    return o;
}

#define RUN(...)                                              \
    run((const char *const[]){"--state", state, __VA_ARGS__}, \
        (int)(sizeof((const char *const[]){"--state", state, __VA_ARGS__}) / sizeof(char *)))

static void outcome_done(struct outcome *o)
{
    free(o->out);
    free(o->err);
}

static void served(pid_t pid)
{
    int status = -1;

    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
}

static void answers_done(struct buf *answers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_done(&answers[i]);
}

#define ANSWER(b, ...)                     \
    do {                                   \
        buf_init((b), IPC_MAX);            \
        if (!ipc_format((b), __VA_ARGS__)) \
            abort();                       \
    } while (0)

static void arguments_and_options_become_keys(void)
{
    static const char *const columns[] = {"login", "password"}, *const row[] = {"alice", "x\x1b"};
    struct buf answers[4];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_COLUMNS, columns, (size_t)2);
    ANSWER(&answers[1], IPC_ROW, row, (size_t)2);
    ANSWER(&answers[2], IPC_SAY, (uint64_t)1, "a remark");
    ANSWER(&answers[3], IPC_DONE);
    pid = stand_in("user add|login|alice|role|admin", answers, 4);
    o = RUN("user", "add", "alice", "--role", "admin");
    T_EQ(o.r, 0);
    T_STR(o.out, "LOGIN  PASSWORD\nalice  x\\x1b\n");
    T_STR(o.err, "a remark\n");
    served(pid);
    outcome_done(&o);

    pid = stand_in("user add|login|alice", answers, 4);
    o = RUN("user", "add", "alice", "-q", "-o", "json");
    T_STR(o.out, "[{\"login\": \"alice\", \"password\": \"x\\u001b\"}]\n");
    T_STR(o.err, "");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 4);
}

static void a_failure_keeps_its_kind_and_hint(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_FAIL, (uint64_t)ERR_NOT_FOUND, "no such user", "see: dorm user list");
    pid = stand_in("user show|login|bob", answers, 1);
    o = RUN("user", "show", "bob", "-o", "json");
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 66);
    T_STR(e.msg, "no such user");
    T_STR(e.hint, "see: dorm user list");
    T_STR(o.out, "");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
}

static void an_answer_that_breaks_off_is_a_failure(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_SAY, (uint64_t)0, "half");
    pid = stand_in("status", answers, 1);
    o = RUN("status");
    T_EQ(o.r, -1);
    T_EQ(e.kind, ERR_PEER);
    T_STR(o.out, "half\n");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
}

static void what_is_no_answer_is_refused(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_GATE_DRAIN);
    pid = stand_in("status", answers, 1);
    o = RUN("status");
    T_EQ(o.r, -1);
    T_OK(strstr(e.msg, "GATE_DRAIN") != NULL);
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
}

static void going_down_succeeds_when_dormd_is_gone_not_before(void)
{
    struct buf answers[3];
    struct outcome o;
    pid_t pid;

    ANSWER(&answers[0], IPC_SAY, (uint64_t)1, "putting 2 servers to sleep");
    ANSWER(&answers[1], IPC_DONE);
    ANSWER(&answers[2], IPC_SAY, (uint64_t)0, "the last one sleeps");
    pid = stand_in("down", answers, 3);
    o = RUN("down");
    T_EQ(o.r, 0);
    T_STR(o.out, "the last one sleeps\n");
    T_STR(o.err, "putting 2 servers to sleep\n");
    served(pid);
    outcome_done(&o);
    answers_done(answers, 3);
}

static void nobody_there_says_how_to_start(void)
{
    struct outcome o;

    (void)unlink(in_state("control"));
    o = RUN("status");
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 69);
    T_OK(str_starts(e.msg, "could not reach dormd of hub at /tmp/dormouse-test-"));
    T_OK(strstr(e.msg, ": it is not running") != NULL);
    T_STR(e.hint, "start it with: dorm up");
    outcome_done(&o);

    o = RUN("down");
    T_EQ(o.r, 0);
    T_OK(strstr(o.err, "it is not running") != NULL);
    outcome_done(&o);
}

static void a_state_must_be_an_absolute_path(void)
{
    char at[HUB_PATH], endless[HUB_PATH + 1];
    struct cli c = {.state = "relative"};

    T_EQ(hub_state(&c, at, &e), -1);
    c.state = "/x//";
    T_EQ(hub_state(&c, at, &e), 0);
    T_STR(at, "/x");
    memset(endless, '/', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    c.state = endless;
    T_EQ(hub_state(&c, at, &e), -1);
    c.state = NULL;
    T_EQ(unsetenv("DORM_STATE"), 0);
    T_EQ(hub_state(&c, at, &e), 0);
    T_OK(hub_is_default(at));
    T_EQ(setenv("DORM_STATE", "/y", 1), 0);
    T_EQ(hub_state(&c, at, &e), 0);
    T_STR(at, "/y");
    T_EQ(unsetenv("DORM_STATE"), 0);
}

static void removal_is_shown_first_and_refused_without_a_terminal(void)
{
    AUTO_CLOSE int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct buf answers[2];
    struct outcome o;
    pid_t pid;

    if (dup2(null_fd, STDIN_FILENO) < 0)
        abort();
    ANSWER(&answers[0], IPC_SAY, (uint64_t)0, "1Gi goes");
    ANSWER(&answers[1], IPC_DONE);
    pid = stand_in("user remove|login|alice|dry|1", answers, 2);
    o = RUN("user", "remove", "alice");
    T_EQ(o.r, -1);
    T_EQ(err_exit(e.kind), 64);
    T_STR(o.out, "1Gi goes\n");
    T_STR(e.hint, "say it with --yes");
    served(pid);
    outcome_done(&o);

    pid = stand_in("user remove|login|alice|yes|1", answers, 2);
    o = RUN("user", "remove", "alice", "--yes");
    T_EQ(o.r, 0);
    served(pid);
    outcome_done(&o);
    answers_done(answers, 2);
}

static void a_password_is_read_from_standard_input(void)
{
    struct buf answers[1];
    struct outcome o;
    pid_t pid;
    int ends[2];

    ANSWER(&answers[0], IPC_DONE);
    if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "s3cret \r\nrest", 13) != 13 ||
        dup2(ends[0], STDIN_FILENO) < 0)
        abort();
    pid = stand_in("user passwd|login|alice|password|s3cret ", answers, 1);
    o = RUN("user", "passwd", "alice", "--password", "-");
    T_EQ(o.r, 0);
    served(pid);
    outcome_done(&o);
    answers_done(answers, 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)close(STDIN_FILENO);
}

int main(void)
{
    make_state();
    T_RUN(arguments_and_options_become_keys);
    T_RUN(a_failure_keeps_its_kind_and_hint);
    T_RUN(an_answer_that_breaks_off_is_a_failure);
    T_RUN(what_is_no_answer_is_refused);
    T_RUN(going_down_succeeds_when_dormd_is_gone_not_before);
    T_RUN(nobody_there_says_how_to_start);
    T_RUN(a_state_must_be_an_absolute_path);
    T_RUN(removal_is_shown_first_and_refused_without_a_terminal);
    T_RUN(a_password_is_read_from_standard_input);
    remove_state();
    return t_end();
}
