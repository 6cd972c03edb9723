/* dormd: the daemon of one hub. From the command line to a loop that turns, and back. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/inject.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cert/cert.h"
#include "conf/conf.h"
#include "dormd/backup-restore.h"
#include "dormd/backups.h"
#include "dormd/classes.h"
#include "dormd/control.h"
#include "dormd/crowd.h"
#include "dormd/deed.h"
#include "dormd/demo.h"
#include "dormd/door.h"
#include "dormd/end.h"
#include "dormd/events.h"
#include "dormd/fleet.h"
#include "dormd/fresh.h"
#include "dormd/hub.h"
#include "dormd/identity.h"
#include "dormd/keeper.h"
#include "dormd/metrics.h"
#include "dormd/news.h"
#include "dormd/notify.h"
#include "dormd/parameters.h"
#include "dormd/people.h"
#include "dormd/tools.h"
#include "engine/local.h"
#include "store/store.h"

#define DEFAULT_STATE "/var/lib/dormouse"
#define DEFAULT_CONF  "/etc/dormouse/hub.yaml"

enum {
    STORE_PATIENCE_MS =
        5000,             /* a dormd that was killed may have children that end a little later */
    FIRST_LOOK_MS = 1000, /* a machine that is on for less than an hour a day has its turn, too */
    HOUR_MS = 3600000,
};

static const char usage_text[] =
    "usage: dormd [--state DIRECTORY] [--ready-fd N] [--pods-group GROUP]\n"
    "       dormd [--state DIRECTORY] --restore BACKUP\n"
    "       dormd --check FILE\n"
    "\n"
    "Runs one hub; `dorm up` starts it. The state directory is /var/lib/dormouse unless given.\n"
    "With --ready-fd, \"ready\" or what went wrong is written to that descriptor.\n"
    "With --pods-group, servers are put below that control group of v2, which somebody has\n"
    "delegated (\"/system.slice/dormouse-pods.service\"); without, below one at the top.\n"
    "With --restore, the hub is made from the backup at that absolute path, and not run.\n"
    "With --check, what is wrong with that hub file is printed, and nothing is run.\n";

struct options {
    const char *state;
    const char *restore; /* NULL: run */
    const char *check;   /* the same */
    const char *pods_group;
    int ready_fd;
};

/* ---- the record follows what happens ---- */

static void on_named(void *owner, const char *server)
{
    struct hub *h = owner;
    struct store_account account;
    struct err e;

    /* an ephemeral one is named anew at every wake */
    if (people_account(h, server, &account, &e) == 0 && people_ephemeral(h, &account))
        return;
    if (store_server_set_named(h->store, server, true, &e) < 0 ||
        store_disks_bound(h->store, server, &e) < 0)
        log_err(NULL, LOG_WARN_, &e); /* naming is repeated at the next wake, and finds it done */
}

static int on_renew(void *owner, const char *server, struct err *e)
{
    struct hub *h = owner;
    struct store_account account;
    struct people_want want;

    if (people_account(h, server, &account, e) < 0 || people_want_init(&want, h, &account, e) < 0)
        return -1;
    fleet_renew(h->fleet, &want.want);
    people_want_done(&want);
    return 0;
}

static void on_evicted(void *owner, const char *server, const struct err *why)
{
    const struct hub *h = owner;

    event_add((struct hub *)owner, EVENT_DISK, server, NULL, "%s", why->msg);
    door_kick(h->door, server, why);
}

static void on_dismissed(void *owner, const char *server, const struct err *why)
{
    const struct hub *h = owner;

    door_dismiss(h->door, server, why);
}

static void on_ask_quiet(void *owner, const char *server, uint64_t number)
{
    const struct hub *h = owner;

    door_ask_quiet(h->door, server, number);
}

static void on_told(void *owner, const char *server, const struct err *why)
{
    const struct hub *h = owner;

    event_add((struct hub *)owner, EVENT_MEMORY, server, NULL, "%s", why->msg);
    door_tell(h->door, server, why);
}

static void on_slow(void *owner, const char *server, const struct err *why)
{
    const struct hub *h = owner;

    door_slow(h->door, server, why);
}

