/* What there can be many of: one table of where they are in struct conf, and how to add one. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#include "conf-int.h"

/* clang-format off */
const struct conf_many conf_manies[] = {
    [CONF_MANY_CLASSES] = {"storage", "storage.*", offsetof(struct conf, storage),
        offsetof(struct conf, storage_n), sizeof(struct conf_class), CONF_CLASSES_MAX, "classes"},
    [CONF_MANY_CLAIMS] = {"server.extraClaims", "server.extraClaims.#",
        offsetof(struct conf, server.extra), offsetof(struct conf, server.extra_n),
        sizeof(struct conf_claim), CONF_CLAIMS_MAX, "claims"},
    [CONF_MANY_VOLUMES] = {"volumes", "volumes.#", offsetof(struct conf, volumes),
        offsetof(struct conf, volume_n), sizeof(struct conf_volume), CONF_VOLUMES_MAX, "volumes"},
};
/* clang-format on */

_Static_assert(offsetof(struct conf_class, name) == 0 && offsetof(struct conf_claim, name) == 0 &&
                   offsetof(struct conf_volume, name) == 0,
               "each begins with its name");

const struct conf_many *conf_many_of(const char *path)
{
    for (size_t i = 0; i < CONF_MANY_N; i++)
        if (str_is(conf_manies[i].path, path))
            return &conf_manies[i];
    return NULL;
}

size_t conf_many_n(const struct conf_many *m, const struct conf *c)
{
    return *(const size_t *)((const char *)c + m->n);
}

/* The pointer has another type in each case, so it is copied as bytes. */
static char *first(const struct conf_many *m, const struct conf *c)
{
    char *at;

    memcpy(&at, (const char *)c + m->at, sizeof(at));
    return at;
}

void *conf_many_get(const struct conf_many *m, const struct conf *c, size_t i)
{
    return first(m, c) + i * m->size;
}

const char *conf_many_key(const struct conf_many *m, const struct conf_row *row)
{
    size_t n = strlen(m->element);

    return str_starts(row->path, m->element) && row->path[n] == '.' ? row->path + n + 1 : NULL;
}

void *conf_many_add(const struct conf_many *m, struct conf *c)
{
    size_t n = conf_many_n(m, c);
    char *all = mem_resize(first(m, c), (n + 1) * m->size), *one = all + n * m->size;
    char why[VALUE_WHY];

    memcpy((char *)c + m->at, &all, sizeof(all));
    *(size_t *)((char *)c + m->n) = n + 1;
    memset(one, 0, m->size);
    for (size_t i = 0; i < conf_row_n; i++) {
        const struct conf_row *row = &conf_rows[i];

        if (conf_many_key(m, row) != NULL && conf_row_is_leaf(row) &&
            row->fallback != conf_required &&
            conf_value(row, row->fallback, one + row->offset, why) < 0)
            abort(); /* the table contradicts itself */
    }
    return one;
}
