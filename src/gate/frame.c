#include "frame.h"

enum { HEAD = 5, LENGTH_MIN = 4, LENGTH_MAX = 0x7fffffff };

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void begin_body(struct frame *f, uint32_t length)
{
    f->have = 0;
    if (length < LENGTH_MIN || length > LENGTH_MAX)
        f->lost = true;
    else
        f->left = length - LENGTH_MIN;
}

/* A header that comes in pieces. */
static void take_head(struct frame *f, uint8_t byte)
{
    if (f->have > 0)
        f->head[f->have - 1] = byte;
    f->have++;
    if (f->have == HEAD)
        begin_body(f, read_u32(f->head));
}

/* Pass some; how many. */
static size_t take_some(struct frame *f, const uint8_t *bytes, size_t len)
{
    if (f->left > 0) {
        size_t n = len < f->left ? len : f->left;

        f->left -= (uint32_t)n;
        return n;
    }
    if (f->have == 0 && len >= HEAD) {
        begin_body(f, read_u32(bytes + 1));
        return HEAD;
    }
    take_head(f, bytes[0]);
    return 1;
}

void frame_pass(struct frame *f, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !f->lost)
        at += take_some(f, bytes + at, len - at);
}

size_t frame_pass_to_end(struct frame *f, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !f->lost && !frame_between(f))
        at += take_some(f, bytes + at, len - at);
    return f->lost ? len : at;
}
