/* put.h: writing one message so that it is appended whole or not at all. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct put {
    struct buf *b;
    size_t began; /* offset from the start of b's data */
    size_t head;  /* 1 with a type byte */
    bool ok;      /* once false, the rest of the calls do nothing */
};

struct put put_begin(struct buf *b, uint8_t type); /* 0: no type byte, a packet of the start-up */
void put_bytes(struct put *p, const void *data, size_t n);
void put_u8(struct put *p, uint8_t v);
void put_u32(struct put *p, uint32_t v);
void put_str(struct put *p, const char *s);
/* What a person will read, made harmless; see message.h. */
void put_text(struct put *p, const char *text);
/* Fill in the length, which may be max at most, or take everything back and return false. */
bool put_end(struct put *p, size_t max) __attribute__((warn_unused_result));

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
