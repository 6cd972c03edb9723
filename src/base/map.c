#include "map.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static size_t hash(const char *key)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a: keys are ids that we made, not a stranger's */

    for (; *key != '\0'; key++)
        h = (h ^ (uint8_t)*key) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds key, or the free one where it would go. */
static struct map_slot *find(const struct map *m, const char *key)
{
    for (size_t i = hash(key);; i++) {
        struct map_slot *s = &m->slots[i & (m->size - 1)];

        if (s->key == NULL || strcmp(s->key, key) == 0)
            return s;
    }
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->size = old.size == 0 ? 16 : old.size * 2;
    m->slots = mem_new(m->size * sizeof(*m->slots));
    map_each (&old, slot)
        *find(m, slot->key) = *slot;
    free(old.slots);
}

void map_done(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

void *map_get(const struct map *m, const char *key)
{
    return m->size == 0 ? NULL : find(m, key)->value;
}

void map_add(struct map *m, const char *key, void *value)
{
    struct map_slot *s;

    if ((m->used + 1) * 4 > m->size * 3)
        grow(m);
    s = find(m, key);
    assert(s->key == NULL);
    *s = (struct map_slot){key, value};
    m->used++;
}

void *map_remove(struct map *m, const char *key)
{
    struct map_slot *s = m->size == 0 ? NULL : find(m, key);
    void *value;

    if (s == NULL || s->key == NULL)
        return NULL;
    value = s->value;
    *s = (struct map_slot){0};
    m->used--;
    /* a gap would end the search for what was pushed past it: put the rest of the run back */
    for (size_t i = (size_t)(s - m->slots) + 1;; i++) {
        struct map_slot *next = &m->slots[i & (m->size - 1)], moved = *next;

        if (moved.key == NULL)
            return value;
        *next = (struct map_slot){0};
        *find(m, moved.key) = moved;
    }
}
