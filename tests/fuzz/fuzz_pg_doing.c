/* What a server says of what it does is a state we know, or nothing. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pg/doing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[64];
    enum pg_doing doing;
    bool timed;

    if (len >= sizeof(text))
        return 0;
    memcpy(text, data, len);
    text[len] = '\0';
    if (pg_doing_parse(text, &doing, &timed) &&
        (doing >= PG_DOING_N || pg_doing_words(doing) == NULL))
        abort();
    return 0;
}
