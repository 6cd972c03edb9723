#include "restart.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "dormd/control.h"
#include "dormd/door.h"
#include "dormd/events.h"
#include "dormd/program.h"

/* A file that was replaced is another one, whatever its name; one that was removed says nothing. */
static bool is_another(const char *name, pid_t pid)
{
    AUTO_FREE char *path = NULL;
    char exe[32];
    struct stat runs, installed;
    struct err ignored;

    (void)snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
    if (program_find(name, &path, &ignored) < 0 || stat(exe, &runs) < 0 ||
        stat(path, &installed) < 0)
        return false;
    return runs.st_dev != installed.st_dev || runs.st_ino != installed.st_ino;
}

void restart_look(struct call *c)
{
    pid_t gate = door_gate(c->hub->door);

    call_columns(c, "field", "value");
    call_row(c, "dormd", is_another("dormd", getpid()) ? "another" : "installed");
    call_row(c, "gate", gate > 0 && is_another("dorm-gate", gate) ? "another" : "installed");
    call_done(c);
}

static void replaced(void *owner, const struct err *e)
{
    struct call *c = owner;
    struct door *d = c->hub->door;

    if (e == NULL) {
        event_add(c->hub, EVENT_GATE, NULL, NULL, "another gate took over; %zu sessions stay",
                  door_sessions_retired(d));
        call_say(c, "another gate has taken over; %zu sessions stay with the one before",
                 door_sessions_retired(d));
    }
    call_finish(c, e);
}

void restart_run(struct call *c)
{
    struct err e;

    if (c->hub->going_down) {
        (void)err_set(&e, ERR_BUSY, "the hub is going down");
        call_fail(c, &e);
    } else if (call_arg(c, "gate") == NULL) {
        log_info(NULL, "told to give way to another dormd");
        call_done(c);
        loop_quit(c->hub->loop);
    } else if (door_replace(c->hub->door, replaced, c, &e) < 0) {
        call_fail(c, &e);
    } else {
        call_hold(c);
    }
}
