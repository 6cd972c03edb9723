/* Whatever a program says when it is asked about a setting, or for all its settings. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fuzz.h"
#include "pg/params.h"

static void fault(const char *said, const char *value)
{
    const struct pg_install install = {.major = 15};
    struct pg_param p = {"work_mem", value};
    char why[PG_FAULT_SIZE];
    enum pg_fault f = pg_fault_parse(said, false, &install, &p, why);

    if (f == PG_FAULT_NONE || (f == PG_FAULT_UNKNOWN) != (why[0] == '\0'))
        abort();
    if (!str_utf8(why, strlen(why)) || strpbrk(why, "\n\033\t") != NULL)
        abort();
}

static void names(char *text, size_t len)
{
    const char *at[64];
    size_t n = pg_names_parse(text, at, 64);

    for (size_t i = 0; i < n; i++)
        if (at[i] < text || at[i] >= text + len || at[i][0] == '\0' ||
            strpbrk(at[i], "\t\n") != NULL)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);

    if (text == NULL)
        abort();
    memcpy(text, data, len);
    text[len] = '\0';
    fault(text, "1");
    fault(text, "");
    names(text, strlen(text));
    free(text);
    return 0;
}
