/* What `dorm backup ...` asks for. */
#include <stdio.h>
#include <stdlib.h>

#include "backup/backup.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/when.h"
#include "dormd/backup-create.h"
#include "dormd/backup-restore.h"
#include "dormd/backups.h"
#include "dormd/control.h"

static void create(struct call *c)
{
    backup_create(c->hub, c);
}

static int list_one(void *owner, const struct backup_info *b, struct err *e)
{
    char made[WHEN_SIZE] = "", size[16] = "";

    (void)e;
    if (b->hub[0] != '\0') {
        (void)when_second(made, b->created);
        (void)str_size(size, sizeof(size), b->bytes);
    }
    call_row(owner, b->name, b->hub, made, size, b->complete ? "yes" : "no");
    return 0;
}

static int list_all(void *arg, struct err *e)
{
    struct call *c = arg;

    call_columns(c, "name", "hub", "made", "size", "complete");
    return backup_list(c->state, list_one, c, e);
}

static void list(struct call *c)
{
    char target[PATH_MAX];
    struct err e;

    if (backups_target(c, target, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    c->state = mem_copy(target);
    call_job(c, "list the backups", list_all);
}

const struct verb verbs_backup[] = {
    {"backup create", VERB_ROOT, create},
    {"backup list", VERB_ROOT, list},
    {"backup restore", VERB_ROOT, backup_restore_server},
    {NULL, VERB_ROOT, NULL},
};
