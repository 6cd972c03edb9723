/* G2-12, G2-16, G2-18: bombs, garbage for whoever listens outside, and crashes without end. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kit.h"

/* A child of a child is pid 1's to reap; as many as there may be, all the time, ignoring signals.
 */
static void zombies(void)
{
    for (;;) {
        pid_t pid = fork();

        if (pid == 0) {
            if (fork() >= 0)
                _exit(0);
            _exit(0);
        }
    }
}

static void *spin(void *arg)
{
    for (volatile unsigned long n = 0;; n++)
        ;
    return arg;
}

static void threads(void)
{
    pthread_t thread;

    for (;;)
        (void)pthread_create(&thread, NULL, spin, NULL);
}

static void forks(void)
{
    for (;;)
        (void)fork();
}

int mode_bomb(char **words)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGQUIT, SIG_IGN);
    if (words[0] == NULL || fork() > 0)
        return 0;
    (void)setsid();
    (void)fclose(stdout);
    if (strcmp(words[0], "forks") == 0)
        forks();
    else if (strcmp(words[0], "threads") == 0)
        threads();
    else if (strcmp(words[0], "zombies") == 0)
        zombies();
    return 2;
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void notify_noise(double until)
{
    static const char *const said[] = {"READY=1",
                                       "STATUS=\xff\xfe\033[2J",
                                       "MAINPID=1\nREADY=1\nFDSTORE=1",
                                       "",
                                       "WATCHDOG=trigger\nEXTEND_TIMEOUT_USEC=18446744073709551615",
                                       "STOPPING=1"};
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/dorm/notify"};
    static char big[60000];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unsigned long sent = 0;

    memset(big, 'A', sizeof(big));
    while (now() < until) {
        const char *what = said[sent++ % 6];

        (void)sendto(fd, what, strlen(what), 0, (struct sockaddr *)&a, sizeof(a));
        (void)sendto(fd, big, sent % sizeof(big), 0, (struct sockaddr *)&a, sizeof(a));
    }
    (void)printf("%lu datagrams\n", sent);
}

/* The server's log: lines without an end, NUL, escapes; pid 2 is the server, 2 its stderr. */
static void log_noise(double until)
{
    static char block[1 << 16];
    unsigned long sent = 0;
    int fd = open("/proc/2/fd/2", O_WRONLY | O_CLOEXEC | O_NONBLOCK);

    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 131 % 251);
    while (fd >= 0 && now() < until) {
        (void)memset(block, (sent / 64) % 2 ? 'A' : '\0', sent % sizeof(block));
        sent += write(fd, block, sizeof(block)) > 0;
    }
    (void)printf("%lu blocks\n", sent);
}

int mode_noise(char **words)
{
    double until = now() + (words[0] != NULL && words[1] != NULL ? strtod(words[1], NULL) : 1);

    if (words[0] != NULL && strcmp(words[0], "notify") == 0)
        notify_noise(until);
    else
        log_noise(until);
    return 0;
}

int mode_crash(char **words)
{
    long n = words[0] != NULL ? strtol(words[0], NULL, 10) : 1;

    for (long i = 0; i < n; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            (void)raise(SIGSEGV);
            _exit(0);
        }
        (void)waitpid(pid, NULL, 0);
    }
    return 0;
}
