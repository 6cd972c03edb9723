/*
 * kit.h: the escape kit: a program that its user starts in their own pod (COPY ... TO PROGRAM) and
 * that tries everything that must not work there. One probe a function, each in a process of its
 * own; static, so that it needs nothing of the pod.
 */
#pragma once

#include <stddef.h>

/* What a probe found. Several may be said: the worst one counts, and its first words. */
void contained(const char *format, ...) __attribute__((format(printf, 1, 2)));
void escaped(const char *format, ...) __attribute__((format(printf, 1, 2)));
void not_tried(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What a system call answered: it must have failed; errno is named. */
void refused(long result, const char *what);
/* The same, but failing is not enough: the filter itself must have said no (EPERM, ENOSYS). */
void forbidden(long result, const char *what);
/* fn must fail or die: run in a child, escaped when it returns 0. */
void must_fail(int (*fn)(const void *arg), const void *arg, const char *what);

struct probe {
    const char *row, *name;
    void (*run)(const void *arg);
    const void *arg;
};

/* Each file's probes; a row NULL ends the table. */
extern const struct probe who_probes[], files_probes[], proc_probes[], spaces_probes[],
    calls_probes[], net_probes[], more_probes[];

/* Host pids of another user's pod, given with --others, and what listens there; 0 ends them. */
extern int kit_others[64];
extern const char *kit_secret; /* --secret: a path of the host that holds one; NULL */

/* Words that name a mode of its own: each is given the words after it. */
int mode_inventory(char **words);
int mode_calls(char **words);
int mode_target(char **words);
int mode_hold(char **words);
int mode_bomb(char **words);
int mode_noise(char **words);
int mode_crash(char **words);
int mode_litter(char **words);
int mode_race(char **words);

/* The whole of a file of /proc and the like; "" when it cannot be read. Not freed by anybody. */
const char *slurp(const char *path);
/* "EPERM", or its number. */
const char *errno_name(int number);
