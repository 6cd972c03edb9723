/*
 * frame.h: where in a stream of messages the bytes that passed have ended. Pure.
 *
 * A session can be told why it ends only between two messages of its server: anywhere else the
 * words would be taken for a part of a row.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame {
    uint32_t left;   /* bytes of the body still to come */
    uint8_t head[4]; /* the length word, as far as it came */
    uint8_t have;    /* of type and length word: 0..4; 5 never stays */
    bool lost;       /* a length that cannot be: nothing is known from here on */
};

void frame_pass(struct frame *f, const uint8_t *bytes, size_t len);
/* Pass bytes up to where a message ends, or all of them. Returns how many; 0 when one has ended. */
size_t frame_pass_to_end(struct frame *f, const uint8_t *bytes, size_t len);
/* True when all that passed are whole messages. */
static inline bool frame_between(const struct frame *f)
{
    return !f->lost && f->left == 0 && f->have == 0;
}
