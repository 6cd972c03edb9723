/*
 * source.h: how many connections each source holds that have not proved who they are.
 *
 * One table for a program. It holds a source only while it has members, so it is as bounded as they
 * are. Members are kept in order of arrival: when a source is full, the one that has taken longest
 * is the one to doubt.
 */
#pragma once

#include "addr.h"
#include "base/list.h"
#include "base/map.h"

struct source {
    char key[ADDR_TEXT];
    unsigned n;
    struct list members; /* borrowed: oldest first */
};

/* Count member under the source of this address. The caller leaves before it frees member. */
struct source *source_enter(struct map *table, const struct addr *a, struct list *member);
/* The source is freed with its last member. */
void source_leave(struct map *table, struct source *source, struct list *member);
/* The source of this address, or NULL when it has no member. */
struct source *source_find(const struct map *table, const struct addr *a);
