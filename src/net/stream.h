/*
 * stream.h: one connection's bytes, plain or inside TLS; who reads and writes need not know which.
 *
 * Nothing here blocks or watches: the owner watches the descriptor for stream_events() and calls
 * again. TLS may hold bytes that no poll will announce: while stream_more() is true, read again.
 * The program ignores SIGPIPE, because OpenSSL writes with write().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls.h"

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_ERR };

enum tls_way {
    TLS_ASKED,  /* the peer asked in its own protocol first; ALPN may be left out */
    TLS_DIRECT, /* the first byte was TLS already: refused without the right ALPN */
};

struct stream {
    int fd;             /* owned */
    struct ssl_st *ssl; /* owned; NULL while plain */
    enum tls_way way;
    bool more, dead; /* dead: TLS has failed, and OpenSSL allows no further call */
    bool read_wants_out, write_wants_in;
};

void stream_init(struct stream *s, int *fd_take);
/* Close without a word. */
void stream_done(struct stream *s);

/* Go on in TLS, as the server. The ALPN protocol is "postgresql". */
int stream_secure(struct stream *s, const struct tls *t, enum tls_way way, struct err *e);
/* IO_OK when TLS is established; nothing may be read or written before. */
enum io stream_handshake(struct stream *s);

/* IO_OK: at least one byte. IO_EOF: the peer will send no more (it may still read). */
enum io stream_read(struct stream *s, void *at, size_t size, size_t *ret_n);
/*
 * IO_OK: all or a part was taken. After IO_AGAIN the next call must offer the same bytes, and may
 * offer more behind them; they may have moved.
 */
enum io stream_write(struct stream *s, const void *at, size_t len, size_t *ret_n);
/* Say that we send no more: close_notify where there is TLS, then FIN. */
void stream_finish(struct stream *s);

static inline bool stream_more(const struct stream *s)
{
    return s->more;
}
/* What to poll for, to go on reading and/or writing. */
uint32_t stream_events(const struct stream *s, bool to_read, bool to_write);

/* The tls-server-end-point binding of this connection; 0 when it has none. */
size_t stream_end_point(const struct stream *s, uint8_t ret_hash[TLS_END_POINT_MAX]);
