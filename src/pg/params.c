#include "params.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

enum { SAID_MAX = 256 << 10, NAMES_MAX = 2000, NOBODY = 65534 };

/* ---- what it says ---- */

/* The rest of the first line that has the word in it; NULL when there is none. */
static const char *after(const char *said, const char *word, size_t *ret_len)
{
    const char *at = strstr(said, word);

    if (at == NULL)
        return NULL;
    at += strlen(word);
    *ret_len = strcspn(at, "\n");
    return at;
}

static bool has(const char *line, size_t len, const char *words)
{
    return memmem(line, len, words, strlen(words)) != NULL;
}

/* "is not valid; available values: a, b": as a part of a sentence of ours. */
static void say_invalid(const char *said, char why[PG_FAULT_SIZE])
{
    char shown[PG_FAULT_SIZE - 20];
    size_t len = 0;
    const char *more = after(said, "HINT:  ", &len);

    if (more == NULL)
        more = after(said, "DETAIL:  ", &len);
    if (more == NULL || len < 2) {
        (void)snprintf(why, PG_FAULT_SIZE, "is not valid");
        return;
    }
    len -= more[len - 1] == '.';
    (void)snprintf(why, PG_FAULT_SIZE, "is not valid; %s",
                   str_show(shown, sizeof(shown), more, len));
    if (why[14] >= 'A' && why[14] <= 'Z')
        why[14] = (char)(why[14] | 0x20);
}

/* "1 kB is outside the valid range for parameter "work_mem" (64 .. 2147483647)" */
static bool say_range(const char *line, size_t len, const char *value, char why[PG_FAULT_SIZE])
{
    static const char words[] = " is outside the valid range";
    const char *at = memmem(line, len, words, sizeof(words) - 1), *bounds;
    char is[40], shown[80];
    size_t n;

    if (at == NULL)
        return false;
    n = (size_t)(at - line);
    (void)str_show(is, sizeof(is), line, n);
    bounds = memrchr(at, '(', len - n);
    if (bounds == NULL)
        bounds = at + sizeof(words) - 1;
    (void)str_show(shown, sizeof(shown), bounds, len - (size_t)(bounds - line));
    if (str_is(is, value))
        (void)snprintf(why, PG_FAULT_SIZE, "is outside the valid range %s", shown);
    else
        (void)snprintf(why, PG_FAULT_SIZE, "means %s, which is outside the valid range %s", is,
                       shown);
    return true;
}

enum pg_fault pg_fault_parse(const char *said, bool ok, const struct pg_install *install,
                             const struct pg_param *p, char why[PG_FAULT_SIZE])
{
    size_t len = 0;
    const char *line = ok ? NULL : after(said, "FATAL:  ", &len);

    why[0] = '\0';
    if (ok)
        return PG_FAULT_NONE;
    if (line == NULL)
        line = after(said, "ERROR:  ", &len);
    if (line == NULL)
        return PG_FAULT_UNKNOWN;
    if (has(line, len, "unrecognized configuration parameter")) {
        (void)snprintf(why, PG_FAULT_SIZE, "PostgreSQL %d has no such setting", install->major);
        return PG_FAULT_NAME;
    }
    if (has(line, len, "cannot be changed") || has(line, len, "cannot be set")) {
        (void)snprintf(why, PG_FAULT_SIZE, "cannot be set: PostgreSQL only shows it");
        return PG_FAULT_NAME;
    }
    if (has(line, len, "requires a Boolean value"))
        (void)snprintf(why, PG_FAULT_SIZE, "is not valid; write on or off");
    else if (has(line, len, "invalid value for parameter"))
        say_invalid(said, why);
    else if (!say_range(line, len, p->value, why)) {
        int n = snprintf(why, PG_FAULT_SIZE, "is refused by PostgreSQL: ");

        (void)str_show(why + n, PG_FAULT_SIZE - (size_t)n, line, len);
    }
    return PG_FAULT_VALUE;
}

size_t pg_names_parse(char *text, const char **ret_names, size_t max)
{
    size_t n = 0;

    while (n < max && *text != '\0') {
        size_t name = strcspn(text, "\t\n"), line = strcspn(text, "\n");
        bool more = text[line] == '\n', is_one = text[name] == '\t' && name > 0;

        text[name] = '\0';
        if (is_one)
            ret_names[n++] = text;
        text += line + more;
    }
    return n;
}

/* ---- the program ---- */

