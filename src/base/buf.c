#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

static void check(const struct buf *b)
{
    assert(b->start <= b->end && b->end <= b->size && b->size <= b->max);
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    if (b->at != NULL)
        explicit_bzero(b->at, b->size);
    free(b->at);
    buf_init(b, b->max);
}

/* Not realloc: it may leave a copy behind of what buf_done() promises to wipe. */
static void grow(struct buf *b, size_t size)
{
    struct buf bigger = {.end = buf_len(b), .size = size, .max = b->max};

    bigger.at = mem_new(size + 1);
    if (bigger.end > 0)
        memcpy(bigger.at, buf_data(b), bigger.end);
    buf_done(b);
    *b = bigger;
}

bool buf_reserve(struct buf *b, size_t n)
{
    size_t len = buf_len(b), want;

    check(b);
    if (n > b->max - len)
        return false;
    if (n <= buf_room(b))
        return true;
    if (b->start > 0) {
        memmove(b->at, b->at + b->start, len);
        b->start = 0;
        b->end = len;
        if (n <= buf_room(b))
            return true;
    }
    want = b->size == 0 ? 256 : b->size;
    while (want < len + n && want < b->max / 2)
        want *= 2;
    if (want < len + n || want > b->max)
        want = b->max;
    grow(b, want);
    check(b);
    return true;
}

void buf_wrote(struct buf *b, size_t n)
{
    assert(n <= buf_room(b));
    b->end += n;
}

void buf_eat(struct buf *b, size_t n)
{
    assert(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_rest(struct buf *b)
{
    if (buf_len(b) == 0)
        buf_done(b);
}

bool buf_put(struct buf *b, const void *data, size_t n)
{
    if (!buf_reserve(b, n))
        return false;
    if (n > 0)
        memcpy(buf_tail(b), data, n);
    b->end += n;
    return true;
}

bool buf_put_u8(struct buf *b, uint8_t v)
{
    return buf_put(b, &v, 1);
}

bool buf_put_u16(struct buf *b, uint16_t v)
{
    uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    return buf_put(b, bytes, sizeof(bytes));
}

bool buf_put_u32(struct buf *b, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    return buf_put(b, bytes, sizeof(bytes));
}

bool buf_put_u64(struct buf *b, uint64_t v)
{
    return buf_reserve(b, 8) && buf_put_u32(b, (uint32_t)(v >> 32)) && buf_put_u32(b, (uint32_t)v);
}

bool buf_put_str(struct buf *b, const char *s)
{
    return buf_put(b, s, strlen(s) + 1);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !buf_reserve(b, (size_t)n))
        return false;
    if (n == 0)
        return true; /* there may be no memory yet, not even for the NUL */
    va_start(ap, fmt);
    (void)vsnprintf((char *)buf_tail(b), (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->end += (size_t)n;
    return true;
}
