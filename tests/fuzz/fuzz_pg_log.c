#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "pg/greedy.h"
#include "pg/ready.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char why[200], query[120];
    size_t place;
    enum err_kind kind = pg_start_failure(data, len, why, sizeof(why));

    if ((kind != ERR_NO_SPACE && kind != ERR_INTERNAL) || why[0] == '\0' ||
        !str_utf8(why, strlen(why)))
        abort();
    if (pg_greedy_killed(data, len, &place, query, sizeof(query)) &&
        (place >= len || !str_utf8(query, strlen(query))))
        abort();
    return 0;
}
