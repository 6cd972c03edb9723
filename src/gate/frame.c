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

void frame_pass(struct frame *f, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !f->lost) {
        if (f->left > 0) {
            size_t n = len - at < f->left ? len - at : f->left;

            f->left -= (uint32_t)n;
            at += n;
        } else if (f->have == 0 && len - at >= HEAD) {
            begin_body(f, read_u32(bytes + at + 1));
            at += HEAD;
        } else {
            take_head(f, bytes[at++]);
        }
    }
}
