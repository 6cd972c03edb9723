/* From a sparse file to a stream. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/auto.h"
#include "base/mem.h"

#include "backup-int.h"

/* Level 1 keeps up with the targets people have, on one core; 3 saves a tenth and takes a half
 * more. */
#define LEVEL 1

struct extent {
    uint64_t at, end;
};

/* The next data at or after `from`. 0: there is no more. */
static int next_extent(int fd, uint64_t from, uint64_t size, struct extent *ret, struct err *e)
{
    off_t at = from >= size ? -1 : lseek(fd, (off_t)from, SEEK_DATA), end;

    if (from >= size || (at < 0 && errno == ENXIO))
        return 0;
    end = at < 0 ? -1 : lseek(fd, at, SEEK_HOLE);
    if (end < 0)
        return err_set_os(e, errno, "could not find the data of an image");
    ret->at = (uint64_t)at;
    ret->end = (uint64_t)end > size ? size : (uint64_t)end;
    return ret->at < ret->end;
}

int pack_data(int fd, uint64_t size, uint64_t *ret_bytes, struct err *e)
{
    struct extent x = {0, 0};
    uint64_t bytes = 0;
    int more;

    while ((more = next_extent(fd, x.end, size, &x, e)) > 0)
        bytes += x.end - x.at;
    if (more < 0)
        return -1;
    *ret_bytes = bytes;
    return 0;
}

struct pack {
    int fd;
    ZSTD_CCtx *zstd;   /* owned */
    uint8_t *in, *out; /* owned; of STREAM_PIECE, of out_size */
    size_t out_size;
    stream_put_fn put;
    void *put_owner;
    backup_progress_fn progress;
    void *owner;
    uint64_t done, total;
};

static void pack_done(struct pack *p)
{
    (void)ZSTD_freeCCtx(p->zstd);
    free(p->in);
    free(p->out);
}

static int pack_init(struct pack *p, struct err *e)
{
    p->out_size = ZSTD_CStreamOutSize();
    p->in = mem_new(STREAM_PIECE);
    p->out = mem_new(p->out_size);
    p->zstd = ZSTD_createCCtx();
    if (p->zstd == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1)))
        return err_set(e, ERR_INTERNAL, "zstd does not work");
    return 0;
}

static int put(struct pack *p, const void *data, size_t len, ZSTD_EndDirective how, struct err *e)
{
    ZSTD_inBuffer in = {data, len, 0};
    size_t left;

    do {
        ZSTD_outBuffer out = {p->out, p->out_size, 0};

        left = ZSTD_compressStream2(p->zstd, &out, &in, how);
        if (ZSTD_isError(left))
            return err_set(e, ERR_INTERNAL, "could not compress: %s", ZSTD_getErrorName(left));
        if (out.pos > 0 && p->put(p->put_owner, p->out, out.pos, e) < 0)
            return -1;
    } while (in.pos < in.size || (how == ZSTD_e_end && left > 0));
    return 0;
}

static int put_head(struct pack *p, uint64_t a, uint64_t b, ZSTD_EndDirective how, struct err *e)
{
    uint64_t head[2] = {htobe64(a), htobe64(b)};

    return put(p, head, sizeof(head), how, e);
}

static int put_start(struct pack *p, uint64_t size, struct err *e)
{
    uint64_t be = htobe64(size);

    if (put(p, STREAM_MAGIC, STREAM_HEAD - sizeof(be), ZSTD_e_continue, e) < 0)
        return -1;
    return put(p, &be, sizeof(be), ZSTD_e_continue, e);
}

static int put_extent(struct pack *p, const struct extent *x, struct err *e)
{
    if (put_head(p, x->at, x->end - x->at, ZSTD_e_continue, e) < 0)
        return -1;
    for (uint64_t at = x->at; at < x->end;) {
        size_t want = x->end - at < STREAM_PIECE ? (size_t)(x->end - at) : STREAM_PIECE;
        ssize_t n = pread(p->fd, p->in, want, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_set_os(e, errno, "could not read an image")
                         : err_set(e, ERR_BUSY, "the image became shorter while it was read");
        /* Read once: it must not push out of memory what servers use. */
        (void)posix_fadvise(p->fd, (off_t)at, n, POSIX_FADV_DONTNEED);
        at += (uint64_t)n;
        p->done += (uint64_t)n;
        if (put(p, p->in, (size_t)n, ZSTD_e_continue, e) < 0 ||
            (p->progress != NULL && p->progress(p->owner, p->done, p->total, e) < 0))
            return -1;
    }
    return 0;
}

int pack_image(int fd, uint64_t size, uint64_t total, stream_put_fn put_fn, void *put_owner,
               backup_progress_fn fn, void *owner, struct err *e)
{
    AUTO(pack_done)
    struct pack p = {.fd = fd,
                     .put = put_fn,
                     .put_owner = put_owner,
                     .progress = fn,
                     .owner = owner,
                     .total = total};
    struct extent x = {0, 0};
    int more;

    if (pack_init(&p, e) < 0 || put_start(&p, size, e) < 0)
        return -1;
    while ((more = next_extent(fd, x.end, size, &x, e)) > 0)
        if (put_extent(&p, &x, e) < 0)
            return -1;
    return more < 0 ? -1 : put_head(&p, size, 0, ZSTD_e_end, e);
}
