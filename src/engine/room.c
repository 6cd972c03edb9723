/* How full the data of a running pod is, and telling its users with what before it is too late. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "pg/survey.h"
#include "pod-int.h"

enum { SHORT_PERCENT = 90, SURVEY_MS = 1500, SURVEY_AGAIN_MS = 60000, SENTENCE = 240 };

struct survey {
    struct pod *pod; /* NULL: it is gone, only the job is waited for */
    void (*after)(struct pod *p);
    struct job *job;
    char *sentence; /* owned: a page that the child shares with us */
    uint64_t at_ms;
};

/* ---- looking ---- */

/*
 * Not in a child: what ext4 answers here it knows without its disk. Of a network's file system
 * that cannot be said, so those are not looked at.
 */
bool pod_room_look(struct pod *p)
{
    struct statfs fs;

    if (p->places[0] == NULL || p->places[0]->place.driver != VOL_IMAGE ||
        statfs(p->dirs.volume, &fs) < 0)
        return false;
    p->room.total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    p->room.free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    p->room.files = fs.f_files;
    p->room.files_free = fs.f_ffree;
    return true;
}

static unsigned percent_of(uint64_t free_part, uint64_t all)
{
    return all == 0 ? 0 : (unsigned)((all - free_part) * 100 / all);
}

bool pod_room_short(const struct pod *p)
{
    return p->disks[0].held || percent_of(p->room.free, p->room.total) >= SHORT_PERCENT ||
           percent_of(p->room.files_free, p->room.files) >= SHORT_PERCENT;
}

/* ---- saying ---- */

static int dial(void *pod, struct err *e)
{
    return pod_dial(pod, e);
}

static int survey(void *arg, struct err *e)
{
    const struct survey *s = arg;
    struct pod *p = s->pod;
    struct pg_dial way = {.dial = dial, .of = p};
    AUTO_CLOSE int top = open(p->dirs.volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int pod =
        top < 0 ? -1 : fd_open_beneath(top, VOL_DIR_POD, O_RDONLY | O_DIRECTORY, e);

    if (pod < 0)
        return err_set_os(e, errno, "could not open volume \"%s\"", p->spec->disks[0].volume);
    return pg_survey(&(struct pg_survey_ask){.pod_fd = pod,
                                             .way = &way,
                                             .superuser = p->spec->superuser,
                                             .deadline = clock_ms() + SURVEY_MS,
                                             .inodes = p->room.files},
                     s->sentence, SENTENCE, e) < 0
               ? -1
               : 0;
}

static void tell(struct pod *p, const char *with)
{
    struct engine *engine = &p->local->engine;
    char used[16], all[16];
    struct err e;

    (void)str_size(used, sizeof(used), p->room.total - p->room.free);
    (void)str_size(all, sizeof(all), p->room.total);
    if (p->disks[0].held)
        (void)err_set(&e, ERR_NO_SPACE,
                      "the hub's disk is nearly full: yours cannot grow until there is room again, "
                      "deleting works%s%s",
                      with[0] == '\0' ? "" : "; largest: ", with);
    else
        (void)err_set(&e, ERR_NO_SPACE, "your disk is %u%% full (%s of %s, %u%% of its files)%s%s",
                      percent_of(p->room.free, p->room.total), used, all,
                      percent_of(p->room.files_free, p->room.files), with[0] == '\0' ? "" : ": ",
                      with);
    p->told_full = true;
    engine->on_event(engine->owner, p->id, ENGINE_ROOM, &e);
}

static void surveyed(void *owner, int status, const struct err *e)
{
    struct survey *s = owner;
    struct pod *p = s->pod;
    void (*after)(struct pod *) = s->after;

    (void)status;
    s->job = NULL;
    s->after = NULL;
    s->sentence[SENTENCE - 1] = '\0';
    if (e != NULL) {
        log_err(NULL, LOG_WARN_, e);
        s->sentence[0] = '\0';
    }
    tell(p, s->sentence);
    if (after != NULL)
        after(p);
}

static struct survey *survey_new(struct pod *p)
{
    struct survey *s = mem_new(sizeof(*s));

    s->sentence = mmap(NULL, SENTENCE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->sentence == MAP_FAILED) {
        free(s);
        return NULL;
    }
    s->pod = p;
    return s;
}

void pod_survey(struct pod *p, void (*after)(struct pod *p))
{
    struct survey *s = p->survey == NULL ? survey_new(p) : p->survey;
    struct err e;

    p->survey = s;
    if (s == NULL || s->job != NULL) {
        if (after != NULL)
            after(p);
        return;
    }
    s->after = after;
    s->at_ms = loop_now(p->local->loop);
    s->sentence[0] = '\0';
    s->job = job_start(&(struct job_spec){.loop = p->local->loop,
                                          .what = "look at what fills a disk",
                                          .run = survey,
                                          .arg = s,
                                          .done = surveyed,
                                          .owner = s,
                                          .limit_ms = 2 * SURVEY_MS},
                       &e);
    if (s->job == NULL)
        surveyed(s, -1, &e);
}

void pod_survey_forget(struct pod *p)
{
    struct survey *s = p->survey;

    if (s == NULL)
        return;
    p->survey = NULL;
    if (s->job != NULL) {
        job_forget(s->job);
        job_kill(s->job);
    }
    (void)munmap(s->sentence, SENTENCE);
    free(s);
}

void pod_room_changed(struct pod *p)
{
    struct engine *engine = &p->local->engine;
    uint64_t now = loop_now(p->local->loop);

    if (pod_room_short(p)) {
        if (!p->told_full || p->survey == NULL || now - p->survey->at_ms > SURVEY_AGAIN_MS)
            pod_survey(p, NULL);
    } else if (p->told_full) {
        p->told_full = false;
        engine->on_event(engine->owner, p->id, ENGINE_ROOM, NULL);
    }
}
