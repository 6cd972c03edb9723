/* run.h: the few programs of e2fsprogs and xfsprogs that volumes need, run and waited for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct vol_run {
    const char *package; /* the Debian package named when the program is missing */
    const char *const
        *argv;            /* argv[0] is looked for in /sbin and /usr/sbin; put "--" before names */
    int fd;               /* borrowed; the program sees it as descriptor 3. -1: none */
    int worst_ok;         /* exit statuses up to this one are success (e2fsck: 1, "corrected") */
    uint64_t deadline_ms; /* from the start; then it is killed */
};

#define VOL_RUN_FD 3

bool vol_run_found(const char *program);
/* Run to the end. Without standard input; what it printed goes into e when it fails. */
int vol_run(const struct vol_run *run, struct err *e);
