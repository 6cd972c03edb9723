/*
 * escape-kit                    run every probe; exit 0 only when all are contained
 * escape-kit --others 5,6 ...   with the host pids of another user's pod
 * escape-kit inventory          what this process is and has, to be held against golden.txt
 * escape-kit hold|bomb|noise|crash|litter|race|target ...   attacks that are measured from outside
 */
#include "kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOTHING, CONTAINED, NOT_TRIED, ESCAPED };
enum { PROBE_S = 20, SLURP_MAX = 1 << 20 };

static struct said {
    int verdict;
    char words[200];
} * said;

int kit_others[64];
const char *kit_secret;

static void say(int verdict, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void say(int verdict, const char *format, va_list args)
{
    size_t len = strlen(said->words);
    char words[160];

    (void)vsnprintf(words, sizeof(words), format, args);
    if (verdict > said->verdict) {
        said->verdict = verdict;
        len = 0;
    } else if (verdict < said->verdict || strstr(said->words, words) != NULL) {
        return;
    }
    (void)snprintf(said->words + len, sizeof(said->words) - len, "%s%s", len > 0 ? ", " : "",
                   words);
}

void contained(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(CONTAINED, format, args);
    va_end(args);
}

void escaped(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(ESCAPED, format, args);
    va_end(args);
}

void not_tried(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(NOT_TRIED, format, args);
    va_end(args);
}

const char *errno_name(int number)
{
    static char other[16];
    const char *name = strerrorname_np(number);

    if (name != NULL)
        return name;
    (void)snprintf(other, sizeof(other), "errno %d", number);
    return other;
}

void refused(long result, const char *what)
{
    int number = errno;

    if (result >= 0)
        escaped("%s", what);
    else
        contained("%s", errno_name(number));
}

void forbidden(long result, const char *what)
{
    int number = errno;

    if (result >= 0 || (number != EPERM && number != ENOSYS))
        escaped("%s%s%s", what, result >= 0 ? "" : ": ", result >= 0 ? "" : errno_name(number));
    else
        contained("%s", errno_name(number));
}

void must_fail(int (*fn)(const void *arg), const void *arg, const char *what)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(fn(arg) == 0 ? 0 : errno);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        not_tried("no process for %s", what);
    else if (WIFSIGNALED(status))
        contained("SIG%s", sigabbrev_np(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 0)
        escaped("%s", what);
    else
        contained("%s", errno_name(WEXITSTATUS(status)));
}

const char *slurp(const char *path)
{
    static char empty[1];
    char *text = malloc(SLURP_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0 || text == NULL)
        return empty;
    while (len < SLURP_MAX && (n = read(fd, text + len, SLURP_MAX - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    text[len] = '\0';
    return text;
}

static const char *verdict_name(int verdict)
{
    return verdict == CONTAINED ? "CONTAINED" : verdict == NOT_TRIED ? "NOT TRIED" : "ESCAPED";
}

static int run_one(const struct probe *p)
{
    int status = 0;
    pid_t pid;

    memset(said, 0, sizeof(*said));
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        (void)alarm(PROBE_S);
        p->run(p->arg);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        not_tried("no process to try it in");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        contained("SIGSYS");
    else if (WIFSIGNALED(status))
        escaped("the probe died of SIG%s", sigabbrev_np(WTERMSIG(status)));
    if (said->verdict == NOTHING)
        contained("-");
    (void)printf("%s %s: %s (%s)\n", p->row, p->name, verdict_name(said->verdict), said->words);
    return said->verdict;
}

static int run_all(void)
{
    static const struct probe *const tables[] = {who_probes,    files_probes, proc_probes,
                                                 spaces_probes, calls_probes, net_probes,
                                                 more_probes};
    int count[ESCAPED + 1] = {0};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        for (const struct probe *p = tables[i]; p->row != NULL; p++)
            count[run_one(p)]++;
    (void)printf("%d contained, %d escaped, %d not tried\n", count[CONTAINED], count[ESCAPED],
                 count[NOT_TRIED]);
    return count[ESCAPED] == 0 ? 0 : 1;
}

static int read_options(char **words)
{
    size_t n = 0;

    for (; words[0] != NULL && words[1] != NULL; words += 2) {
        if (strcmp(words[0], "--secret") == 0) {
            kit_secret = words[1];
        } else if (strcmp(words[0], "--others") == 0) {
            for (char *at = words[1]; *at != '\0' && n < 63; at += *at == ',')
                kit_others[n++] = (int)strtol(at, &at, 10);
        } else {
            return -1;
        }
    }
    return words[0] == NULL ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(char **words);
    } modes[] = {{"inventory", mode_inventory}, {"calls", mode_calls},   {"target", mode_target},
                 {"hold", mode_hold},           {"bomb", mode_bomb},     {"noise", mode_noise},
                 {"crash", mode_crash},         {"litter", mode_litter}, {"race", mode_race}};

    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            return modes[i].run(argv + 2);
    said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (said == MAP_FAILED || read_options(argv + 1) < 0) {
        (void)fprintf(stderr, "usage: escape-kit [--others PID,PID...] [--secret PATH]\n");
        return 2;
    }
    return run_all();
}
