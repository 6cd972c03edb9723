/* list.h: intrusive, circular, doubly linked. A node that is in no list points to itself. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define list_of(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline void list_append(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}
static inline struct list *list_first(struct list *l)
{
    /* the analyzer cannot see that a removal went through both neighbours */
    return list_empty(l) ? NULL : l->next; /* NOLINT(clang-analyzer-unix.Malloc) */
}

/* The current node may be removed inside the loop; its neighbours may not. */
#define list_each(l, node)                                                      \
    for (struct list *node = (l)->next, *node##_next = node->next; node != (l); \
         node = node##_next, node##_next = node->next)
