/* From a stream to the places its data belongs. Whoever wrote the stream is a stranger. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"

#include "backup-int.h"

/* What a stream can make us allocate: 8 MiB of history. Ours needs half a megabyte. */
#define WINDOW_LOG_MAX 23

static int damaged(struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "the image is damaged: %s", what);
}

int unpack_init(struct unpack *u, uint64_t size, unpack_put_fn put, void *owner, struct err *e)
{
    *u = (struct unpack){.size = size, .put = put, .owner = owner, .state = UNPACK_START};
    u->room = mem_new(STREAM_PIECE);
    u->zstd = ZSTD_createDCtx();
    if (u->zstd == NULL ||
        ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
        return err_set(e, ERR_INTERNAL, "zstd does not work");
    return 0;
}

void unpack_done(struct unpack *u)
{
    (void)ZSTD_freeDCtx(u->zstd);
    free(u->room);
    u->zstd = u->room = NULL;
}

static uint64_t number_at(const uint8_t *p)
{
    uint64_t be;

    memcpy(&be, p, sizeof(be));
    return be64toh(be);
}

static int start(struct unpack *u, struct err *e)
{
    if (memcmp(u->head, STREAM_MAGIC, STREAM_HEAD - 8) != 0)
        return damaged(e, "it does not begin like one");
    if (number_at(u->head + 8) != u->size)
        return damaged(e, "it is of another size");
    u->state = UNPACK_EXTENT;
    return 0;
}

static int extent(struct unpack *u, struct err *e)
{
    uint64_t offset = number_at(u->head), len = number_at(u->head + 8);

    /* In this order nothing wraps. */
    if (offset < u->at || offset > u->size || len > u->size - offset)
        return damaged(e, "data lies where there can be none");
    if (len == 0 && offset != u->size)
        return damaged(e, "a part is empty");
    u->at = offset;
    u->data_left = len;
    u->state = len == 0 ? UNPACK_END : UNPACK_DATA;
    return 0;
}

static int take_data(struct unpack *u, const uint8_t *p, size_t len, struct err *e)
{
    if (u->put(u->owner, u->at, p, len, e) < 0)
        return -1;
    u->at += len;
    u->data_left -= len;
    if (u->data_left == 0)
        u->state = UNPACK_EXTENT;
    return 0;
}

int unpack_plain(struct unpack *u, const uint8_t *p, size_t len, struct err *e)
{
    while (len > 0) {
        size_t n = STREAM_HEAD - u->have;

        if (u->state == UNPACK_END)
            return damaged(e, "something follows its end");
        if (u->state == UNPACK_DATA) {
            n = STREAM_PIECE;
            n = n < len ? n : len;
            n = n < u->data_left ? n : (size_t)u->data_left;
            if (take_data(u, p, n, e) < 0)
                return -1;
        } else {
            n = n < len ? n : len;
            memcpy(u->head + u->have, p, n);
            u->have += n;
        }
        p += n;
        len -= n;
        if (u->have < STREAM_HEAD)
            continue;
        u->have = 0;
        if ((u->state == UNPACK_START ? start(u, e) : extent(u, e)) < 0)
            return -1;
    }
    return 0;
}

int unpack_feed(struct unpack *u, const void *stored, size_t len, struct err *e)
{
    ZSTD_inBuffer in = {stored, len, 0};
    bool full = false;

    /* Once more when the room was filled: there may be more behind it. */
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = {u->room, STREAM_PIECE, 0};
        size_t left;

        if (u->frame_over)
            return in.pos < in.size ? damaged(e, "something follows its end") : 0;
        left = ZSTD_decompressStream(u->zstd, &out, &in);
        if (ZSTD_isError(left))
            return damaged(e, ZSTD_getErrorName(left));
        if (unpack_plain(u, u->room, out.pos, e) < 0)
            return -1;
        u->frame_over = left == 0;
        full = out.pos == out.size;
    }
    return 0;
}

int unpack_end(const struct unpack *u, struct err *e)
{
    if (!u->frame_over || u->state != UNPACK_END)
        return damaged(e, "its end is missing");
    return 0;
}
