#include "source.h"

#include <stdlib.h>

#include "base/mem.h"

struct source *source_find(const struct map *table, const struct addr *a)
{
    char key[ADDR_TEXT];

    return map_get(table, addr_source(key, a));
}

struct source *source_enter(struct map *table, const struct addr *a, struct list *member)
{
    struct source *source = source_find(table, a);

    if (source == NULL) {
        source = mem_new(sizeof(*source));
        (void)addr_source(source->key, a);
        list_init(&source->members);
        map_add(table, source->key, source);
    }
    source->n++;
    list_append(&source->members, member);
    return source;
}

void source_leave(struct map *table, struct source *source, struct list *member)
{
    list_remove(member);
    if (--source->n > 0)
        return;
    (void)map_remove(table, source->key);
    free(source);
}
