/*
 * mend.h: what can be put right in a data directory whose server does not start, or does not let
 * its owner in. Nothing that holds data is removed or written over: what is in the way is set aside
 * under another name.
 *
 * Call these with the file system rights of the data's owner (setfsuid): then no race with their
 * programs, and no link of theirs, makes us do what they could not do themselves.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "settings.h"

/* What was done, in words for the owner: "PG_VERSION was written again, ..."; "" if nothing. */
struct pg_mended {
    char said[200];
};

/*
 * 1: the data directory below the directory of a volume is certainly empty: there is none, or it
 * holds no file at all; and nothing beside it can be it. 0: it holds something. ERR_MISSING: it is
 * gone, but what may be it is there under another name.
 */
int pg_is_emptied(int pod_fd, struct err *e);

/* Modes of the volume's directory and of the data directory, so that their owner can enter them; a
 * link to a directory beside it becomes that directory. */
int pg_mend_entrance(int pod_fd, const char *where, struct pg_mended *m, struct err *e);
/* Before a start: what PostgreSQL would wait for without end or miss. Cheap when nothing is. */
int pg_mend_data(int data_fd, int major, struct pg_mended *m, struct err *e);
/* Everything below is readable and writable for its owner again. 1: something was not. */
int pg_mend_modes(int data_fd, struct pg_mended *m, struct err *e);

#define PG_ASIDE_SIZE 48
/* Rename a file of the data directory that says something: 1 and its new name; 0: there is none, or
 * it holds comments alone. */
int pg_set_aside(int data_fd, const char *name, char ret[PG_ASIDE_SIZE], struct err *e);
/* And back, unless another has come into its place. */
int pg_put_back(int data_fd, const char *name, const char *aside, struct err *e);

/*
 * What is said to a server in single-user mode when its owner cannot log in: afterwards a role of
 * that name is a superuser who can, and its database takes connections. What it had to change it
 * prints as one of the words below.
 */
int pg_mend_argv(const struct pg_server *s, struct pg_words *ret, struct err *e);
int pg_mend_sql(const char *superuser, struct buf *ret, struct err *e);
/* From what it printed, bytes of the owner's server: in words. False: it found nothing amiss. */
bool pg_mend_said(const char *superuser, const void *printed, size_t len, struct pg_mended *m);
