#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "vol/vol-int.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = mem_new(len + 1), again[POOLID_SIZE];
    struct poolid id, back;

    memcpy(text, data, len);
    if (poolid_parse_any(text, len, &id)) {
        assert(vol_name_ok(id.hub) && vol_name_ok(id.pool));
        assert(poolid_parse(text, len, &back) == (id.tree == POOLID_IMAGES));
        poolid_print(&id, again);
        assert(strlen(again) == len && memcmp(again, text, len) == 0);
    }
    free(text);
    return 0;
}
