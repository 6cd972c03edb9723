#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <linux/loop.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "box/groups.h"
#include "box/prove.h"
#include "cert/cert.h"
#include "conf/conf.h"
#include "dormd/backups.h"
#include "dormd/nap.h"
#include "engine/local.h"
#include "pg/install.h"
#include "store/store.h"

enum { SPACE_LOW_PERCENT = 20, CERT_LOW_DAYS = 14 };

struct diagnosis {
    struct call *call;
    unsigned failures;
};

static void good(struct diagnosis *d, const char *what, const char *detail)
{
    call_row(d->call, what, "ok", detail);
}

static void warn(struct diagnosis *d, const char *what, const char *detail)
{
    call_row(d->call, what, "warning", detail);
}

static void bad(struct diagnosis *d, const char *what, const char *detail)
{
    d->failures++;
    call_row(d->call, what, "FAILED", detail);
}

static void bad_err(struct diagnosis *d, const char *what, const struct err *e)
{
    AUTO_FREE char *text = mem_printf("%s%s%s", e->msg, e->hint[0] == '\0' ? "" : "; ", e->hint);

    bad(d, what, text);
}

/* ---- memory ---- */

static bool is_raspberry_pi(void)
{
    AUTO_FREE char *model = NULL;
    struct err e;

    return fd_read_file(AT_FDCWD, "/proc/device-tree/model", 4096, &model, &e) > 0 &&
           strstr(model, "Raspberry Pi") != NULL;
}

/* Raspberry Pi OS ships with the memory controller off, and the file has moved between releases. */
static const char *memory_remedy(void)
{
    if (!is_raspberry_pi())
        return "boot with cgroup_enable=memory on the kernel's command line";
    return faccessat(AT_FDCWD, "/boot/firmware/cmdline.txt", F_OK, 0) == 0
               ? "append to the one line of /boot/firmware/cmdline.txt: cgroup_enable=memory "
                 "cgroup_memory=1 - then reboot"
               : "append to the one line of /boot/cmdline.txt: cgroup_enable=memory "
                 "cgroup_memory=1 - then reboot";
}

static void check_memory(struct diagnosis *d)
{
    const struct box_groups *groups = local_groups(d->call->hub->engine);
    uint32_t limits = box_groups_limits(groups);
    bool enforced = false;
    AUTO_FREE char *text = NULL;
    struct err e;

    if ((limits & BOX_LIMITS_MEMORY) == 0 || box_prove_memory(groups, &enforced, &e) < 0 ||
        !enforced) {
        text = mem_printf("memory limits are not enforced: %s", memory_remedy());
        bad(d, "memory limits", text);
    } else {
        good(d, "memory limits", "a process that took too much was killed, alone");
    }
    if ((limits & BOX_LIMITS_CPU) == 0)
        warn(d, "cpu limits", "the kernel offers no cpu controller here");
    if ((limits & BOX_LIMITS_PIDS) == 0)
        bad(d, "process limits", "the kernel offers no pids controller here");
}

static void check_nap(struct diagnosis *d)
{
    const struct hub *h = d->call->hub;
    char text[200];

    /* no fault, either way */
    (void)nap_explain(h->conf->server.nap_ms, box_groups_reclaims(local_groups(h->engine)), text,
                      sizeof(text));
    good(d, "naps", text);
}

/* ---- sandbox, loop, PostgreSQL ---- */

static void check_sandbox(struct diagnosis *d)
{
    const struct hub *h = d->call->hub;
    uid_t uid = hub_uid(h, HUB_UID_BUILD);
    struct err e;

    if (box_prove_userns(uid, uid, &e) < 0)
        bad_err(d, "user namespaces", &e);
    else
        good(d, "user namespaces", "an unprivileged user can make a sandbox");
}

static void check_loop(struct diagnosis *d)
{
    AUTO_CLOSE int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, LOOP_CTL_GET_FREE) < 0)
        bad(d, "loop devices", "none can be had: modprobe loop");
    else
        good(d, "loop devices", "one is free");
}