static void event_of_life(struct hub *h, const char *server, enum life_state from,
                          enum life_state to)
{
    struct fleet_view view = fleet_look(h->fleet, server);
    char lasted[16];

    (void)str_duration(lasted, sizeof(lasted), view.lasted_ms);
    if (to == LIFE_AWAKE && from == LIFE_WAKING) {
        metrics_woke(h->metrics, view.lasted_ms);
        event_add(h, EVENT_WAKE, server, NULL, "woke within %llu ms",
                  (unsigned long long)view.lasted_ms);
    } else if (to == LIFE_AWAKE && from == LIFE_NAPPING)
        event_add(h, EVENT_WAKE, server, NULL, "woke from a nap of %s", lasted);
    else if (to == LIFE_NAPPING)
        event_add(h, EVENT_NAP, server, NULL, "naps, with %u client%s connected", view.sessions,
                  view.sessions == 1 ? "" : "s");
    else if (to == LIFE_FAILED)
        event_add(h, EVENT_FAIL, server, NULL, "%s",
                  view.failure == NULL ? "could not be woken" : view.failure);
    else if (to == LIFE_FORCING || to == LIFE_ABORTING)
        event_add(h, EVENT_FAIL, server, NULL,
                  "did not %s within %s: every process of it is killed",
                  to == LIFE_FORCING ? "stop" : "wake", lasted);
    else if (to == LIFE_ASLEEP && from == LIFE_AWAKE)
        event_add(h, EVENT_SLEEP, server, NULL, "ended by itself, after %s", lasted);
    else if (to == LIFE_ASLEEP && from == LIFE_STOPPING)
        event_add(h, EVENT_SLEEP, server, NULL, "fell asleep");
}

static void on_moved(void *owner, const char *server, enum life_state from, enum life_state to)
{
    struct hub *h = owner;
    struct err e;

    event_of_life(h, server, from, to);
    if (from != LIFE_STOPPING || to != LIFE_ASLEEP)
        return;
    /* when it was last of use; at its end, so that no wake waits for the disk */
    if (store_server_set_awake(h->store, server, clock_unix(), &e) < 0 && e.kind != ERR_NOT_FOUND)
        log_err(NULL, LOG_WARN_, &e);
    keeper_slept(h, server);
}

static void on_engine(void *owner, const char *server, enum engine_event event,
                      const struct err *why)
{
    struct hub *h = owner;

    if (event == ENGINE_EMPTY) {
        fresh_begin(h, server);
        return;
    }
    if (event == ENGINE_READY && why != NULL) {
        log_err(NULL, LOG_WARN_, why);
        news_leave(h, server, "%s%s%s", why->msg, why->hint[0] == '\0' ? "" : "; ", why->hint);
        why = NULL;
    }
    if (event == ENGINE_ROOM && why != NULL)
        event_add(h, EVENT_DISK, server, NULL, "%s", why->msg);
    fleet_event(h->fleet, server, event, why);
}

static void on_found(void *owner, const char *server)
{
    struct hub *h = owner;
    struct store_account account;
    struct people_want want;
    struct err e;

    if (people_account(h, server, &account, &e) < 0) {
        log_warn(NULL, "a pod of server %s runs, which the record does not know: left alone",
                 server);
        return;
    }
    if (people_want_init(&want, h, &account, &e) < 0) {
        log_err(NULL, LOG_ERROR_, &e);
        return;
    }
    fleet_found(h->fleet, &want.want);
    people_want_done(&want);
}

static int renew_certificate(struct hub *h, struct err *e)
{
    AUTO_CLOSE int dir = fd_open_dir(h->state_fd, "tls", 0711, e);
    AUTO_FREE struct cert_names *names = mem_new(sizeof(*names));

    return dir < 0 || cert_names_of_machine(names, h->conf->hub, h->conf->domain, e) < 0
               ? -1
               : cert_ensure(dir, names, clock_unix(), e);
}