static _Noreturn void become(char *const *argv, int out)
{
    char *const env[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"LC_ALL=C"}, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                           setresuid(NOBODY, NOBODY, NOBODY) < 0))
        _exit(127);
    if (chdir("/") == 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO &&
        dup2(out, STDOUT_FILENO) == STDOUT_FILENO && dup2(out, STDERR_FILENO) == STDERR_FILENO)
        (void)execve(argv[0], argv, env);
    _exit(127);
}

/* All it says, NUL added. -1: not to its end. */
static int read_all(int fd, char *at, size_t size, uint64_t deadline)
{
    size_t len = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_ms();
        ssize_t n;

        if (now >= deadline || len == size - 1)
            return -1;
        n = poll(&p, 1, (int)(deadline - now < 1000 ? deadline - now : 1000));
        if (n == 0 || (n < 0 && errno == EINTR))
            continue;
        n = read(fd, at + len, size - 1 - len);
        if (n <= 0) {
            at[len] = '\0';
            return n < 0 ? -1 : 0;
        }
        len += (size_t)n;
    }
}

/* Takes argv. Returns 1 when it exited with 0, 0 when with something else. */
static int run(struct pg_words *argv, char *said, uint64_t deadline, struct err *e)
{
    AUTO_CLOSE int in = -1, out = -1;
    int fds[2], status = 0, r;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        pg_words_done(argv);
        return err_set_os(e, errno, "could not create a pipe");
    }
    in = fds[0];
    out = fds[1];
    pid = fork();
    if (pid == 0)
        become(argv->at, out);
    pg_words_done(argv);
    if (pid < 0)
        return err_set_os(e, errno, "could not start PostgreSQL");
    close_fd(&out);
    r = read_all(in, said, SAID_MAX, deadline);
    (void)kill(pid, SIGKILL); /* it has said all; how it exited is settled before its output ends */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (r < 0)
        return err_set(e, ERR_BUSY, "PostgreSQL did not answer in time");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* There is no configuration in /proc, nor can anybody put one there. */
static struct pg_words ask_words(const struct pg_install *install, const char *shown)
{
    struct pg_words w = {0};

    pg_words_add(&w, mem_printf("%s/postgres", install->bin));
    pg_words_add(&w, mem_copy("-C"));
    pg_words_add(&w, mem_copy(shown));
    pg_words_add(&w, mem_copy("-D"));
    pg_words_add(&w, mem_copy("/proc"));
    pg_words_add(&w, mem_copy("-c"));
    pg_words_add(&w, mem_copy("config_file=/dev/null"));
    return w;
}

static void ask_about(struct pg_words *w, const struct pg_param *p)
{
    pg_words_add(w, mem_copy("-c"));
    pg_words_add(w, mem_printf("%s=%s", p->name, p->value));
}

struct check {
    const struct pg_install *install;
    const struct pg_param *params;
    size_t n;
    uint64_t deadline;
    char *said;     /* owned: of the last run */
    char *describe; /* owned: what names points into; NULL until somebody misses a name */
    const char **names;
    size_t names_n;
};

static void learn_names(struct check *c)
{
    struct pg_words w = {0};
    struct err ignored;

    if (c->describe != NULL)
        return;
    c->describe = mem_new(SAID_MAX);
    c->names = mem_new(NAMES_MAX * sizeof(*c->names));
    pg_words_add(&w, mem_printf("%s/postgres", c->install->bin));
    pg_words_add(&w, mem_copy("--describe-config"));
    if (run(&w, c->describe, c->deadline, &ignored) == 1)
        c->names_n = pg_names_parse(c->describe, c->names, NAMES_MAX);
}

static void suggest(struct check *c, const char *name, char why[PG_FAULT_SIZE])
{
    const char *nearest;
    char shown[64];
    size_t len = strlen(why);

    learn_names(c);
    nearest = str_nearest(name, c->names, c->names_n);
    if (nearest != NULL)
        (void)snprintf(why + len, PG_FAULT_SIZE - len, "; did you mean %s?",
                       str_show(shown, sizeof(shown), nearest, strlen(nearest)));
}

/* What our own command line would not take, whatever PostgreSQL says. */
static bool refuse(const struct pg_param *p, char why[PG_FAULT_SIZE])
{
    struct err e;
    size_t n = strlen(p->name);

    if (pg_param_check(p, &e) == 0)
        return false;
    /* the name is said before it */
    (void)snprintf(why, PG_FAULT_SIZE, "%.159s",
                   str_starts(e.msg, p->name) && e.msg[n] == ' ' ? e.msg + n + 1 : e.msg);
    return true;
}