static void check_postgres(struct diagnosis *d)
{
    struct pg_install found[PG_INSTALLS];
    char text[256] = "";
    struct err e;
    int n = pg_list("", found, &e);

    for (int i = 0; i < n; i++) {
        size_t at = strlen(text);

        (void)snprintf(text + at, sizeof(text) - at, "%s%s", i == 0 ? "" : ", ", found[i].version);
    }
    if (n <= 0)
        bad(d, "PostgreSQL", "not installed: apt-get install postgresql-15");
    else
        good(d, "PostgreSQL", text);
}

/* ---- clock, space, record, certificate ---- */

static void check_clock(struct diagnosis *d)
{
    AUTO_CLOSE int dir = fd_open_dir(d->call->hub->state_fd, "tls", 0711, &(struct err){0});
    char text[96];
    struct err e;
    int days;

    if (clock_unix() < CLOCK_LEAST)
        bad(d, "clock",
            "this machine thinks it is before 2026: set the clock (timedatectl), or "
            "certificates will not be valid");
    else
        good(d, "clock", "plausible");
    if (cert_days_left(dir, "server.crt", clock_unix(), &days, &e) < 0) {
        bad_err(d, "certificate", &e);
        return;
    }
    (void)snprintf(text, sizeof(text), "%d days left, renewed by itself", days);
    if (days < CERT_LOW_DAYS)
        warn(d, "certificate", text);
    else
        good(d, "certificate", text);
}

static void judge_space(struct diagnosis *d, const char *what, const char *where, uint64_t total,
                        uint64_t free_bytes)
{
    char left[16], all[16];
    AUTO_FREE char *text =
        mem_printf("%s free of %s in %s", str_size(left, sizeof(left), free_bytes),
                   str_size(all, sizeof(all), total), where);

    if (total > 0 && free_bytes < total / 100 * SPACE_LOW_PERCENT)
        warn(d, what, text);
    else
        good(d, what, text);
}

static void check_pool(void *owner, const struct local_place_view *p)
{
    AUTO_FREE char *what = mem_printf("class %s", p->class);

    if (p->missing != NULL) {
        bad(owner, what, p->missing);
        return;
    }
    if (p->free < p->floor)
        bad(owner, what,
            "full: nothing new begins there and volumes are held; delete snapshots or volumes, or "
            "enlarge it");
    else
        judge_space(owner, what, p->path, p->total, p->free);
    if (!p->enforces)
        warn(owner, what, "capacities are not enforced there: one user can fill it for all");
    if (str_is(p->how, "copy") && str_is(p->driver, "image"))
        warn(owner, what,
             "no reflinks and no mkfs.xfs: every new server is a full copy; "
             "apt-get install xfsprogs, before the first user");
}

static void check_space(struct diagnosis *d)
{
    struct hub *h = d->call->hub;
    struct statvfs state;
    struct err e;

    if (fstatvfs(h->state_fd, &state) == 0)
        judge_space(d, "state directory", h->state_dir, (uint64_t)state.f_blocks * state.f_frsize,
                    (uint64_t)state.f_bavail * state.f_frsize);
    if (local_places(h->engine, check_pool, d, &e) < 0)
        bad_err(d, "pools", &e);
}

/* Not in the child either: what is known of backups stands in the record. */
static void check_backup(struct diagnosis *d)
{
    char text[512];

    if (backups_look(d->call->hub, text) == BACKUPS_GOOD)
        good(d, "backup", text);
    else
        warn(d, "backup", text);
}

static int examine(void *arg, struct err *e)
{
    struct call *c = arg;
    struct diagnosis d = {.call = c};

    check_memory(&d);
    check_nap(&d);
    check_sandbox(&d);
    check_loop(&d);
    check_postgres(&d);
    check_clock(&d);
    check_space(&d);
    d.failures += c->state != NULL; /* the record, looked at before */
    return d.failures == 0
               ? 0
               : err_set(e, ERR_MISSING,
                         "%u of the things that Dormouse needs are not as they should be",
                         d.failures);
}

void doctor_run(struct call *c)
{
    struct diagnosis d = {.call = c};
    struct err e;

    call_columns(c, "check", "result", "detail");
    /* here, not in the child: the record belongs to this process */
    if (store_check(c->hub->store, &e) < 0) {
        bad_err(&d, "record", &e);
        c->state = mem_copy("damaged");
    } else {
        good(&d, "record", "whole");
    }
    check_backup(&d);
    call_job(c, "examine the machine", examine);
}