static void every_hour(struct loop_timer *t)
{
    struct hub *h = list_of(t, struct hub, hourly);
    /* a machine without a clock of its own jumps by years when it hears the time */
    bool clock_is_set = clock_unix() > CLOCK_LEAST;
    struct err e;
    int done;

    if (clock_is_set)
        keeper_sweep(h);
    deed_drop_leftovers(h);
    done = renew_certificate(h, &e);
    if (done < 0 || (done > CERT_KEPT && door_new_certificate(h->door, &e) < 0))
        log_err(NULL, LOG_WARN_, &e);
    loop_timer_set(h->loop, t, loop_now(h->loop) + HOUR_MS, every_hour);
}

/* ---- start ---- */

/* No server would start with a setting that PostgreSQL refuses. */
static int check_parameters(struct hub *h, struct err *e)
{
    static struct conf_problems problems;
    int r = parameters_check(h->conf, &problems, e);

    for (unsigned i = 0; i < problems.n; i++)
        log_error(NULL, "%s", problems.at[i].text);
    if (r > 0)
        log_err(NULL, LOG_WARN_, e);
    return r < 0 ? -1 : 0;
}

static int load_conf(struct hub *h, struct err *e)
{
    static struct conf_problems problems;

    if (h->default_place && mkdir("/etc/dormouse", 0755) < 0 && errno != EEXIST)
        return err_set_os(e, errno, "could not make /etc/dormouse");
    if (conf_write_default(h->conf_path, e) < 0)
        return -1;
    if (conf_load(h->conf_path, &h->conf, &problems, e) == 0)
        return check_parameters(h, e);
    for (unsigned i = 0; i < problems.n; i++)
        log_error(NULL, "%s", problems.at[i].text);
    return -1;
}

static int open_store(struct hub *h, struct err *e)
{
    AUTO_FREE char *path = mem_printf("%s/record.db", h->state_dir);
    uint64_t deadline = clock_ms() + STORE_PATIENCE_MS;

    for (;;) {
        struct timespec pause = {.tv_nsec = 20000000};

        if (store_open(path, &h->store, e) == 0)
            return 0;
        if (e->kind != ERR_BUSY || clock_ms() > deadline)
            break;
        (void)nanosleep(&pause, NULL);
    }
    if (e->kind == ERR_BUSY) {
        (void)err_set(e, ERR_BUSY, "another dormd runs the hub in %.200s", h->state_dir);
        return err_hint(e, "dorm status, or dorm down to end it");
    }
    return -1;
}

static int open_engine(struct hub *h, struct err *e)
{
    size_t n = h->conf->storage_n;
    AUTO_FREE struct class_texts *texts = mem_new(n * sizeof(*texts));
    struct vol_place_spec classes[CONF_CLASSES_MAX];
    AUTO_FREE char *own = mem_printf("%s/pool", h->state_dir);
    struct local_spec spec = {
        .loop = h->loop,
        .state_dir = h->state_dir,
        .run_dir = h->run_dir,
        .hub_id = h->id,
        .pods_group = h->pods_group,
        .classes = classes,
        .classes_n = n,
        .build_uid = hub_uid(h, HUB_UID_BUILD),
    };

    for (size_t i = 0; i < n; i++)
        if (class_describe(h, &h->conf->storage[i], own, &texts[i], &classes[i], e) < 0)
            return -1;
    h->engine = local_new(&spec, on_engine, h, e);
    if (h->engine == NULL)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (texts[i].id[0] == '\0' &&
            class_record(h, classes[i].class, local_place_id(h->engine, classes[i].class), e) < 0)
            return -1;
    return local_major(h->engine, h->conf->server.image_major, &h->major, e);
}

static int open_fleet(struct hub *h, struct err *e)
{
    struct fleet_hooks hooks = {
        .named = on_named,
        .moved = on_moved,
        .renew = on_renew,
        .evicted = on_evicted,
        .dismissed = on_dismissed,
        .ask_quiet = on_ask_quiet,
        .told = on_told,
        .slow = on_slow,
        .owner = h,
    };

    h->fleet = fleet_new(h->loop, h->engine, &hooks, h->conf->machine.mounted);
    h->tools = tools_new(h);
    return crowd_settle(h, e) < 0 ? -1 : h->engine->ops->observe(h->engine, on_found, h, e);
}

