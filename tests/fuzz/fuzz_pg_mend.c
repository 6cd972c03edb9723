#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "pg/mend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pg_mended m = {{0}};

    if (pg_mend_said("alice", data, len, &m) != (m.said[0] != '\0') ||
        !str_utf8(m.said, strlen(m.said)))
        abort();
    return 0;
}
