/*
 * survey.h: what fills a server's volume, in one sentence for its owner.
 *
 * Everything that is looked at belongs to the owner: the files may be links, FIFOs or a million,
 * the server may lie. So nothing is followed or opened but directories, all is bounded, and what
 * comes out can be printed. It is as true as the owner lets it be: show it to nobody else.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "client.h"

#define PG_SURVEY_ENTRIES 300000 /* files and directories that are counted */

struct pg_survey_ask {
    int pod_fd;                /* the directory that is PG_VOLUME; O_PATH will do */
    const struct pg_dial *way; /* NULL, or a way that fails: the files alone speak */
    const char *superuser;     /* logs in */
    uint64_t deadline;         /* clock_ms(); half of what is left is for the files */
    uint64_t inodes; /* of the file system: their number is told once it matters; 0: never */
};

/*
 * `table public.big 700 MiB in database "alice", write-ahead log 96 MiB (kept by the unused
 * replication slot "s"), files beside the database 120 MiB (largest: x.bin, 120 MiB), 65000 files`
 *
 * The largest first, four at most, none below 2 % of all; into ret, cut at a whole thing. "at
 * least" stands before what was not counted to the end. Returns 1; 0 and "" when there is nothing
 * to tell; -1 when neither files nor server could be asked.
 */
int pg_survey(const struct pg_survey_ask *ask, char *ret, size_t size, struct err *e);
