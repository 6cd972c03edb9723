#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "t.h"

/* A server stream and an OpenSSL client at the two ends of a socket pair, in one thread. */
struct pair {
    struct stream server;
    int client_fd;
    SSL_CTX *ctx;
    SSL *client;
};

static struct tls *server_tls;
static X509 *server_cert;

static size_t pem(BIO *bio, char **ret)
{
    return (size_t)BIO_get_mem_data(bio, ret);
}

static X509 *make_cert(EVP_PKEY *key, const EVP_MD *md)
{
    X509 *x = X509_new();

    (void)X509_set_version(x, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_pubkey(x, key);
    T_OK(X509_sign(x, key, md) > 0);
    return x;
}

static struct tls *make_tls(EVP_PKEY *key, X509 *cert, struct err *e)
{
    BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    char *chain_at = NULL, *key_at = NULL;
    size_t chain_len, key_len;
    struct tls *t;

    (void)PEM_write_bio_X509(chain, cert);
    (void)PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL);
    chain_len = pem(chain, &chain_at);
    key_len = pem(secret, &key_at);
    t = tls_new(chain_at, chain_len, key_at, key_len, e);
    BIO_free(chain);
    BIO_free(secret);
    return t;
}

static void open_pair(struct pair *p)
{
    int fds[2];

    *p = (struct pair){.client_fd = -1};
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&p->server, &fds[0]);
    T_EQ(fds[0], -1);
    p->client_fd = fds[1];
    p->ctx = SSL_CTX_new(TLS_client_method());
    p->client = SSL_new(p->ctx);
    (void)SSL_set_fd(p->client, p->client_fd);
    SSL_set_connect_state(p->client);
}

static void close_pair(struct pair *p)
{
    stream_done(&p->server);
    SSL_free(p->client);
    SSL_CTX_free(p->ctx);
    close_fd(&p->client_fd);
}

/* What the server says of the handshake in the end. */
static enum io shake(struct pair *p, enum tls_way way)
{
    enum io io = IO_AGAIN;
    struct err e;

    T_EQ(stream_secure(&p->server, server_tls, way, &e), 0);
    for (int i = 0; i < 20 && io == IO_AGAIN; i++) {
        (void)SSL_do_handshake(p->client);
        ERR_clear_error();
        io = stream_handshake(&p->server);
    }
    (void)SSL_do_handshake(p->client);
    ERR_clear_error();
    return io;
}

