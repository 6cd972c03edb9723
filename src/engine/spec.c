#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine.h"

/* All texts of a copy lie in one block behind it. Counting and copying are one walk, done twice. */
struct packer {
    char *at; /* NULL while counting */
    size_t size;
};

static const char *pack(struct packer *p, const char *text)
{
    size_t n = text == NULL ? 0 : strlen(text) + 1;
    char *at = p->at;

    p->size += n;
    if (at == NULL || text == NULL)
        return NULL;
    memcpy(at, text, n);
    p->at += n;
    return at;
}

static void pack_disks(struct packer *p, const struct engine_server *from, struct engine_disk *to)
{
    for (size_t i = 0; i < from->disks_n; i++) {
        const struct engine_disk *d = &from->disks[i];
        struct engine_disk copy = *d;

        copy.volume = pack(p, d->volume);
        copy.class = pack(p, d->class);
        copy.path = pack(p, d->path);
        copy.mount = pack(p, d->mount);
        if (to != NULL)
            to[i] = copy;
    }
}

static void pack_texts(struct packer *p, const struct engine_server *from, struct engine_server *to,
                       const char **parameters)
{
    const char *id = pack(p, from->id), *login = pack(p, from->login);
    const char *superuser = pack(p, from->superuser);

    for (size_t i = 0; i < from->parameters_n; i++) {
        const char *copy = pack(p, from->parameters[i]);

        if (parameters != NULL)
            parameters[i] = copy;
    }
    if (to == NULL)
        return;
    to->id = id;
    to->login = login;
    to->superuser = superuser;
}

struct engine_server *engine_server_copy(const struct engine_server *from)
{
    struct packer count = {0}, fill;
    size_t disks = from->disks_n * sizeof(struct engine_disk);
    size_t parameters = from->parameters_n * sizeof(char *);
    struct engine_server *to;
    struct engine_disk *disk;
    const char **parameter;

    pack_texts(&count, from, NULL, NULL);
    pack_disks(&count, from, NULL);
    to = mem_new(sizeof(*to) + disks + parameters + count.size);
    disk = (struct engine_disk *)(to + 1);
    parameter = (const char **)(disk + from->disks_n);
    fill = (struct packer){.at = (char *)(parameter + from->parameters_n)};
    *to = *from;
    pack_texts(&fill, from, to, parameter);
    pack_disks(&fill, from, disk);
    to->disks = disk;
    to->parameters = parameter;
    return to;
}
