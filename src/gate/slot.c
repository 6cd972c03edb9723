#include "slot.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"

enum { INDEX_BITS = 20, SLOTS_MAX = 1 << INDEX_BITS };

void slots_done(struct slots *t)
{
    for (uint32_t i = 1; i < t->n; i++)
        free(t->at[i]);
    free(t->at);
    *t = (struct slots){0};
}

static struct slot *grow(struct slots *t)
{
    struct slot *s;

    if (t->n == 0)
        t->n = 1;
    if (t->n >= SLOTS_MAX)
        return NULL;
    if (t->n >= t->size) {
        t->size = t->size == 0 ? 64 : t->size * 2;
        t->at = mem_resize(t->at, t->size * sizeof(struct slot *));
    }
    s = mem_new(sizeof(*s));
    s->pid = t->n;
    t->at[t->n++] = s;
    return s;
}

static struct slot *take_free(struct slots *t)
{
    struct slot *s;

    if (t->free_first == 0)
        return NULL;
    s = t->at[t->free_first];
    t->free_first = s->next_free;
    if (t->free_first == 0)
        t->free_last = 0;
    s->next_free = 0;
    return s;
}

static void give_back(struct slots *t, struct slot *s)
{
    if (s->owner != NULL || s->held > 0)
        return;
    s->id = 0;
    if (t->free_last == 0)
        t->free_first = s->pid;
    else
        t->at[t->free_last]->next_free = s->pid;
    t->free_last = s->pid;
}

struct slot *slot_enter(struct slots *t, void *owner)
{
    struct slot *s = take_free(t);

    if (s == NULL)
        s = grow(t);
    if (s == NULL)
        return NULL;
    s->owner = owner;
    s->id = ++t->sequence << INDEX_BITS | s->pid;
    rand_bytes(s->key, sizeof(s->key));
    return s;
}

void slot_leave(struct slots *t, struct slot *s)
{
    s->owner = NULL;
    give_back(t, s);
}

void slot_hold(struct slot *s)
{
    s->held++;
}

void slot_release(struct slots *t, struct slot *s)
{
    s->held--;
    give_back(t, s);
}

void *slot_find(const struct slots *t, uint64_t id)
{
    uint64_t index = id & (SLOTS_MAX - 1);

    if (index == 0 || index >= t->n || t->at[index]->id != id)
        return NULL;
    return t->at[index]->owner;
}

struct slot *slot_of_key(const struct slots *t, uint32_t pid, const uint8_t *key, size_t key_len)
{
    struct slot *s;
    uint8_t differs = 0;

    if (pid == 0 || pid >= t->n || key_len != sizeof(s->key))
        return NULL;
    s = t->at[pid];
    /* all bytes, always: the time must not tell how many were right */
    for (size_t i = 0; i < sizeof(s->key); i++)
        differs |= (uint8_t)(s->key[i] ^ key[i]);
    return differs == 0 && s->owner != NULL ? s : NULL;
}
