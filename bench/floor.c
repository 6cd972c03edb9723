/*
 * The floors that wakes are held against, measured by the same clock on the same machine.
 *
 *     floor mounted N DATA-DIRECTORY UID          F:  bare postgres, exec to first answered query
 *     floor cloned N POOL TEMPLATE MOUNTPOINT UID Fc: the same on a clone made, attached and
 * mounted in that very moment
 *
 * Prints one number of milliseconds a line. No sandbox, no TLS, no password, no gate: what nobody
 * can go below who starts PostgreSQL at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/client.h"
#include "pg/install.h"
#include "vol/vol.h"

static struct pg_install install;

static void die(const char *what)
{
    (void)fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

static pid_t start(const char *data, const char *sockets, const char *notify, uid_t uid)
{
    AUTO_FREE char *program = mem_printf("%s/postgres", install.bin);
    AUTO_FREE char *place = mem_printf("unix_socket_directories=%s", sockets);
    AUTO_FREE char *environment = mem_printf("NOTIFY_SOCKET=%s", notify);
    const char *argv[] = {program,
                          "-D",
                          data,
                          "-c",
                          "shared_buffers=16MB",
                          "-c",
                          "huge_pages=off",
                          "-c",
                          "listen_addresses=",
                          "-c",
                          place,
                          "-c",
                          "fsync=on",
                          NULL};
    char *env[] = {environment, (char[]){"LC_ALL=C.UTF-8"}, NULL};
    pid_t pid = fork();
    int null;

    if (pid != 0)
        return pid;
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0 || setgroups(0, NULL) < 0 ||
        setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
        _exit(1);
    (void)execve(program, (char *const *)(uintptr_t)argv, env);
    _exit(127);
}

static int notify_socket(const char *path, uid_t uid)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)unlink(path);
    if (!str_copy(at.sun_path, sizeof(at.sun_path), path) ||
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || chown(path, uid, uid) < 0)
        die("could not make the notify socket");
    return fd;
}

static void wait_ready(int fd)
{
    char datagram[512];
    struct pollfd p = {.fd = fd, .events = POLLIN};

    for (;;) {
        ssize_t n;

        if (poll(&p, 1, 30000) != 1)
            die("PostgreSQL did not become ready");
        n = recv(fd, datagram, sizeof(datagram) - 1, 0);
        if (n > 0 && (datagram[n] = '\0', strstr(datagram, "READY=1") != NULL))
            return;
    }
}

static void first_query(const char *sockets)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pg_client c;
    char one[8];
    struct err e;

    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%.80s/.s.PGSQL.5432", sockets);
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        pg_client_start(&c, fd, "dorm_owner", "dorm_owner", clock_ms() + 10000, &e) < 0 ||
        pg_client_value(&c, "select 1", one, sizeof(one), &e) < 0)
        die("the first query failed");
    pg_client_close(&c);
}

/* From exec to the first answer; then a clean stop, which is not measured. */
static void one_start(const char *data, const char *scratch, uid_t uid, uint64_t began_us)
{
    AUTO_FREE char *notify = mem_printf("%s/notify", scratch);
    AUTO_CLOSE int fd = notify_socket(notify, uid);
    uint64_t from = began_us == 0 ? clock_us() : began_us;
    pid_t pid = start(data, scratch, notify, uid);

    wait_ready(fd);
    first_query(scratch);
    printf("%.3f\n", (double)(clock_us() - from) / 1000);
    (void)fflush(stdout);
    (void)kill(pid, SIGINT);
    (void)waitpid(pid, NULL, 0);
}

static void on_volume(int n, char **argv, const char *scratch, bool each_time)
{
    struct vol_pool_spec spec = {.dir = argv[3], .size = 0, .hub = argv[7]};
    struct vol_pool pool = {.dir_fd = -1, .images_fd = -1};
    uid_t uid = (uid_t)strtoul(argv[6], NULL, 10);
    AUTO_FREE char *data = mem_printf("%s/" VOL_DIR_POD "/data", argv[5]);
    struct vol_attach attach = {.image = "floor", .mountpoint = argv[5], .uid = uid, .gid = uid};
    struct err e;

    if (vol_pool_open(&spec, &pool, &e) < 0)
        die(e.msg);
    for (int i = 0; i < n; i++) {
        uint64_t from = 0;

        if (each_time || i == 0) {
            if (vol_detach(argv[5], &e) < 0 || vol_destroy(&pool, "floor", &e) < 0)
                die(e.msg);
            from = clock_us();
            if (vol_clone(&pool, argv[4], "floor", &e) < 0 || vol_attach(&pool, &attach, &e) < 0)
                die(e.msg);
        }
        one_start(data, scratch, uid, each_time ? from : 0);
    }
    if (vol_detach(argv[5], &e) < 0 || vol_destroy(&pool, "floor", &e) < 0)
        die(e.msg);
    vol_pool_done(&pool);
}

int main(int argc, char **argv)
{
    char scratch[] = "/tmp/dorm-floor-XXXXXX";
    struct err e;
    uid_t uid;
    int n;

    if (argc < 5 || pg_find("", "postgres", &install, &e) < 0)
        die("usage: floor mounted N DATA UID | floor volume|cloned N POOL TEMPLATE MOUNTPOINT UID "
            "HUB");
    n = (int)strtol(argv[2], NULL, 10);
    uid = (uid_t)strtoul(argv[argc == 5 ? 4 : 6], NULL, 10);
    if (mkdtemp(scratch) == NULL || chown(scratch, uid, uid) < 0)
        die("could not make a scratch directory");
    if (str_is(argv[1], "mounted"))
        for (int i = 0; i < n; i++)
            one_start(argv[3], scratch, uid, 0);
    else
        on_volume(n, argv, scratch, str_is(argv[1], "cloned"));
    AUTO_FREE char *notify = mem_printf("%s/notify", scratch);
    (void)unlink(notify);
    (void)rmdir(scratch);
    return 0;
}
