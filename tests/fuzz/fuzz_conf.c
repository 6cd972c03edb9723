/* Any bytes as a hub file: refused with a place in the text, or read whole. */
#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "conf/conf.h"
#include "fuzz.h"

static void changed(void *arg, const struct conf_item *was, const struct conf_item *now)
{
    (void)arg, (void)was, (void)now;
}

static void check_claim(const struct conf *c, const struct conf_claim *claim)
{
    assert(claim->modes != 0 && claim->capacity > 0 && *claim->name != '\0');
    assert(claim->static_only ? *claim->class == '\0' : conf_class(c, claim->class) != NULL);
}

/* What the users of a hub rely on without looking again. */
static void check(const struct conf *c)
{
    check_claim(c, &c->server.claim);
    assert((c->server.claim.modes & (CONF_ROX | CONF_RWX)) == 0);
    assert(c->server.requests.memory > 0 && c->server.requests.memory <= c->server.limits.memory);
    assert(c->server.requests.cpu_milli > 0 &&
           c->server.requests.cpu_milli <= c->server.limits.cpu_milli);
    assert(c->machine.memory.bytes == 0 || c->machine.memory.bytes >= c->server.requests.memory);
    assert((c->machine.memory.bytes == 0) == (c->machine.memory.percent != 0));
    assert(c->server.extra_n <= CONF_CLAIMS_MAX && c->volume_n <= CONF_VOLUMES_MAX);
    for (size_t i = 0; i < c->server.extra_n; i++) {
        const struct conf_claim *claim = &c->server.extra[i];

        check_claim(c, claim);
        assert(claim->mount[0] == '/' && claim->mount[1] != '\0' &&
               strstr(claim->mount, "/../") == NULL && strncmp(claim->mount, "/usr/", 5) != 0);
        assert(strstr(claim->name, "{username}") != NULL ||
               (claim->modes & (CONF_ROX | CONF_RWX)) != 0);
        for (size_t k = 0; k < i; k++)
            assert(strcmp(claim->name, c->server.extra[k].name) != 0 &&
                   strcmp(claim->mount, c->server.extra[k].mount) != 0);
    }
    for (size_t i = 0; i < c->volume_n; i++) {
        const struct conf_volume *v = &c->volumes[i];

        assert(*v->name != '\0' && v->capacity > 0 && v->modes != 0 && v->host_path[0] == '/');
        assert((*v->ref_name == '\0') == (*v->ref_hub == '\0'));
        assert(*v->class == '\0' || conf_class(c, v->class) != NULL);
    }
    for (size_t i = 0; i < c->storage_n; i++)
        assert((c->storage[i].driver == CONF_DRIVER_DIRECTORY) == (*c->storage[i].path != '\0') &&
               (c->storage[i].driver == CONF_DRIVER_NFS) == (*c->storage[i].export != '\0'));
    assert(c->backup.minute < 0 || *c->backup.target == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct conf_problems problems;
    struct conf *c = NULL;
    struct err e;

    if (conf_parse((const char *)data, len, "hub.yaml", &c, &problems, &e) < 0) {
        assert(c == NULL && e.kind == ERR_CONFIG && problems.n >= 1);
        for (unsigned i = 0; i < problems.n; i++)
            assert(problems.at[i].line >= 1 && problems.at[i].column >= 1);
        return 0;
    }
    assert(problems.n == 0 && c->storage_n >= 1 && c->item_n > 0);
    check(c);
    assert(conf_changes(c, c, changed, NULL) == 0);
    conf_free(c);
    return 0;
}
