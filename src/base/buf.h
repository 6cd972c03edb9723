/*
 * buf.h: bytes that grow up to a maximum given at birth.
 *
 * Whatever a peer, a file or a user can make longer goes into one of these, so that "how large can
 * a stranger make it" is answered where the buffer is declared.
 *
 *     0 <= start <= end <= size <= max      data is [start, end)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *at; /* owned; NULL while size is 0; one byte longer than size, for a NUL */
    size_t start, end, size, max;
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* wipes, frees, and leaves an empty buffer of the same maximum */

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}
static inline uint8_t *buf_data(const struct buf *b)
{
    return b->at + b->start;
}

/* Make room for n more bytes at the end. False when that would pass max: nothing changes then. */
bool buf_reserve(struct buf *b, size_t n) __attribute__((warn_unused_result));
static inline uint8_t *buf_tail(const struct buf *b)
{
    return b->at + b->end;
}
static inline size_t buf_room(const struct buf *b)
{
    return b->size - b->end;
}
/* n bytes were written at buf_tail(). */
void buf_wrote(struct buf *b, size_t n);
/* Forget the first n bytes. */
void buf_eat(struct buf *b, size_t n);
/* Give the memory back if nothing is in it: an idle session costs no buffer. */
void buf_rest(struct buf *b);

/* Append, or return false and change nothing. */
bool buf_put(struct buf *b, const void *data, size_t n) __attribute__((warn_unused_result));
bool buf_put_u8(struct buf *b, uint8_t v) __attribute__((warn_unused_result));
bool buf_put_u16(struct buf *b, uint16_t v) __attribute__((warn_unused_result)); /* big-endian */
bool buf_put_u32(struct buf *b, uint32_t v) __attribute__((warn_unused_result));
bool buf_put_u64(struct buf *b, uint64_t v) __attribute__((warn_unused_result));
bool buf_put_str(struct buf *b, const char *s) __attribute__((warn_unused_result)); /* with NUL */
bool buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result)); /* without NUL */
