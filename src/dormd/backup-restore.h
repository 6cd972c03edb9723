/* backup-restore.h: back from a backup: one server into the hub that runs, or a whole hub where
 * there is none. */
#pragma once

#include <limits.h>

#include "base/err.h"
#include "dormd/control.h"
#include "dormd/hub.h"
#include "dormd/roster.h"

struct backup;

/* What `dorm backup restore BACKUP --server NAME` asks for. */
void backup_restore_server(struct call *c);
/*
 * Make the state of a hub from the backup at this absolute path: h has its paths, an open state
 * directory and nothing else. Killed anywhere and run again, it goes on. Waits for disks; says on
 * stdout how far it is.
 */
int backup_restore_hub(struct hub *h, const char *path, struct err *e);

/* ---- for the files backup-*.c ---- */

/* "/a/b/name" into its directory and its name. */
int backup_split(const char *path, char target[PATH_MAX], char *name, size_t name_size,
                 struct err *e);
int backup_read_roster(const struct backup *b, struct roster *ret, struct err *e);
