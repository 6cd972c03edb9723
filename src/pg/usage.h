/* usage.h: how much of a volume which of its parts take, by the files alone. Inside this folder. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum usage_part {
    USAGE_WAL,
    USAGE_TABLES, /* base/ */
    USAGE_TEMP,   /* base/pgsql_tmp/ */
    USAGE_OWN,    /* what else PostgreSQL keeps */
    USAGE_BESIDE, /* what it did not put there */
    USAGE_N
};

struct usage {
    struct usage_part_sum {
        uint64_t bytes; /* allocated; a file of two names counts half at each */
        uint64_t files;
        bool cut; /* there is more */
    } part[USAGE_N];
    /* of what is beside, the largest thing with what is below it */
    struct usage_largest {
        char name[NAME_MAX + sizeof("data/")]; /* as it is; "" for none */
        bool is_dir;
        uint64_t bytes;
    } largest;
};

/* Count at most so many entries, until the deadline. -1: not even the directory can be read. */
int usage_count(int pod_fd, uint64_t entries, uint64_t deadline, struct usage *ret, struct err *e);
