#include "stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "tls-int.h"

void stream_init(struct stream *s, int *fd_take)
{
    *s = (struct stream){.fd = take_fd(fd_take)};
}

void stream_done(struct stream *s)
{
    SSL_free(s->ssl);
    close_fd(&s->fd);
    *s = (struct stream){.fd = -1};
}

int stream_secure(struct stream *s, const struct tls *t, enum tls_way way, struct err *e)
{
    s->ssl = SSL_new(t->ctx);
    s->way = way;
    if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1) {
        SSL_free(s->ssl);
        s->ssl = NULL;
        ERR_clear_error();
        return err_set(e, ERR_INTERNAL, "could not begin TLS");
    }
    SSL_set_accept_state(s->ssl);
    return 0;
}

/* What an OpenSSL call that did not succeed means. *ret_crossed: it waits for
 * the other direction than its own. */
static enum io judge(struct stream *s, int r, int own, bool *ret_crossed)
{
    int why = SSL_get_error(s->ssl, r);

    *ret_crossed = false;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        *ret_crossed = why != own;
        return IO_AGAIN;
    }
    if (why == SSL_ERROR_ZERO_RETURN)
        return IO_EOF;
    s->dead = true;
    ERR_clear_error();
    return IO_ERR;
}

enum io stream_handshake(struct stream *s)
{
    const unsigned char *chosen = NULL;
    unsigned int len = 0;
    bool crossed;
    int r;

    if (s->dead)
        return IO_ERR;
    ERR_clear_error();
    r = SSL_do_handshake(s->ssl);
    if (r != 1) {
        enum io io = judge(s, r, SSL_ERROR_WANT_READ, &crossed);

        s->read_wants_out = crossed;
        return io;
    }
    s->read_wants_out = false;
    s->more = SSL_has_pending(s->ssl) == 1;
    SSL_get0_alpn_selected(s->ssl, &chosen, &len);
    return s->way == TLS_DIRECT && len == 0 ? IO_ERR : IO_OK;
}

static enum io read_plain(struct stream *s, void *at, size_t size, size_t *ret_n)
{
    ssize_t n;

    do
        n = recv(s->fd, at, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        *ret_n = (size_t)n;
        return IO_OK;
    }
    if (n == 0)
        return IO_EOF;
    return errno == EAGAIN ? IO_AGAIN : IO_ERR;
}

enum io stream_read(struct stream *s, void *at, size_t size, size_t *ret_n)
{
    int r;

    if (s->ssl == NULL)
        return read_plain(s, at, size, ret_n);
    s->more = false;
    if (s->dead)
        return IO_ERR;
    ERR_clear_error();
    r = SSL_read_ex(s->ssl, at, size, ret_n);
    if (r == 1) {
        s->read_wants_out = false;
        s->more = SSL_has_pending(s->ssl) == 1;
        return IO_OK;
    }
    return judge(s, r, SSL_ERROR_WANT_READ, &s->read_wants_out);
}

static enum io write_plain(struct stream *s, const void *at, size_t len, size_t *ret_n)
{
    ssize_t n;

    do
        n = send(s->fd, at, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *ret_n = (size_t)n;
        return IO_OK;
    }
    return errno == EAGAIN ? IO_AGAIN : IO_ERR;
}

enum io stream_write(struct stream *s, const void *at, size_t len, size_t *ret_n)
{
    int r;

    if (s->ssl == NULL)
        return write_plain(s, at, len, ret_n);
    if (s->dead)
        return IO_ERR;
    ERR_clear_error();
    r = SSL_write_ex(s->ssl, at, len, ret_n);
    if (r == 1) {
        s->write_wants_in = false;
        return IO_OK;
    }
    return judge(s, r, SSL_ERROR_WANT_WRITE, &s->write_wants_in) == IO_AGAIN ? IO_AGAIN : IO_ERR;
}

void stream_finish(struct stream *s)
{
    if (s->ssl != NULL && !s->dead && SSL_is_init_finished(s->ssl) == 1) {
        ERR_clear_error();
        (void)SSL_shutdown(s->ssl); /* one try: a peer that does not read misses it */
        ERR_clear_error();
    }
    (void)shutdown(s->fd, SHUT_WR);
}

uint32_t stream_events(const struct stream *s, bool to_read, bool to_write)
{
    uint32_t events = 0;

    if (to_read)
        events |= s->read_wants_out ? EPOLLOUT : EPOLLIN;
    if (to_write)
        events |= s->write_wants_in ? EPOLLIN : EPOLLOUT;
    return events;
}

size_t stream_end_point(const struct stream *s, uint8_t ret_hash[TLS_END_POINT_MAX])
{
    X509 *cert = s->ssl == NULL ? NULL : SSL_get_certificate(s->ssl);
    const EVP_MD *md;
    unsigned int len = 0;
    int nid = NID_undef;

    if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1)
        return 0;
    /* RFC 5929: the hash of the certificate's signature, but never a broken one */
    if (nid == NID_md5 || nid == NID_sha1)
        nid = NID_sha256;
    md = nid == NID_undef ? NULL : EVP_get_digestbynid(nid);
    if (md == NULL || EVP_MD_get_size(md) > TLS_END_POINT_MAX ||
        X509_digest(cert, md, ret_hash, &len) != 1)
        return 0;
    return len;
}
