/* str.h: names, words and sizes as people write them, and foreign bytes made fit to print. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy s into at (size bytes, NUL included). False, and at empty, when it does not fit. */
bool str_copy(char *at, size_t size, const char *s) __attribute__((warn_unused_result));
bool str_is(const char *a, const char *b);
bool str_starts(const char *s, const char *start);

/*
 * Write foreign bytes so that no terminal, log or mail can be steered by them: control characters
 * (C0, DEL, C1), bidirectional and invisible characters and invalid UTF-8 become \xNN, a backslash
 * becomes \\. Always ends with NUL; "..." at the end when it did not fit. Returns at.
 */
char *str_show(char *at, size_t size, const void *bytes, size_t len);
bool str_utf8(const void *bytes, size_t len); /* valid, without NUL */
/* Length of the valid UTF-8 sequence at bytes (len > 0), 0 when there is none. */
size_t str_utf8_next(const void *bytes, size_t len, uint32_t *ret_c);
bool str_steers(uint32_t c); /* one of those that str_show() does not let through */

/* Whole decimal number, nothing before or after. */
bool str_u64(const char *s, uint64_t *ret_value) __attribute__((warn_unused_result));

/* The candidate most like word, or NULL when none is near enough to be meant. */
const char *str_nearest(const char *word, const char *const *candidates, size_t n);

/* "1.5Gi", "512Mi", "10G": into at least 16 bytes; returns at. Always rounds down, never claims
 * more. */
char *str_size(char *at, size_t size, uint64_t bytes);
/* "45s", "15m", "8h", "7d". */
char *str_duration(char *at, size_t size, uint64_t ms);

bool str_hex(const char *hex, void *ret_bytes, size_t n) __attribute__((warn_unused_result));
void str_to_hex(char *at, const void *bytes, size_t n);    /* 2n + 1 bytes */
void str_to_base32(char *at, const void *bytes, size_t n); /* [a-z2-7], ceil(8n/5) + 1 bytes */
