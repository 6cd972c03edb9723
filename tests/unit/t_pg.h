/* t_pg.h: a real PostgreSQL at its real paths, in a mount namespace of our own. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "pg/pg.h"
#include "t.h"

#define NOBODY  65534
#define PATIENT 60000

static struct pg_install installed;
static struct pg_server server = {
    .install = &installed, .memory = 512u << 20, .capacity = 1u << 30};
static pid_t postmaster;

static inline uint64_t soon(void)
{
    return clock_ms() + PATIENT;
}

static int dial(void *of, struct err *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = PG_SOCKET};
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)of;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return err_set_os(e, errno, "could not connect");
    return take_fd(&fd);
}
static const struct pg_dial way __attribute__((unused)) = {dial, NULL};

static inline bool put_file(const char *path, const char *text, uid_t owner)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct err e;

    return fd >= 0 && fd_write_all(fd, text, strlen(text), &e) == 0 &&
           fchown(fd, owner, owner) == 0;
}

static inline bool folder(const char *path)
{
    return mkdir(path, 0755) == 0 && chown(path, NOBODY, NOBODY) == 0;
}

/* /etc, /run and /var/lib of our own, with only what the sandbox would have. */
static inline const char *make_places(void)
{
    static const char *const keep[] = {"/etc/ld.so.cache", "/etc/nsswitch.conf"};
    char *text[2] = {NULL, NULL};
    int len[2];
    struct err e;

    for (int i = 0; i < 2; i++)
        len[i] = fd_read_file(AT_FDCWD, keep[i], 4 << 20, &text[i], &e);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", "/etc", "tmpfs", 0, NULL) < 0 ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
        mount("tmpfs", "/var/lib", "tmpfs", 0, "mode=755") < 0)
        return "no mount namespace of our own";
    for (int i = 0; i < 2; i++) {
        if (len[i] >= 0 &&
            fd_write_file(AT_FDCWD, keep[i], 0644, 0, 0, text[i], (size_t)len[i], &e) < 0)
            return "the files of /etc cannot be written";
        free(text[i]);
    }
    if (!put_file("/etc/passwd", "user:x:65534:65534::/:/bin/sh\n", 0) ||
        mkdir("/etc/dorm", 0755) < 0 || !folder("/run/dorm") || !folder(PG_SOCKET_DIR) ||
        !folder(PG_VOLUME))
        return "the directories of a sandbox cannot be made";
    return NULL;
}

static inline pid_t run(const struct pg_words *argv, const char *log)
{
    struct pg_words env = {0};
    pid_t pid;

    pg_server_env(&installed, &env);
    pid = fork();
    if (pid == 0) {
        int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || setgroups(0, NULL) < 0 ||
            setgid(NOBODY) < 0 || setuid(NOBODY) < 0 || chdir("/") < 0)
            _exit(126);
        (void)execve(argv->at[0], argv->at, env.at);
        _exit(127);
    }
    pg_words_done(&env);
    return pid;
}

/* initdb as whoever makes data for us to find does it, with this bootstrap superuser. */
static inline bool run_initdb(const char *superuser)
{
    struct pg_words argv = {0};
    char program[300], user[100];
    const char *const words[] = {program, "-D",    PG_DATA,     "--data-checksums",
                                 "-A",    "trust", "--no-sync", "--locale=C.UTF-8",
                                 "-E",    "UTF8",  "-U",        user};
    int status = -1;

    (void)snprintf(program, sizeof(program), "%s/initdb", installed.bin);
    (void)snprintf(user, sizeof(user), "%s", superuser);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        pg_words_add(&argv, strdup(words[i]));
    (void)waitpid(run(&argv, "/run/initdb.log"), &status, 0);
    pg_words_done(&argv);
    return status == 0 && put_file(PG_DATA "/" PG_USER_CONF, pg_user_conf_text(), NOBODY);
}

static inline bool wait_ready(int notify)
{
    uint64_t until = soon();

    while (clock_ms() < until) {
        struct pollfd p = {.fd = notify, .events = POLLIN};
        struct pg_notify n;
        char datagram[4096];
        ssize_t len;

        if (waitpid(postmaster, NULL, WNOHANG) != 0) {
            postmaster = 0;
            return false;
        }
        if (poll(&p, 1, 20) <= 0)
            continue;
        len = recv(notify, datagram, sizeof(datagram), 0);
        if (len > 0 && pg_notify_parse(datagram, (size_t)len, &n) && n.ready)
            return true;
    }
    return false;
}

static inline bool start(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = PG_NOTIFY};
    AUTO_CLOSE int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    AUTO_FREE char *conf = pg_conf_text(&server);
    struct pg_words argv = {0};
    struct err e;

    (void)unlink(PG_NOTIFY);
    (void)unlink(PG_SOCKET);
    (void)unlink(PG_SOCKET ".lock");
    if (bind(notify, (const struct sockaddr *)&at, sizeof(at)) < 0 || chmod(PG_NOTIFY, 0666) < 0 ||
        !put_file(PG_CONF, conf, 0) || !put_file(PG_HBA, pg_hba_text(), 0) ||
        !put_file(PG_IDENT, pg_ident_text(), 0) || pg_server_argv(&server, &argv, &e) < 0)
        return false;
    postmaster = run(&argv, "/run/server.log");
    pg_words_done(&argv);
    return wait_ready(notify);
}

/* Until every process of the server is gone: as the sandbox's end would do. */
static inline void stop(int number)
{
    if (postmaster > 0)
        (void)kill(postmaster, number);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
    postmaster = 0;
}

/* One value as that role, or "?" with the failure printed; "" for a statement without one. */
static inline const char *ask(const char *role, const char *database, const char *sql)
{
    static char value[300];
    struct pg_client c;
    struct err e;
    int fd = dial(NULL, &e);

    (void)snprintf(value, sizeof(value), "?");
    if (fd < 0 || pg_client_start(&c, fd, role, database, soon(), &e) < 0) {
        printf("# %s\n", e.msg);
        return "?";
    }
    if (pg_client_value(&c, sql, value, sizeof(value), &e) < 0) {
        if (e.kind == ERR_NOT_FOUND)
            value[0] = '\0';
        else
            printf("# %s\n", e.msg);
    }
    pg_client_close(&c);
    return value;
}

static inline bool run_tool(const char *const *argv)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        (void)execve(argv[0], (char *const *)(uintptr_t)argv, (char *[]){NULL});
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static inline bool copy_tree(const char *from, const char *to)
{
    return run_tool((const char *const[]){"/bin/cp", "-a", from, to, NULL});
}

static inline bool remove_tree(const char *at)
{
    return run_tool((const char *const[]){"/bin/rm", "-rf", at, NULL});
}

/* Servers listen on localhost:5432, as they do in their pods: tests side by side need one each. */
static inline bool own_network(void)
{
    AUTO_CLOSE int fd = -1;
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    if (unshare(CLONE_NEWNET) < 0)
        return false;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
}

/* NULL, or why there is no PostgreSQL to test with. */
static inline const char *t_pg_begin(void)
{
    static struct err e;

    if (getuid() != 0)
        return "needs root";
    if (pg_find("", "postgres", &installed, &e) < 0)
        return e.msg;
    if (!own_network())
        return "no network namespace of its own can be had";
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return make_places();
}
