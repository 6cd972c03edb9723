/* pem.c: certificates and keys as files. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

#include "cert-int.h"

int cert_failed(struct err *e, const char *fmt, ...)
{
    char before[160];
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(before, sizeof(before), fmt, ap);
    va_end(ap);
    (void)err_set(e, ERR_INTERNAL, "%s: %s", before, reason == NULL ? "no reason given" : reason);
    ERR_clear_error();
    return -1;
}

int pem_read(int dir_fd, const char *path, char **ret_text, struct err *e)
{
    struct stat st;

    if (fstatat(dir_fd, path, &st, 0) < 0 && errno == ENOENT) {
        *ret_text = NULL;
        return 0;
    }
    return fd_read_file(dir_fd, path, CERT_FILE_MAX, ret_text, e) < 0 ? -1 : 1;
}

void pem_forget(char **text)
{
    if (*text != NULL)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

/* A key with a passphrase must not make a daemon ask its terminal for it. */
static int no_passphrase(char *at, int size, int writing, void *arg)
{
    (void)at;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

X509 *pem_cert(const char *text)
{
    BIO *in = text == NULL ? NULL : BIO_new_mem_buf(text, -1);
    X509 *cert = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, no_passphrase, NULL);

    BIO_free(in);
    ERR_clear_error();
    return cert;
}

EVP_PKEY *pem_key(const char *text)
{
    BIO *in = text == NULL ? NULL : BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);

    BIO_free(in);
    ERR_clear_error();
    return key;
}

static int write_out(int dir_fd, const char *path, mode_t mode, BIO *out, struct err *e)
{
    char *text = NULL;
    long len = BIO_get_mem_data(out, &text);

    return fd_write_file(dir_fd, path, mode, geteuid(), getegid(), text, (size_t)len, e);
}

int pem_write_certs(int dir_fd, const char *path, X509 *first, X509 *second, struct err *e)
{
    BIO *out = BIO_new(BIO_s_mem());
    int r;

    if (out == NULL || PEM_write_bio_X509(out, first) != 1 ||
        (second != NULL && PEM_write_bio_X509(out, second) != 1))
        r = cert_failed(e, "could not encode \"%s\"", path);
    else
        r = write_out(dir_fd, path, 0644, out, e);
    BIO_free(out);
    return r;
}

int pem_write_key(int dir_fd, const char *path, EVP_PKEY *key, struct err *e)
{
    BIO *out = BIO_new(BIO_s_secmem()); /* wiped when freed */
    int r;

    if (out == NULL || PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        r = cert_failed(e, "could not encode \"%s\"", path);
    else
        r = write_out(dir_fd, path, 0600, out, e);
    BIO_free(out);
    return r;
}

int64_t cert_seconds(const ASN1_TIME *t)
{
    struct tm tm;

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}
