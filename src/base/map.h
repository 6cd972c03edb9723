/* map.h: from a string to a pointer. Keys are borrowed: they live in what they point to. */
#pragma once

#include <stddef.h>

struct map_slot {
    const char *key; /* NULL: free */
    void *value;
};

struct map {
    struct map_slot *slots; /* owned */
    size_t size, used;      /* size is 0 or a power of two */
};

void map_done(struct map *m);
void *map_get(const struct map *m, const char *key);
/* key must live, unchanged, for as long as it is in the map, and must not be in it already. */
void map_add(struct map *m, const char *key, void *value);
void *map_remove(struct map *m, const char *key); /* what it held, or NULL */

/* Every entry, in no order. Nothing may be added or removed meanwhile. */
#define map_each(m, slot)                                                                   \
    for (struct map_slot *slot = (m)->slots; slot != NULL && slot < (m)->slots + (m)->size; \
         slot++)                                                                            \
        if (slot->key != NULL)
