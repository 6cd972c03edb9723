#include <assert.h>
#include <string.h>

#include "vol/mountinfo.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct mountinfo m;
    const char *name;
    char value[16];

    if (!mountinfo_parse((const char *)data, len, &m))
        return 0;
    /* Unescaping only ever shortens, and nothing comes out that did not go in. */
    assert(strlen(m.root) + strlen(m.mountpoint) + strlen(m.type) + strlen(m.source) < len);
    if (mountinfo_option((const char *)data, len, "resuid", value, sizeof(value)))
        assert(strlen(value) + strlen("resuid") <= len);
    name = mountinfo_below(m.mountpoint, "/run");
    assert(name == NULL || (*name != '\0' && strchr(name, '/') == NULL));
    return 0;
}
