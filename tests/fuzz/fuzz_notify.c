#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "pg/ready.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pg_notify n;

    if (pg_notify_parse(data, len, &n) && !str_utf8(n.status, strlen(n.status)))
        abort();
    return 0;
}
