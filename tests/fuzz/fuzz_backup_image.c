#include <assert.h>
#include <string.h>

#include "backup/backup-int.h"

#include "fuzz.h"

/* What has been put where, told independently of how. */
struct seen {
    uint64_t size, next, bytes, sum;
};

static int put(void *owner, uint64_t offset, const void *data, size_t len, struct err *e)
{
    struct seen *s = owner;
    const uint8_t *p = data;

    (void)e;
    assert(len > 0 && len <= STREAM_PIECE);
    assert(offset >= s->next && offset < s->size && len <= s->size - offset);
    for (size_t i = 0; i < len; i++)
        s->sum = (s->sum ^ (offset + i) ^ p[i]) * 0x9e3779b97f4a7c15u;
    s->next = offset + len;
    s->bytes += len;
    return 0;
}

/* In steps of that many bytes; the same is seen whatever they are, when it is taken. */
static int unpack(const uint8_t *data, size_t len, uint64_t size, size_t step, bool plain,
                  struct seen *ret)
{
    struct seen s = {.size = size};
    struct unpack u;
    struct err e;
    int r = 0;

    assert(unpack_init(&u, size, put, &s, &e) == 0);
    u.frame_over = plain;
    for (size_t at = 0; r == 0 && at < len; at += step) {
        size_t n = len - at < step ? len - at : step;

        r = plain ? unpack_plain(&u, data + at, n, &e) : unpack_feed(&u, data + at, n, &e);
    }
    if (r == 0)
        r = unpack_end(&u, &e);
    assert(r == 0 || e.kind == ERR_INPUT);
    assert(s.bytes <= size);
    unpack_done(&u);
    *ret = s;
    return r;
}

/* The first byte says how large the image is to be, the second in which steps it comes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t size;
    size_t step;

    if (len < 2)
        return 0;
    size = (uint64_t)1 << data[0] % 64;
    step = 1 + (size_t)data[1] * 3;
    for (int plain = 0; plain < 2; plain++) {
        struct seen whole, pieces;
        int a = unpack(data + 2, len - 2, size, len, plain, &whole);
        int b = unpack(data + 2, len - 2, size, step, plain, &pieces);

        assert(a == b);
        assert(a < 0 || memcmp(&whole, &pieces, sizeof(whole)) == 0);
    }
    return 0;
}
