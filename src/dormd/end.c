#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "dormd/backups.h"
#include "dormd/control.h"
#include "dormd/door.h"
#include "dormd/events.h"
#include "dormd/fleet.h"
#include "dormd/identity.h"
#include "dormd/tools.h"
#include "engine/local.h"
#include "store/store.h"

static void gate_gone(void *owner)
{
    struct hub *h = owner;

    loop_quit(h->loop);
}

static void all_asleep(void *owner)
{
    struct hub *h = owner;

    door_close(h->door, gate_gone, h);
}

void end_hub(struct hub *h, enum end_how how, struct call *c)
{
    struct err why;

    if (h->going_down) {
        struct err e;

        (void)err_set(&e, ERR_BUSY, "the hub is going down already");
        call_fail(c, &e);
        return;
    }
    h->going_down = true;
    h->purging = how == END_PURGE;
    h->end_call = c;
    call_hold(c); /* told at the very end, by end_finish */
    log_info(NULL, "going down%s", h->purging ? ", to be removed" : "");
    event_add(h, EVENT_HUB, NULL, NULL, "the hub goes down");
    (void)err_set(&why, ERR_BUSY, "the hub is going down");
    tools_end(h->tools, NULL, &why);
    fleet_down(h->fleet, all_asleep, h);
}

/* Everything we ever make in the state directory, the record last: without it nobody would know
 * what a purge that was interrupted still has to remove. */
static int remove_state(struct hub *h, struct err *e)
{
    static const char *const names[] = {
        "pool",          "locks",         "logs",
        "tls",           "password.key",  "mock.key",
        "demo.pgpass",   "run",           "dormd.log",
        "hub.yaml",      "hub.yaml.new",  "hub.yaml.before-restore",
        "restore.begun", BACKUP_RECORD,   "record.db.backup.part",
        "record.db-wal", "record.db-shm", "record.db.lock",
        "events",        "events.1",      "record.db",
    };

    events_free(h->events); /* what happens from now on would be written anew */
    h->events = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (fd_remove_tree(h->state_fd, names[i], e) < 0)
            return -1;
    if (h->default_place) {
        if (unlink(h->conf_path) < 0 && errno != ENOENT)
            return err_set_os(e, errno, "could not remove \"%s\"", h->conf_path);
        (void)rmdir("/etc/dormouse"); /* stays if the operator keeps anything there */
    }
    if (rmdir(h->state_dir) < 0)
        log_info(NULL, "\"%s\" stays: there are files in it that are not Dormouse's", h->state_dir);
    identity_forget(h);
    return 0;
}

/* So that a purge that is interrupted can be repeated: the pools it looks for may be gone by then.
 */
static int forget_pools(struct hub *h, struct err *e)
{
    for (size_t i = 0; i < h->conf->storage_n; i++) {
        AUTO_FREE char *key = mem_printf("pool.%s", h->conf->storage[i].name);

        if (store_setting_set(h->store, key, "", e) < 0)
            return -1;
    }
    return 0;
}

static int finish(struct hub *h, struct err *e)
{
    AUTO_CLOSE int run = open("/run", O_PATH | O_DIRECTORY | O_CLOEXEC);

    backups_stop(h); /* a child of theirs may be reading in a pool */
    if (h->purging && forget_pools(h, e) < 0)
        return -1;
    if ((h->purging ? local_destroy(h->engine, e) : local_leave(h->engine, e)) < 0)
        return -1;
    if (run < 0 || fd_remove_tree(run, strrchr(h->run_dir, '/') + 1, e) < 0)
        return -1;
    return h->purging ? remove_state(h, e) : 0;
}

int end_finish(struct hub *h, struct err *e)
{
    int r;

    if (!h->going_down)
        return 0; /* only this process ends: servers and sessions go on */
    r = finish(h, e);
    if (h->end_call != NULL)
        call_finish(h->end_call, r < 0 ? e : NULL);
    return r;
}