static void template_ready(void *owner, const char *what, const struct err *e)
{
    (void)what;
    *(struct err *)owner = e == NULL ? (struct err){0} : *e;
}

/* A hub that has been up keeps up those whose servers need no template: one class whose disk is
 * gone must not take the others along. */
static int without_template(struct hub *h, const struct err *e)
{
    struct err ignored;
    char made[8];

    if (store_setting_get(h->store, "demo.made", made, sizeof(made), &ignored) <= 0)
        return -1;
    log_err(NULL, LOG_ERROR_, e);
    return 0;
}

/* A first user must not wait for it, and what prevents it is better said now than at their login.
 */
static int prepare_template(struct hub *h, struct err *e)
{
    const struct conf_server *server = &h->conf->server;
    struct engine_disk disk = {.volume = "",
                               .class = server->claim.static_only ? h->conf->storage[0].name
                                                                  : server->claim.class,
                               .capacity = server->claim.capacity};
    struct engine_server spec = {.id = "", .major = h->major, .disks = &disk, .disks_n = 1};
    struct err result = {.kind = ERR_KIND_N};

    if (h->engine->ops->prepare(h->engine, &spec, template_ready, &result, e) < 0)
        return without_template(h, e);
    while (result.kind == ERR_KIND_N) {
        if (loop_run_once(h->loop, e) < 0)
            return -1;
        if (loop_quitting(h->loop))
            return err_set(e, ERR_BUSY, "told to end while starting");
    }
    if (result.kind == ERR_NONE)
        return 0;
    *e = result;
    return without_template(h, e);
}

static int begin(struct hub *h, struct err *e)
{
    if (geteuid() != 0) {
        (void)err_set(e, ERR_DENIED, "dormd must be run as root");
        return err_hint(e, "sudo dorm up");
    }
    if (identity_open_state(h, e) < 0)
        return -1;
    h->events = events_open(h);
    if (load_conf(h, e) < 0 || open_store(h, e) < 0 || identity_settle(h, e) < 0 ||
        renew_certificate(h, e) < 0 || INJECT("begin.settled", e) < 0)
        return -1;
    /* what runs is taken back, and its sessions with it, before anything slow or new */
    if (open_engine(h, e) < 0 || open_fleet(h, e) < 0 || keeper_check(h, e) < 0 ||
        disks_sync_static(h, e) < 0)
        return -1;
    h->keeper = keeper_new(h);
    deed_resume(h);
    h->backups = backups_new(h);
    h->door = door_open(h, e);
    if (h->door == NULL || INJECT("begin.door", e) < 0 || prepare_template(h, e) < 0 ||
        demo_first_time(h, e) < 0)
        return -1;
    h->control = control_open(h, e);
    h->metrics = h->control == NULL ? NULL : metrics_open(h, e);
    if (h->metrics == NULL)
        return -1;
    loop_timer_set(h->loop, &h->hourly, loop_now(h->loop) + FIRST_LOOK_MS, every_hour);
    return 0;
}

static void finish(struct hub *h)
{
    people_flush(h);
    control_free(h->control);
    metrics_free(h->metrics);
    backups_free(h->backups);
    keeper_free(h->keeper);
    tools_free(h->tools);
    door_free(h->door);
    fleet_free(h->fleet);
    if (h->engine != NULL)
        h->engine->ops->free(h->engine);
    store_close(h->store);
    events_free(h->events);
    conf_free(h->conf);
    close_fd(&h->state_fd);
    loop_free(h->loop);
}

static void signalled(void *owner, int number)
{
    struct hub *h = owner;

    if (number == SIGTERM || number == SIGINT) {
        log_info(NULL, "told to end: servers and sessions go on without me");
        loop_quit(h->loop);
    }
}

