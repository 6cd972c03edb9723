#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/auto.h"
#include "base/mem.h"
#include "tls-int.h"

#ifdef __aarch64__
#include <asm/hwcap.h>
#endif

#define AES_SUITES     "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define CHACHA_SUITES  "TLS_CHACHA20_POLY1305_SHA256"
#define AES_CIPHERS    "ECDHE+AESGCM"
#define CHACHA_CIPHERS "ECDHE+CHACHA20"

/* Without instructions for it AES is some three times slower than ChaCha20. */
static bool has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#elif defined(__arm__)
    return (getauxval(AT_HWCAP2) & 1u) != 0;
#else
    return true;
#endif
}

static int fail(struct err *e, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *why = code == 0 ? NULL : ERR_reason_error_string(code);

    ERR_clear_error();
    return err_set(e, ERR_CONFIG, "could not %s: %s", what, why == NULL ? "unknown reason" : why);
}

/* Another protocol's client must not be talked into ours: no common protocol, no connection. */
static int choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                       const unsigned char *offered, unsigned int len, void *arg)
{
    static const unsigned char ours[] = TLS_ALPN;

    (void)ssl;
    (void)arg;
    for (unsigned int i = 0; i < len && offered[i] < len - i; i += offered[i] + 1u) {
        if (offered[i] == sizeof(ours) - 1 && memcmp(offered + i + 1, ours, offered[i]) == 0) {
            *ret = ours;
            *ret_len = sizeof(ours) - 1;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int set_rules(SSL_CTX *ctx, struct err *e)
{
    int groups[] = {NID_X25519, NID_X9_62_prime256v1};
    bool aes = has_aes();

    (void)SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* one system call a record instead of two: header and body are read together */
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set1_groups(ctx, groups, 2) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, aes ? AES_SUITES ":" CHACHA_SUITES
                                          : CHACHA_SUITES ":" AES_SUITES) != 1 ||
        SSL_CTX_set_cipher_list(ctx, aes ? AES_CIPHERS ":" CHACHA_CIPHERS
                                         : CHACHA_CIPHERS ":" AES_CIPHERS) != 1)
        return fail(e, "set the rules of TLS");
    return 0;
}

/* A key that asks for a passphrase gets none: there is nobody to type it. */
static int no_passphrase(char *at, int size, int writing, void *arg)
{
    (void)at;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int read_chain(SSL_CTX *ctx, BIO *bio, struct err *e)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    int r = cert == NULL ? 0 : SSL_CTX_use_certificate(ctx, cert);

    X509_free(cert);
    if (r != 1)
        return fail(e, "use the certificate");
    while ((cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
            X509_free(cert);
            return fail(e, "use the chain of the certificate");
        }
    }
    ERR_clear_error(); /* the end of the file is reported as a failure too */
    return 0;
}

static int read_key(SSL_CTX *ctx, BIO *bio, struct err *e)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    int r = key == NULL ? 0 : SSL_CTX_use_PrivateKey(ctx, key);

    EVP_PKEY_free(key);
    if (r != 1)
        return fail(e, "use the private key");
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(e, "use the private key with this certificate");
    return 0;
}

struct tls *tls_new(const void *chain, size_t chain_len, const void *key, size_t key_len,
                    struct err *e)
{
    struct tls *t = mem_new(sizeof(*t));
    BIO *chain_bio = BIO_new_mem_buf(chain, (int)chain_len); /* reads in place: leaves no copy */
    BIO *key_bio = BIO_new_mem_buf(key, (int)key_len);
    int r = -1;

    t->ctx = SSL_CTX_new(TLS_server_method());
    if (t->ctx == NULL || chain_bio == NULL || key_bio == NULL)
        (void)fail(e, "prepare TLS");
    else if (set_rules(t->ctx, e) == 0 && read_chain(t->ctx, chain_bio, e) == 0)
        r = read_key(t->ctx, key_bio, e);
    BIO_free(chain_bio);
    BIO_free(key_bio);
    if (r < 0) {
        tls_free(t);
        return NULL;
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}
