#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "net/addr.h"

/* Whatever is taken for a network has its own first address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    struct cidr c;
    struct err e;

    if (text == NULL)
        abort();
    memcpy(text, data, len);
    text[len] = '\0';
    if (cidr_parse(&c, text, &e) == 0) {
        struct addr a = {.kind = c.kind, .uid = UINT64_MAX};

        memcpy(a.at, c.at, sizeof(a.at));
        if (!cidr_has(&c, &a))
            abort();
    }
    free(text);
    return 0;
}
