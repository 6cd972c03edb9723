/* memory-int.h: the memory of a pod, for the files memory*.c alone. */
#pragma once

#include "box/eaters.h"
#include "memory-plan.h"
#include "pod-int.h"

/* A group of processes whose memory is watched: a pod, or all of them. */
struct telling;

struct memory_watch {
    struct local *local;
    const char *id; /* of the pod; NULL: all */
    void (*act)(struct memory_watch *w);
    struct loop_io io;
    struct loop_timer timer;
    int fd; /* owned; -1: the host tells nothing, so it is looked at all the time */
    struct telling *telling; /* whose descriptor becomes fd when the kernel knows the levels */
    uint32_t events;
    uint64_t levels_of; /* the limit that fd was made for */
    struct memory_pace pace;
    uint64_t oom_kills;
    uint64_t killed; /* how many more the kernel has killed than at the look before */
};

enum victim_stage { VICTIM_ASKED, VICTIM_TOLD, VICTIM_SPARED };

/* A process that was asked to give its memory back. */
struct victim {
    struct box_eater_held held; /* owns the pidfd */
    pid_t pid;
    enum victim_stage stage;
    uint64_t weight, at_ms;
};

enum { VICTIMS = 32 };

/* What is to be said about those that were stopped, when it is known what they did. */
struct memory_story {
    int inside; /* as the server knows the largest of them; 0: nothing to say */
    uint64_t bytes;
    unsigned others;
    bool program, of_all;
    uint64_t limit;
    int64_t until_ms; /* since 1970 */
};

enum { STORY_QUERY = 150 };

struct memory_page {
    char query[STORY_QUERY];
    uint64_t ready_ms; /* until it took connections again, after a kill */
};

struct pod_memory {
    struct memory_watch watch;
    struct pod *pod;
    pid_t payload; /* 0: not looked for yet; its pidfd says that it is still the same */
    int payload_fd;
    struct victim victims[VICTIMS];
    size_t victims_n;
    struct memory_story now, next[2]; /* told by the job; gathered: of sessions, of programs */
    struct job *job;
    struct memory_page *page; /* owned; the child shares it with us */
    struct loop_timer story_timer;
    uint64_t kills, kills_next; /* by the kernel; being told, and not yet */
    char kill_line[64];         /* of the server's log: the last that was read */
    uint64_t told_ms;
    uint64_t kill_ms, largest; /* when; what the largest process had at the last look */
};

/* ---- memory-tell.c ---- */

/* A victim was asked to stop; the words follow. */
void memory_story_add(struct pod_memory *m, const struct victim *v, bool of_all, uint64_t limit);
/* The kernel has killed n processes. */
void memory_story_killed(struct pod_memory *m, uint64_t n);
void memory_story_forget(struct pod_memory *m);