static void tell(int ready_fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void tell(int ready_fd, const char *fmt, ...)
{
    va_list ap;

    if (ready_fd < 0)
        return;
    va_start(ap, fmt);
    (void)vdprintf(ready_fd, fmt, ap);
    va_end(ap);
}

static int parse_options(int argc, char **argv, struct options *ret)
{
    static const struct option table[] = {{"state", required_argument, NULL, 's'},
                                          {"ready-fd", required_argument, NULL, 'r'},
                                          {"restore", required_argument, NULL, 'R'},
                                          {"check", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"pods-group", required_argument, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    uint64_t number;
    int c;

    *ret = (struct options){.state = getenv("DORM_STATE"), .ready_fd = -1};
    while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == 's') {
            ret->state = optarg;
        } else if (c == 'R') {
            ret->restore = optarg;
        } else if (c == 'c') {
            ret->check = optarg;
        } else if (c == 'p') {
            ret->pods_group = optarg;
        } else if (c == 'r' && str_u64(optarg, &number) && number < 1024) {
            ret->ready_fd = (int)number;
            (void)fcntl(ret->ready_fd, F_SETFD, FD_CLOEXEC);
        } else if (c == 'h') {
            (void)fputs(usage_text, stdout);
            exit(0);
        } else {
            (void)fputs(usage_text, stderr);
            return -1;
        }
    }
    if (ret->state == NULL || ret->state[0] == '\0')
        ret->state = DEFAULT_STATE;
    return ret->state[0] == '/' && strlen(ret->state) < 200 ? 0 : -1;
}

static int run(struct hub *h, int ready_fd, struct err *e)
{
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

    list_init(&h->verifiers);
    h->loop = loop_new(e);
    if (h->loop == NULL || loop_signals(h->loop, signals, 4, signalled, h, e) < 0 ||
        begin(h, e) < 0) {
        door_kill(h->door);
        tell(ready_fd, "%s%s%s\n", e->msg, e->hint[0] == '\0' ? "" : "\nhint: ", e->hint);
        return -1;
    }
    log_info(NULL, "hub \"%s\" is up, port %u", h->conf->hub, h->port);
    event_add(h, EVENT_HUB, NULL, NULL, "hub \"%s\" is up, port %u", h->conf->hub, h->port);
    tell(ready_fd, "ready\n");
    notify_ready();
    close_fd(&ready_fd);
    return loop_run(h->loop, e);
}

/* For `dorm backup restore BACKUP --hub`: a person reads what it says. */
static int restore(struct hub *h, const char *backup)
{
    struct err e;
    int r;

    if (geteuid() != 0) {
        (void)err_set(&e, ERR_DENIED, "dormd must be run as root");
        r = -1;
    } else {
        r = identity_open_to_restore(h, &e) < 0 ? -1 : backup_restore_hub(h, backup, &e);
    }
    close_fd(&h->state_fd);
    if (r == 0)
        return 0;
    (void)fprintf(stderr, "dormd: %s%s%s\n", e.msg, e.hint[0] == '\0' ? "" : "\nhint: ", e.hint);
    return err_exit(e.kind);
}

int main(int argc, char **argv)
{
    struct hub h = {.state_fd = -1};
    struct options o;
    struct err e = {0};
    int r;

    if (parse_options(argc, argv, &o) < 0)
        return err_exit(ERR_INPUT);
    if (o.check != NULL)
        return parameters_check_file(o.check);
    log_open("dormd", getenv("DORM_DEBUG") != NULL ? LOG_DEBUG_ : LOG_INFO_);
    (void)umask(022);
    (void)snprintf(h.state_dir, sizeof(h.state_dir), "%s", o.state);
    h.default_place = str_is(o.state, DEFAULT_STATE);
    h.pods_group = o.pods_group;
    if (h.default_place)
        (void)snprintf(h.conf_path, sizeof(h.conf_path), "%s", DEFAULT_CONF);
    else
        (void)snprintf(h.conf_path, sizeof(h.conf_path), "%.3000s/hub.yaml", o.state);
    if (o.restore != NULL)
        return restore(&h, o.restore);
    r = run(&h, o.ready_fd, &e);
    if (r == 0)
        r = end_finish(&h, &e);
    if (r < 0)
        log_err(NULL, LOG_ERROR_, &e);
    finish(&h);
    return r < 0 ? err_exit(e.kind) : 0;
}
