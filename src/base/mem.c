#include "mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *mem_new(size_t size)
{
    void *at = calloc(1, size == 0 ? 1 : size);

    if (at == NULL)
        abort();
    return at;
}

void *mem_resize(void *at, size_t size)
{
    at = realloc(at, size == 0 ? 1 : size);
    if (at == NULL)
        abort();
    return at;
}

char *mem_copy(const char *s)
{
    char *copy = strdup(s);

    if (copy == NULL)
        abort();
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *out;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&out, fmt, ap);
    va_end(ap);
    if (n < 0)
        abort();
    return out;
}
