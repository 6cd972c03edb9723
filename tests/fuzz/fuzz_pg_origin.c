/* A server's answer about its settings, and a postgresql.auto.conf: both are its owner's. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "pg/origin.h"

static void plain(const char *text, size_t size)
{
    if (strlen(text) >= size || !str_utf8(text, strlen(text)) ||
        strpbrk(text, "\n\033\t\r") != NULL)
        abort();
}

static void check(void *owner, const struct pg_told *t)
{
    (void)owner;
    if ((unsigned)t->says >= PG_SAYS_N || (unsigned)t->holds >= PG_HOLDS_N)
        abort();
    plain(t->name, sizeof(t->name));
    plain(t->value, sizeof(t->value));
    plain(t->file, sizeof(t->file));
    plain(t->error, sizeof(t->error));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *bytes = malloc(len + 1), *text = malloc(len + 1);

    if (bytes == NULL || text == NULL)
        abort();
    memcpy(bytes, data, len); /* of just that length: what reads further is seen */
    memcpy(text, data, len);
    text[len] = '\0';
    pg_auto_parse(bytes, len, check, NULL);
    (void)pg_origin_parse(text, check, NULL);
    free(bytes);
    free(text);
    return 0;
}
