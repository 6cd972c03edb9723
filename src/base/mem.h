/* mem.h: small allocations of our own, which abort when memory is gone. */
#pragma once

#include <stddef.h>

void *mem_new(size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_resize(void *at, size_t size) __attribute__((returns_nonnull));
char *mem_copy(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *fmt, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
