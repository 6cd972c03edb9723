/* cert-int.h: shared by the files of this folder; nobody else includes it. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/types.h>

#include "base/auto.h"
#include "cert.h"

enum { CERT_DAY = 86400, CERT_LEAF_DAYS = 397, CERT_CA_DAYS = 3653 };

static inline void cert_x509_free(X509 **cert)
{
    X509_free(*cert);
}
static inline void cert_key_free(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
#define AUTO_X509 AUTO(cert_x509_free) X509 *
#define AUTO_KEY  AUTO(cert_key_free) EVP_PKEY *

/* What OpenSSL complained of last, after ": "; its queue is empty afterwards. Returns -1. */
int cert_failed(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Text of a file: 1, 0 when there is none, -1. The caller wipes and frees. */
int pem_read(int dir_fd, const char *path, char **ret_text, struct err *e);
void pem_forget(char **text); /* wipes and frees */
#define AUTO_PEM AUTO(pem_forget) char *

/* The first of its kind in the text, owned by the caller; NULL (nothing raised) when there is none.
 */
X509 *pem_cert(const char *text);
EVP_PKEY *pem_key(const char *text);
/* One or two certificates, or a key, as a file. */
int pem_write_certs(int dir_fd, const char *path, X509 *first, X509 *second, struct err *e);
int pem_write_key(int dir_fd, const char *path, EVP_PKEY *key, struct err *e);

/* When it ends or begins, in seconds since 1970. */
int64_t cert_seconds(const ASN1_TIME *t);

EVP_PKEY *issue_key(struct err *e); /* owned by the caller; NULL with *e */
X509 *issue_ca(EVP_PKEY *key, const char *hub, int64_t now, struct err *e);
X509 *issue_leaf(EVP_PKEY *key, const struct cert_names *names, X509 *ca, EVP_PKEY *ca_key,
                 int64_t now, struct err *e);
bool issue_fits(X509 *leaf, const struct cert_names *names); /* just these names, in any order */
