#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"

extern char **environ;

int program_find(const char *name, char **ret_path, struct err *e)
{
    const char *dir = getenv("DORM_LIB");
    char own[4096];
    ssize_t n;

    if (dir != NULL) {
        *ret_path = mem_printf("%s/%s", dir, name);
        return 0;
    }
    n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (n < 0)
        return err_set_os(e, errno, "could not find this program's own directory");
    own[n] = '\0';
    *strrchr(own, '/') = '\0';
    *ret_path = mem_printf("%s/%s", own, name);
    return 0;
}

int program_start(const char *name, const char *const *argv, pid_t *ret_pid, struct err *e)
{
    AUTO_FREE char *path = NULL;
    sigset_t none;
    pid_t pid;

    if (program_find(name, &path, e) < 0)
        return -1;
    if (faccessat(AT_FDCWD, path, X_OK, 0) < 0)
        return err_set_os(e, errno, "could not find program \"%s\"", path);
    pid = fork();
    if (pid < 0)
        return err_set_os(e, errno, "could not start \"%s\"", name);
    if (pid == 0) {
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)setsid();
        (void)execve(path, (char *const *)(uintptr_t)argv, environ);
        _exit(127);
    }
    *ret_pid = pid;
    return 0;
}
