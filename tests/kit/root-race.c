/*
 * root-race ROUNDS UID: what dormd does in a volume before each start (engine/pod.c, check_data),
 * by the same functions, while a program of that uid exchanges every name on the way with a link to
 * somewhere else. Prints how often root got in, was refused, and was led astray; exits 0 when
 * never.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "pg/control.h"
#include "pg/place.h"

#define MUST(what)         \
    do {                   \
        if (!(what)) {     \
            perror(#what); \
            exit(2);       \
        }                  \
    } while (0)

struct count {
    unsigned long in, refused, astray;
};

static void put(const char *path, uid_t uid)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    MUST(fd >= 0 && write(fd, "15\n", 3) == 3 && fchown(fd, uid, uid) == 0);
    (void)close(fd);
}

/* volume/pod/data as a user has it, and outside, which is root's. */
static void make_places(uid_t uid)
{
    static const char *const folders[] = {"volume", "volume/pod", "volume/pod/data",
                                          "volume/pod/data/global"};

    for (size_t i = 0; i < 4; i++)
        MUST(mkdir(folders[i], 0700) == 0 && (i == 0 || chown(folders[i], uid, uid) == 0));
    MUST(chmod("volume", 0711) == 0);
    put("volume/pod/data/PG_VERSION", uid);
    MUST(mkdir("outside", 0700) == 0 && mkdir("outside/global", 0700) == 0);
    put("outside/PG_VERSION", 0);
    put("outside/postmaster.pid", 0);
    MUST(symlink("../../outside", "volume/pod/link") == 0);
    MUST(symlink("../../../outside/global", "volume/pod/data/link") == 0);
    MUST(symlink("../../../outside/PG_VERSION", "volume/pod/data/version") == 0);
}

static void swap(const char *a, const char *b)
{
    (void)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static void racer(uid_t uid)
{
    MUST(chdir("volume/pod") == 0 && setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
         setresuid(uid, uid, uid) == 0);
    for (;;) {
        swap("data", "link");
        swap("data", "link");
        swap("data/global", "data/link");
        swap("data/PG_VERSION", "data/version");
        swap("data/global", "data/link");
        swap("data/PG_VERSION", "data/version");
    }
}

static void try_once(const struct stat *outside, struct count *c)
{
    AUTO_CLOSE int top = open("volume", O_PATH | O_DIRECTORY | O_CLOEXEC), data = -1;
    struct pg_control control;
    struct stat st;
    struct err e;

    data = fd_open_beneath(top, "pod/" PG_DATA_NAME, O_RDONLY | O_DIRECTORY, &e);
    if (data < 0) {
        c->refused++;
        return;
    }
    c->in++;
    if (fstat(data, &st) < 0 || (st.st_ino == outside->st_ino && st.st_dev == outside->st_dev))
        c->astray++;
    (void)unlinkat(data, "postmaster.pid", 0);
    (void)pg_control_read(data, &control, &e);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    uid_t uid = argc == 3 ? (uid_t)strtoul(argv[2], NULL, 10) : 0;
    struct count c = {0};
    struct stat outside, left;
    pid_t pid;

    if (rounds == 0 || uid == 0)
        return 2;
    make_places(uid);
    MUST(stat("outside", &outside) == 0);
    pid = fork();
    if (pid == 0)
        racer(uid);
    while (c.in + c.refused < rounds)
        try_once(&outside, &c);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)printf("%lu in, %lu refused, %lu astray, %s outside\n", c.in, c.refused, c.astray,
                 stat("outside/postmaster.pid", &left) == 0 ? "nothing changed" : "a file removed");
    return c.astray == 0 && stat("outside/postmaster.pid", &left) == 0 ? 0 : 1;
}