static void offer(struct pair *p, const char *alpn)
{
    T_EQ(SSL_set_alpn_protos(p->client, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
}

static void tls_asked_for_needs_no_alpn(void)
{
    struct pair p;

    open_pair(&p);
    T_EQ(shake(&p, TLS_ASKED), IO_OK);
    close_pair(&p);
}

static void direct_tls_needs_our_alpn(void)
{
    struct pair p;

    open_pair(&p);
    T_EQ(shake(&p, TLS_DIRECT), IO_ERR);
    close_pair(&p);
    open_pair(&p);
    offer(&p, "\x08http/1.1\x0apostgresql");
    T_EQ(shake(&p, TLS_DIRECT), IO_OK);
    close_pair(&p);
}

static void another_protocols_client_is_refused_either_way(void)
{
    struct pair p;

    open_pair(&p);
    offer(&p, "\x08http/1.1");
    T_EQ(shake(&p, TLS_DIRECT), IO_ERR);
    close_pair(&p);
    open_pair(&p);
    offer(&p, "\x08http/1.1");
    T_EQ(shake(&p, TLS_ASKED), IO_ERR);
    close_pair(&p);
}

static void old_tls_is_refused(void)
{
    struct pair p;

    open_pair(&p);
    (void)SSL_set_min_proto_version(p.client, TLS1_VERSION);
    (void)SSL_set_max_proto_version(p.client, TLS1_1_VERSION);
    SSL_set_security_level(p.client, 0);
    T_EQ(shake(&p, TLS_ASKED), IO_ERR);
    close_pair(&p);
}

static void no_session_can_be_resumed(void)
{
    struct pair p;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        char byte;

        open_pair(&p);
        (void)SSL_set_max_proto_version(p.client, version);
        T_EQ(shake(&p, TLS_ASKED), IO_OK);
        (void)SSL_read(p.client, &byte, 1); /* where a ticket would be found */
        T_EQ(SSL_version(p.client), version);
        T_OK(SSL_SESSION_is_resumable(SSL_get_session(p.client)) == 0);
        close_pair(&p);
    }
}

static void more_than_a_record_arrives_whole_both_ways(void)
{
    enum { ALL = 3 << 20 };
    static uint8_t sent[ALL], got[ALL];
    size_t out = 0, in = 0;
    struct pair p;

    for (size_t i = 0; i < ALL; i++)
        sent[i] = (uint8_t)(i * 31 + i / 251);
    open_pair(&p);
    T_EQ(shake(&p, TLS_ASKED), IO_OK);
    for (int turn = 0; turn < 100000 && in < ALL; turn++) {
        size_t n = 0;

        if (out < ALL && stream_write(&p.server, sent + out, ALL - out, &n) == IO_OK)
            out += n;
        if (SSL_read_ex(p.client, got + in, ALL - in, &n) == 1)
            in += n;
    }
    T_EQ(in, ALL);
    T_OK(memcmp(sent, got, ALL) == 0);
    memset(got, 0, ALL);
    (void)SSL_set_mode(p.client, SSL_MODE_ENABLE_PARTIAL_WRITE);
    out = in = 0;
    for (int turn = 0; turn < 100000 && in < ALL; turn++) {
        size_t n = 0;

        if (out < ALL && SSL_write_ex(p.client, sent + out, ALL - out, &n) == 1)
            out += n;
        if (stream_read(&p.server, got + in, 1000 < ALL - in ? 1000 : ALL - in, &n) == IO_OK)
            in += n;
    }
    T_EQ(in, ALL);
    T_OK(memcmp(sent, got, ALL) == 0);
    close_pair(&p);
}

static void bytes_that_no_poll_tells_of_are_announced(void)
{
    struct pair p;
    char text[8];
    size_t n = 0;

    open_pair(&p);
    T_EQ(shake(&p, TLS_ASKED), IO_OK);
    T_EQ(SSL_write(p.client, "abcdef", 6), 6);
    T_EQ(stream_read(&p.server, text, 2, &n), IO_OK);
    T_OK(stream_more(&p.server));
    T_EQ(stream_read(&p.server, text, 8, &n), IO_OK);
    T_EQ(n, 4);
    T_EQ(stream_read(&p.server, text, 8, &n), IO_AGAIN);
    T_OK(!stream_more(&p.server));
    close_pair(&p);
}

static void the_end_is_told_plain_and_in_tls(void)
{
    struct pair p;
    char byte;
    size_t n = 0;

    open_pair(&p);
    stream_finish(&p.server);
    T_EQ(read(p.client_fd, &byte, 1), 0);
    T_EQ(shutdown(p.client_fd, SHUT_WR), 0);
    T_EQ(stream_read(&p.server, &byte, 1, &n), IO_EOF);
    close_pair(&p);

    open_pair(&p);
    T_EQ(shake(&p, TLS_ASKED), IO_OK);
    stream_finish(&p.server);
    T_EQ(SSL_get_error(p.client, SSL_read(p.client, &byte, 1)), SSL_ERROR_ZERO_RETURN);
    T_EQ(SSL_shutdown(p.client), 1);
    T_EQ(stream_read(&p.server, &byte, 1, &n), IO_EOF);
    close_pair(&p);
}

static void a_connection_cut_off_is_an_error_and_stays_one(void)
{
    struct pair p;
    char byte;
    size_t n = 0;

    open_pair(&p);
    T_EQ(shake(&p, TLS_ASKED), IO_OK);
    close_fd(&p.client_fd);
    T_EQ(stream_read(&p.server, &byte, 1, &n), IO_ERR);
    T_EQ(stream_read(&p.server, &byte, 1, &n), IO_ERR);
    T_EQ(stream_write(&p.server, "x", 1, &n), IO_ERR);
    close_pair(&p);
}

static void the_end_point_is_the_hash_of_the_certificate(void)
{
    uint8_t got[TLS_END_POINT_MAX], want[EVP_MAX_MD_SIZE];
    unsigned want_len = 0;
    struct pair p;

    open_pair(&p);
    T_EQ(stream_end_point(&p.server, got), 0);
    T_EQ(shake(&p, TLS_ASKED), IO_OK);
    T_EQ(X509_digest(server_cert, EVP_sha384(), want, &want_len), 1);
    T_EQ(stream_end_point(&p.server, got), want_len);
    T_OK(memcmp(got, want, want_len) == 0);
    close_pair(&p);
}

static void a_key_of_another_certificate_is_refused(void)
{
    EVP_PKEY *a = EVP_EC_gen("P-256"), *b = EVP_EC_gen("P-256");
    X509 *cert = make_cert(a, EVP_sha256());
    struct err e = {0};

    T_OK(make_tls(b, cert, &e) == NULL);
    T_EQ(e.kind, ERR_CONFIG);
    T_OK(tls_new("no", 2, "pem", 3, &e) == NULL);
    X509_free(cert);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

int main(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct err e = {0};

    (void)sigaction(SIGPIPE, &ignore, NULL);
    server_cert = make_cert(key, EVP_sha384());
    server_tls = make_tls(key, server_cert, &e);
    if (server_tls == NULL) {
        printf("# %s\n", e.msg);
        return EXIT_FAILURE;
    }
    T_RUN(tls_asked_for_needs_no_alpn);
    T_RUN(direct_tls_needs_our_alpn);
    T_RUN(another_protocols_client_is_refused_either_way);
    T_RUN(old_tls_is_refused);
    T_RUN(no_session_can_be_resumed);
    T_RUN(more_than_a_record_arrives_whole_both_ways);
    T_RUN(bytes_that_no_poll_tells_of_are_announced);
    T_RUN(the_end_is_told_plain_and_in_tls);
    T_RUN(a_connection_cut_off_is_an_error_and_stays_one);
    T_RUN(the_end_point_is_the_hash_of_the_certificate);
    T_RUN(a_key_of_another_certificate_is_refused);
    X509_free(server_cert);
    EVP_PKEY_free(key);
    tls_free(server_tls);
    return t_end();
}
