#include "install.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"

#define VERSION_WAIT_MS 2000

int pg_image_parse(const char *image, int *ret_major, struct err *e)
{
    const char *p = image + strlen("postgres");
    char shown[100];
    long major = 0;

    str_show(shown, sizeof(shown), image, strlen(image));
    if (str_is(image, "postgres")) {
        *ret_major = 0;
        return 0;
    }
    if (str_starts(image, "postgres:") && isdigit((unsigned char)p[1])) {
        char *end;
        size_t rest;

        major = strtol(p + 1, &end, 10);
        rest = *end == '.' ? strspn(end + 1, "0123456789") : 0;
        if (*end == '.' && rest > 0)
            end += rest + 1;
        if (*end == '\0' && major >= PG_MAJOR_MIN && major <= PG_MAJOR_MAX) {
            *ret_major = (int)major;
            return 0;
        }
        if (*end == '\0') {
            (void)err_set(e, ERR_INPUT, "image \"%s\" is not supported: PostgreSQL %d to %d are",
                          shown, PG_MAJOR_MIN, PG_MAJOR_MAX);
            return err_hint(e, "write image: postgres for the newest that is installed");
        }
    }
    (void)err_set(e, ERR_INPUT, "\"%s\" is not an image of PostgreSQL", shown);
    return err_hint(e, "write image: postgres, or image: postgres:15");
}

int pg_version_parse(const char *text, int *ret_major, char *ret_version, size_t size)
{
    static const char before[] = "postgres (PostgreSQL) ";
    const char *p = text + sizeof(before) - 1;
    size_t n;
    long major;

    if (!str_starts(text, before) || !isdigit((unsigned char)*p))
        return -1;
    major = strtol(p, NULL, 10);
    n = strspn(p, "0123456789abcdefghijklmnopqrstuvwxyz.");
    if (major < 1 || major > 999 || n >= size)
        return -1;
    memcpy(ret_version, p, n);
    ret_version[n] = '\0';
    *ret_major = (int)major;
    return 0;
}

/* What the program says within the time; it is killed after that. */
static size_t read_until(int fd, char *at, size_t size, uint64_t deadline)
{
    size_t len = 0;

    while (len < size - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_ms();
        ssize_t n;

        if (now >= deadline || poll(&p, 1, (int)(deadline - now)) <= 0)
            break;
        n = read(fd, at + len, size - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    at[len] = '\0';
    return len;
}

static _Noreturn void exec_version(char *program, int out)
{
    char *const argv[] = {program, (char[]){"--version"}, NULL};
    char *const env[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"LC_ALL=C"}, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (dup2(null, STDIN_FILENO) == STDIN_FILENO && dup2(null, STDERR_FILENO) == STDERR_FILENO &&
        dup2(out, STDOUT_FILENO) == STDOUT_FILENO)
        (void)execve(program, argv, env);
    _exit(127);
}

static int ask_version(char *program, struct pg_install *ret)
{
    AUTO_CLOSE int in = -1, out = -1;
    char text[200];
    int fds[2], status;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    in = fds[0];
    out = fds[1];
    pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0)
        exec_version(program, out);
    close_fd(&out);
    (void)read_until(in, text, sizeof(text), clock_ms() + VERSION_WAIT_MS);
    (void)kill(pid, SIGKILL); /* it has said all that is read */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pg_version_parse(text, &ret->major, ret->version, sizeof(ret->version));
}

static bool is_program(const char *bin, const char *name)
{
    char path[300];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/%s", bin, name);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

struct found {
    struct pg_install *at;
    int n;
};

/* Kept newest first. Of two with one major, the directory looked at first stays. */
static void consider(struct found *f, const char *bin)
{
    struct pg_install candidate = {0};
    char program[300];
    int i = 0;

    if (f->n == PG_INSTALLS || !str_copy(candidate.bin, sizeof(candidate.bin), bin) ||
        !is_program(bin, "postgres") || !is_program(bin, "initdb"))
        return;
    (void)snprintf(program, sizeof(program), "%s/postgres", bin);
    if (ask_version(program, &candidate) < 0 || candidate.major < PG_MAJOR_MIN ||
        candidate.major > PG_MAJOR_MAX)
        return;
    while (i < f->n && f->at[i].major > candidate.major)
        i++;
    if (i < f->n && f->at[i].major == candidate.major)
        return;
    memmove(&f->at[i + 1], &f->at[i], (size_t)(f->n - i) * sizeof(f->at[0]));
    f->at[i] = candidate;
    f->n++;
}

/* Every dir/<start>*<end>. */
static void consider_all(struct found *f, const char *root, const char *dir, const char *start,
                         const char *end)
{
    char path[PATH_MAX];
    AUTO_CLOSEDIR DIR *d = NULL;
    struct dirent *entry;

    (void)snprintf(path, sizeof(path), "%s%s", root, dir);
    d = opendir(path);
    while (d != NULL && (entry = readdir(d)) != NULL) {
        int n;

        if (entry->d_name[0] == '.' || !str_starts(entry->d_name, start))
            continue;
        n = snprintf(path, sizeof(path), "%s%s/%s%s", root, dir, entry->d_name, end);
        if (n > 0 && (size_t)n < sizeof(path))
            consider(f, path);
    }
}

int pg_list(const char *root, struct pg_install ret[PG_INSTALLS], struct err *e)
{
    struct found f = {.at = ret};
    char path[PATH_MAX];

    if (strlen(root) > 200)
        return err_set(e, ERR_INPUT, "the path \"%.40s...\" is too long", root);
    consider_all(&f, root, "/usr/lib/postgresql", "", "/bin"); /* Debian */
    consider_all(&f, root, "/usr", "pgsql-", "/bin");          /* PostgreSQL's own RPM packages */
    (void)snprintf(path, sizeof(path), "%s/usr/local/pgsql/bin", root);
    consider(&f, path);
    (void)snprintf(path, sizeof(path), "%s/usr/bin", root);
    consider(&f, path);
    return f.n;
}

static int missing(int major, const struct pg_install *all, int n, struct err *e)
{
    char installed[100] = "";
    size_t len = 0;

    if (n == 0) {
        (void)err_set(e, ERR_MISSING,
                      "no PostgreSQL server is installed that can be used (%d to %d)", PG_MAJOR_MIN,
                      PG_MAJOR_MAX);
        return major == 0 ? err_hint(e, "apt-get install postgresql")
                          : err_hint(e, "apt-get install postgresql-%d", major);
    }
    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(installed + len, sizeof(installed) - len, "%s%d",
                                i == 0 ? "" : ", ", all[i].major);
    (void)err_set(e, ERR_MISSING, "PostgreSQL %d is not installed; installed: %s", major,
                  installed);
    return err_hint(e, "apt-get install postgresql-%d, or write image: postgres:%d", major,
                    all[0].major);
}

int pg_find(const char *root, const char *image, struct pg_install *ret, struct err *e)
{
    struct pg_install all[PG_INSTALLS];
    int major, n;

    if (pg_image_parse(image, &major, e) < 0)
        return -1;
    n = pg_list(root, all, e);
    if (n < 0)
        return -1;
    for (int i = 0; i < n; i++)
        if (major == 0 || all[i].major == major) {
            *ret = all[i];
            return 0;
        }
    return missing(major, all, n, e);
}