static int ask_one(struct check *c, size_t i, enum pg_fault *ret, char why[PG_FAULT_SIZE],
                   struct err *e)
{
    struct pg_words w = ask_words(c->install, "port");
    int ok;

    ask_about(&w, &c->params[i]);
    ok = run(&w, c->said, c->deadline, e);
    if (ok < 0)
        return -1;
    *ret = pg_fault_parse(c->said, ok == 1, c->install, &c->params[i], why);
    if (*ret == PG_FAULT_NAME && has(why, strlen(why), "no such setting"))
        suggest(c, c->params[i].name, why);
    return *ret == PG_FAULT_UNKNOWN
               ? err_set(e, ERR_MISSING, "the program postgres of PostgreSQL %d cannot be run",
                         c->install->major)
               : 0;
}

/* Does it take all of them? 1, 0, -1. What shown is with them it has said last. */
static int ask_all(struct check *c, const char *shown, struct err *e)
{
    struct pg_words w = ask_words(c->install, shown);

    char why[PG_FAULT_SIZE];

    for (size_t i = 0; i < c->n; i++)
        if (!refuse(&c->params[i], why))
            ask_about(&w, &c->params[i]);
    return run(&w, c->said, c->deadline, e);
}

/* ---- settings that are right, and wrong together: they stop the start as well ---- */

static const struct pg_param *param_of(const struct check *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcasecmp(c->params[i].name, name) == 0)
            return &c->params[i];
    return NULL;
}

/* What a setting is with all of the others, or "". */
static const char *effective(struct check *c, const char *name)
{
    struct err ignored;
    char *end;

    if (ask_all(c, name, &ignored) != 1)
        return "";
    for (end = c->said + strlen(c->said); end > c->said && end[-1] == '\n';)
        *--end = '\0';
    end = strrchr(c->said, '\n');
    return end == NULL ? c->said : end + 1;
}

static void check_wal(struct check *c, pg_fault_fn fn, void *owner)
{
    const struct pg_param *level = param_of(c, "wal_level");
    char why[PG_FAULT_SIZE] = "";
    uint64_t senders;

    if (level == NULL || strcasecmp(level->value, "minimal") != 0)
        return;
    if (str_u64(effective(c, "max_wal_senders"), &senders) && senders > 0)
        (void)snprintf(why, sizeof(why), "needs max_wal_senders: 0 beside it");
    else if (strcasecmp(effective(c, "archive_mode"), "off") != 0)
        (void)snprintf(why, sizeof(why), "needs archive_mode: off beside it");
    if (why[0] != '\0')
        fn(owner, (size_t)(level - c->params), PG_FAULT_VALUE, why);
}

static void check_connections(struct check *c, pg_fault_fn fn, void *owner)
{
    const struct pg_param *most = param_of(c, "max_connections");
    const struct pg_setting *kept =
        pg_setting_find("superuser_reserved_connections", c->install->major);
    char why[PG_FAULT_SIZE];
    uint64_t all, reserved;

    if (most == NULL || kept == NULL || kept->value == NULL || !str_u64(kept->value, &reserved) ||
        !str_u64(effective(c, "max_connections"), &all) || all > reserved)
        return;
    (void)snprintf(why, sizeof(why), "leaves nobody a connection: %llu are kept for the owner",
                   (unsigned long long)reserved);
    fn(owner, (size_t)(most - c->params), PG_FAULT_VALUE, why);
}

static int check(struct check *c, pg_fault_fn fn, void *owner, struct err *e)
{
    int fine = ask_all(c, "port", e), r = fine < 0 ? -1 : 0;

    for (size_t i = 0; i < c->n; i++) {
        enum pg_fault fault = PG_FAULT_NONE;
        char why[PG_FAULT_SIZE];

        if (refuse(&c->params[i], why))
            fault = PG_FAULT_NAME;
        else if (r == 0 && fine == 0)
            r = ask_one(c, i, &fault, why, e);
        if (fault == PG_FAULT_NAME || fault == PG_FAULT_VALUE)
            fn(owner, i, fault, why);
    }
    if (fine == 1) {
        check_wal(c, fn, owner);
        check_connections(c, fn, owner);
    }
    return r;
}

int pg_params_check(const struct pg_install *install, const struct pg_param *params, size_t n,
                    uint64_t deadline, pg_fault_fn fn, void *owner, struct err *e)
{
    struct check c = {.install = install,
                      .params = params,
                      .n = n,
                      .deadline = deadline,
                      .said = mem_new(SAID_MAX)};
    int r = check(&c, fn, owner, e);

    free(c.said);
    free(c.describe);
    free(c.names);
    return r;
}
