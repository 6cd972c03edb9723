/*
 * job.h: slow or blocking work in a forked child, so that the loop never waits for a disk.
 *
 * The child is a copy of this process: it may use whatever memory and descriptors are there, and
 * whatever it changes of them is lost. It dies with its parent unless it is to become another
 * program that outlives us.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct job;

typedef int (*job_fn)(void *arg, struct err *e); /* in the child */
/*
 * e is NULL when the child returned 0, or exec'ed and then exited with 0; status is its wait status
 * (-1 unknown). The job is gone after this.
 */
typedef void (*job_done_fn)(void *owner, int status, const struct err *e);

struct job_spec {
    struct loop *loop;
    const char *what; /* static: for messages, "build a template" */
    job_fn run;
    void *arg; /* used in the child only, before the parent's copy can have changed */
    job_done_fn done;
    void *owner;
    uint64_t limit_ms; /* 0: none. Past it the child is killed and the job fails. */
    bool outlives_us;
    int birthplace; /* borrowed: a v2 cgroup for the child to be born in; 0 or -1: ours */
};

/* NULL with e filled when no child could be made; done is not called then. */
struct job *job_start(const struct job_spec *spec, struct err *e);
/* Kill it; done comes as usual. */
void job_kill(struct job *j);
/* Do not call done any more; the child goes on. */
void job_forget(struct job *j);
int job_pid(const struct job *j);
