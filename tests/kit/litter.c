/*
 * G2-08 and G2-09: what a user leaves behind for root to find, lying still (litter) or changing
 * places all the time (race).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "kit.h"

static int touch(const char *name, mode_t mode)
{
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)fchmod(fd, mode);
    return fd;
}

static int odd_names(void)
{
    static const char *const names[] = {"new\nline",
                                        "\033[2J\033]0;title\a",
                                        "-rf",
                                        "--help",
                                        "\xff\xfe\xc0\x80",
                                        " ",
                                        "~",
                                        "*",
                                        "$(reboot)",
                                        "`id`",
                                        "..."};
    char longest[256];
    int n = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        n += touch(names[i], 0644) >= 0;
    memset(longest, 'n', 255);
    longest[255] = '\0';
    return n + (touch(longest, 0) >= 0);
}

static int odd_kinds(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int n = 0, fd;

    n += touch("setuid", 06777) >= 0;
    n += mkfifo("fifo", 0666) == 0;
    n += symlink("/etc/shadow", "link") == 0;
    n += symlink("/", "root") == 0;
    n += symlink("loop", "loop") == 0;
    n += mkdir("closed", 0) == 0;
    n += mkdir("sticky", 01777) == 0;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    n += bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    fd = touch("sparse", 0600);
    for (off_t size = (off_t)1 << 62; size > 0 && ftruncate(fd, size) < 0;)
        size >>= 1;
    fd = touch("labels", 0600);
    n += fd >= 0 && fsetxattr(fd, "user.kit", "\0\033[2J", 5, 0) == 0;
    n += link("setuid", "hard") == 0;
    for (int i = 0; i < 40; i++) {
        char from[16], to[16];

        (void)snprintf(from, sizeof(from), "l%d", i);
        (void)snprintf(to, sizeof(to), "l%d", i + 1);
        n += symlink(to, from) == 0;
    }
    return n;
}

static int deep(int depth)
{
    int n = 0, fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (; n < depth && mkdir("deep", 0700) == 0 && chdir("deep") == 0; n++)
        ;
    (void)!fchdir(fd);
    (void)close(fd);
    return n;
}

/* Also without the bit that lets their owner enter: root walks in all the same. */
static int many(int wanted)
{
    int n = 0, fd;
    char name[16];

    if (mkdir("many", 0700) < 0 || chdir("many") < 0)
        return 0;
    for (; n < wanted; n++) {
        (void)snprintf(name, sizeof(name), "%d", n);
        fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0);
        if (fd < 0)
            break;
        (void)close(fd);
    }
    (void)chmod(".", 0);
    (void)!chdir("..");
    return n;
}

/* litter DIRECTORY [FILES [DEPTH]] */
int mode_litter(char **words)
{
    int files = words[0] != NULL && words[1] != NULL ? (int)strtol(words[1], NULL, 10) : 1000;
    int depth = files > 0 && words[0] != NULL && words[1] != NULL && words[2] != NULL
                    ? (int)strtol(words[2], NULL, 10)
                    : 1000;

    int names, kinds;

    if (words[0] == NULL || (mkdir(words[0], 0700) < 0 && errno != EEXIST) || chdir(words[0]) < 0)
        return 2;
    names = odd_names();
    kinds = odd_kinds();
    depth = deep(depth);
    files = many(files);
    (void)printf("%d odd names, %d odd kinds, %d deep, %d files\n", names, kinds, depth, files);
    return 0;
}

/* ---- race ---- */

static const char *const aims[] = {
    "/etc", "/", "/proc/1/root", "/root", "/tmp", "../../../../../../etc", "/var/lib", "/usr"};

static int stop;

static void ended(int number)
{
    stop = number;
}

static void exchange(const char *a, const char *b)
{
    (void)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

/*
 * race DIRECTORY SECONDS NAME...: each NAME in DIRECTORY changes places with a link, a FIFO, a
 * directory, thousands of times a second; its own thing comes back at the end.
 */
int mode_race(char **words)
{
    struct timespec begun, now;
    unsigned long rounds = 0;
    double seconds;

    if (words[0] == NULL || words[1] == NULL || words[2] == NULL || chdir(words[0]) < 0)
        return 2;
    seconds = strtod(words[1], NULL);
    (void)signal(SIGTERM, ended);
    (void)mkdir("kit.dir", 0777);
    (void)mkfifo("kit.fifo", 0666);
    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        const char *aim = aims[rounds % (sizeof(aims) / sizeof(aims[0]))];

        (void)unlink("kit.link");
        (void)!symlink(kit_secret != NULL ? kit_secret : aim, "kit.link");
        for (char **name = words + 2; *name != NULL; name++) {
            exchange(*name, "kit.link");
            exchange(*name, "kit.link");
            exchange(*name, "kit.dir");
            exchange(*name, "kit.dir");
            exchange(*name, "kit.fifo");
            exchange(*name, "kit.fifo");
        }
        rounds++;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    } while (!stop && (double)(now.tv_sec - begun.tv_sec) < seconds);
    (void)printf("%lu rounds\n", rounds);
    return 0;
}
