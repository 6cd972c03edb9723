/* t_cli.h: a command and a stand-in for dormd, over a real socket in a state directory of its own.
 */
#pragma once

#include "t.h"

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

static char state[] = "/tmp/dormouse-test-XXXXXX";
static char file[64];
static struct err e;

static inline const char *in_state(const char *name)
{
    (void)snprintf(file, sizeof(file), "%s/%s", state, name);
    return file;
}

static inline void make_state(void)
{
    if (mkdtemp(state) == NULL || fd_write_file(AT_FDCWD, in_state("run"), 0644, getuid(), getgid(),
                                                state, strlen(state), &e) < 0)
        abort();
}

static inline void remove_state(void)
{
    (void)unlink(in_state("control"));
    T_EQ(unlink(in_state("run")), 0);
    T_EQ(rmdir(state), 0);
}

static inline void one_answer(int server, const char *expected, const struct buf *answers, size_t n)
{
    AUTO_CLOSE int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    char got[4000] = "";
    struct ipc_msg m;
    struct buf storage;

    buf_init(&storage, IPC_MAX);
    if (ipc_receive_now(fd, &storage, &m, &e) < 0)
        _exit(2);
    for (size_t i = 0; i < m.n; i++) {
        size_t used = strlen(got);

        (void)snprintf(got + used, sizeof(got) - used, "%s%s", i == 0 ? "" : "|", m.field[i].at);
    }
    buf_done(&storage);
    if (!str_is(got, expected)) {
        (void)dprintf(STDOUT_FILENO, "# called: %s\n# wanted: %s\n", got, expected);
        _exit(1);
    }
    for (size_t i = 0; i < n; i++)
        if (ipc_send_now(fd, &answers[i], &e) < 0)
            _exit(3);
}

/*
 * Answers each of these calls (ended by NULL) with all of these datagrams, and exits with 0 when
 * they were the ones expected.
 */
static inline pid_t stand_in_for(const char *const *expected, const struct buf *answers, size_t n)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
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
    (void)alarm(20); /* a call that never comes must not keep the test waiting */
    for (size_t i = 0; expected[i] != NULL; i++)
        one_answer(server, expected[i], answers, n);
    _exit(0);
}

static inline pid_t stand_in(const char *expected, const struct buf *answers, size_t n)
{
    return stand_in_for((const char *const[]){expected, NULL}, answers, n);
}

struct outcome {
    int r;
    char *out, *err; /* owned */
};

static inline char *read_back(int fd)
{
    char *text = mem_new(1 << 16);

    if (pread(fd, text, (1 << 16) - 1, 0) < 0)
        abort();
    return text;
}

static inline struct outcome run(const char *const *argv, int n)
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

static inline void outcome_done(struct outcome *o)
{
    free(o->out);
    free(o->err);
}

static inline void served(pid_t pid)
{
    int status = -1;

    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
}

static inline void answers_done(struct buf *answers, size_t n)
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
