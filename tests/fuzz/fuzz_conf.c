/* Any bytes as a hub file: refused with a place in the text, or read whole. */
#include <assert.h>

#include "base/err.h"
#include "conf/conf.h"
#include "fuzz.h"

static void changed(void *arg, const struct conf_item *was, const struct conf_item *now)
{
    (void)arg, (void)was, (void)now;
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
    assert(conf_class(c, c->server.claim.class) != NULL);
    assert(conf_changes(c, c, changed, NULL) == 0);
    conf_free(c);
    return 0;
}
