/* cert.c: the four files kept in order, and what others want to know of a certificate. */
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/inject.h"
#include "base/str.h"

#include "cert-int.h"

struct ca {
    EVP_PKEY *key; /* owned; NULL when it is kept elsewhere */
    X509 *cert;    /* owned */
};

static void ca_done(struct ca *ca)
{
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
}

static int refuse_ca(const char *hint, struct err *e, const char *why)
{
    (void)err_set(e, ERR_CONFIG, "the hub's certificate authority cannot be used: %s", why);
    return err_hint(e, "%s", hint);
}

static const char restore_hint[] =
    "put the pair back from a backup; or remove ca.key and ca.crt to found a new authority, whose "
    "ca.crt every client must then be given";

/* Ours, its own issuer, made for issuing, and in its time. */
static int check_ca(const struct ca *ca, int64_t now, struct err *e)
{
    if (X509_check_ca(ca->cert) != 1 || X509_check_issued(ca->cert, ca->cert) != X509_V_OK)
        return refuse_ca(restore_hint, e, "ca.crt is not an authority's own certificate");
    if (ca->key != NULL && X509_check_private_key(ca->cert, ca->key) != 1)
        return refuse_ca(restore_hint, e, "ca.key and ca.crt do not belong together");
    if (now > cert_seconds(X509_get0_notAfter(ca->cert)))
        return refuse_ca(restore_hint, e, "ca.crt has expired");
    if (now < cert_seconds(X509_get0_notBefore(ca->cert)))
        return refuse_ca("set the clock of this machine", e, "ca.crt is from the future");
    return 0;
}

/* 1 when an authority or its certificate had to be made. */
static int load_ca(int dir_fd, struct ca *ca, const struct cert_names *names, int64_t now,
                   struct err *e)
{
    AUTO_PEM key_text = NULL;
    AUTO_PEM cert_text = NULL;
    int has_key = pem_read(dir_fd, "ca.key", &key_text, e), has_cert;

    if (has_key < 0)
        return -1;
    has_cert = pem_read(dir_fd, "ca.crt", &cert_text, e);
    if (has_cert < 0)
        return -1;
    ca->key = pem_key(key_text);
    ca->cert = pem_cert(cert_text);
    if (has_key == 1 && ca->key == NULL)
        return refuse_ca(restore_hint, e, "ca.key holds no key that can be read");
    if (has_cert == 1 && ca->cert == NULL && cert_text[0] != '\0')
        return refuse_ca(has_key == 1 ? "remove ca.crt: it is made again from ca.key"
                                      : restore_hint,
                         e, "ca.crt holds no certificate");
    if (has_cert == 1 && ca->cert == NULL && has_key == 0)
        return refuse_ca(restore_hint, e, "ca.crt is empty and ca.key is missing");
    if (ca->cert != NULL)
        return check_ca(ca, now, e);
    if (ca->key == NULL) {
        ca->key = issue_key(e);
        /* key first: a key without its certificate is completed, a certificate without its key
         * would be an authority that can issue nothing */
        if (ca->key == NULL || pem_write_key(dir_fd, "ca.key", ca->key, e) < 0 ||
            INJECT("cert.ca-key", e) < 0)
            return -1;
    }
    ca->cert = issue_ca(ca->key, names->hub, now, e);
    if (ca->cert == NULL || pem_write_certs(dir_fd, "ca.crt", ca->cert, NULL, e) < 0)
        return -1;
    return 1;
}

static bool signed_by(X509 *leaf, X509 *ca)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);
    bool good =
        key != NULL && X509_check_issued(ca, leaf) == X509_V_OK && X509_verify(leaf, key) == 1;

    ERR_clear_error();
    return good;
}

/* Does the file go on with the authority's certificate, as a client that has only the root needs?
 */
static bool chain_ends_in(const char *text, X509 *ca)
{
    const char *second = strstr(text, "-----END CERTIFICATE-----");
    AUTO_X509 cert = second == NULL ? NULL : pem_cert(second + 1);

    return cert != NULL && X509_cmp(cert, ca) == 0;
}

static bool in_good_time(X509 *leaf, X509 *ca, int64_t now)
{
    int64_t from = cert_seconds(X509_get0_notBefore(leaf));
    int64_t to = cert_seconds(X509_get0_notAfter(leaf));

    if (from > now)
        return false;
    /* near the authority's own end a new one would end no later */
    return to - now > (to - from) / 3 || (to > now && to >= cert_seconds(X509_get0_notAfter(ca)));
}

/* 1 when the pair can stay as it is. */
static int leaf_is_good(int dir_fd, const struct ca *ca, const struct cert_names *names,
                        int64_t now, struct err *e)
{
    AUTO_PEM key_text = NULL;
    AUTO_PEM cert_text = NULL;
    AUTO_KEY key = NULL;
    AUTO_X509 leaf = NULL;
    bool good;

    if (pem_read(dir_fd, "server.key", &key_text, e) < 0 ||
        pem_read(dir_fd, "server.crt", &cert_text, e) < 0)
        return -1;
    key = pem_key(key_text);
    leaf = pem_cert(cert_text);
    good = key != NULL && leaf != NULL && X509_check_private_key(leaf, key) == 1 &&
           signed_by(leaf, ca->cert) && chain_ends_in(cert_text, ca->cert) &&
           issue_fits(leaf, names) && in_good_time(leaf, ca->cert, now);
    ERR_clear_error();
    return good;
}

/* Key before certificate: a crash between leaves a pair that does not match, which is made again.
 */
static int renew_leaf(int dir_fd, const struct ca *ca, const struct cert_names *names, int64_t now,
                      struct err *e)
{
    AUTO_KEY key = NULL;
    AUTO_X509 leaf = NULL;

    if (ca->key == NULL) {
        (void)err_set(e, ERR_CONFIG,
                      "the server's certificate must be issued, but ca.key is not "
                      "there");
        return err_hint(e, "put ca.key back for as long as that takes; or remove ca.crt as well to "
                           "found a new authority, whose ca.crt every client must then be given");
    }
    key = issue_key(e);
    if (key == NULL)
        return -1;
    leaf = issue_leaf(key, names, ca->cert, ca->key, now, e);
    if (leaf == NULL)
        return -1;
    if (pem_write_key(dir_fd, "server.key", key, e) < 0 || INJECT("cert.server-key", e) < 0)
        return -1;
    return pem_write_certs(dir_fd, "server.crt", leaf, ca->cert, e);
}

int cert_ensure(int dir_fd, const struct cert_names *names, int64_t now, struct err *e)
{
    AUTO(ca_done) struct ca ca = {0};
    int founded, good;

    if (names->n == 0)
        return err_set(e, ERR_INPUT, "a server certificate needs a name");
    founded = load_ca(dir_fd, &ca, names, now, e);
    if (founded < 0)
        return -1;
    good = leaf_is_good(dir_fd, &ca, names, now, e);
    if (good < 0 || (good == 0 && renew_leaf(dir_fd, &ca, names, now, e) < 0))
        return -1;
    return founded == 1 ? CERT_FOUNDED : good == 1 ? CERT_KEPT : CERT_ISSUED;
}

static int check_pair(const char *chain_path, X509 *leaf, const char *key_path, EVP_PKEY *key,
                      int64_t now, struct err *e)
{
    int match;

    if (leaf == NULL)
        return err_set(e, ERR_CONFIG, "\"%s\" holds no certificate", chain_path);
    if (key == NULL) {
        (void)err_set(e, ERR_CONFIG, "\"%s\" holds no key that can be read", key_path);
        return err_hint(e, "it must be PEM, without a passphrase");
    }
    match = X509_check_private_key(leaf, key);
    ERR_clear_error();
    if (match != 1) {
        (void)err_set(e, ERR_CONFIG, "the first certificate of \"%s\" does not belong to \"%s\"",
                      chain_path, key_path);
        return err_hint(e, "the server's own certificate comes first, then those who issued it");
    }
    if (now < cert_seconds(X509_get0_notBefore(leaf))) {
        (void)err_set(e, ERR_CONFIG, "the certificate \"%s\" is not valid yet", chain_path);
        return err_hint(e, "is the clock of this machine right?");
    }
    if (now > cert_seconds(X509_get0_notAfter(leaf)))
        return err_set(e, ERR_CONFIG, "the certificate \"%s\" has expired", chain_path);
    return 0;
}

static int read_there(int dir_fd, const char *path, char **ret_text, struct err *e)
{
    int r = pem_read(dir_fd, path, ret_text, e);

    return r == 0 ? err_set(e, ERR_CONFIG, "there is no \"%s\"", path) : r;
}

int cert_load(int dir_fd, const char *chain_path, const char *key_path, int64_t now,
              struct buf *chain, struct buf *key, struct err *e)
{
    AUTO_PEM chain_text = NULL;
    AUTO_PEM key_text = NULL;
    AUTO_X509 leaf = NULL;
    AUTO_KEY pair = NULL;
    size_t chain_len, key_len;

    if (read_there(dir_fd, chain_path, &chain_text, e) < 0 ||
        read_there(dir_fd, key_path, &key_text, e) < 0)
        return -1;
    leaf = pem_cert(chain_text);
    pair = pem_key(key_text);
    if (check_pair(chain_path, leaf, key_path, pair, now, e) < 0)
        return -1;
    chain_len = strlen(chain_text);
    key_len = strlen(key_text);
    if (!buf_reserve(chain, chain_len) || !buf_reserve(key, key_len) ||
        !buf_put(chain, chain_text, chain_len) || !buf_put(key, key_text, key_len))
        return err_set(e, ERR_LIMIT, "\"%s\" is too large", chain_path);
    return 0;
}

static X509 *first_of(int dir_fd, const char *path, struct err *e)
{
    AUTO_PEM text = NULL;
    X509 *cert;

    if (read_there(dir_fd, path, &text, e) < 0)
        return NULL;
    cert = pem_cert(text);
    if (cert == NULL)
        (void)err_set(e, ERR_CONFIG, "\"%s\" holds no certificate", path);
    return cert;
}

int cert_fingerprint(int dir_fd, const char *path, char ret_fingerprint[CERT_FINGERPRINT_SIZE],
                     struct err *e)
{
    AUTO_X509 cert = first_of(dir_fd, path, e);
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (cert == NULL)
        return -1;
    if (X509_digest(cert, EVP_sha256(), hash, &n) != 1 || n != 32)
        return cert_failed(e, "could not take the fingerprint of \"%s\"", path);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(ret_fingerprint + 3 * i, 4, "%02X%s", hash[i], i + 1 < n ? ":" : "");
    return 0;
}

int cert_days_left(int dir_fd, const char *path, int64_t now, int *ret_days, struct err *e)
{
    AUTO_X509 cert = first_of(dir_fd, path, e);
    int64_t left;

    if (cert == NULL)
        return -1;
    left = cert_seconds(X509_get0_notAfter(cert)) - now;
    *ret_days = (int)(left < 0 ? (left - (CERT_DAY - 1)) / CERT_DAY : left / CERT_DAY);
    return 0;
}

int cert_end_point_hash(const X509 *cert, uint8_t ret_hash[CERT_HASH_MAX], struct err *e)
{
    int nid = NID_undef;
    const EVP_MD *md;
    unsigned n = 0;

    if (X509_get_signature_info((X509 *)(uintptr_t)cert, &nid, NULL, NULL, NULL) != 1)
        nid = NID_undef;
    md = nid == NID_md5 || nid == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(nid);
    if (nid == NID_undef || md == NULL || EVP_MD_get_size(md) > CERT_HASH_MAX) {
        ERR_clear_error();
        return err_set(e, ERR_MISSING, "the certificate's signature has no hash for a binding");
    }
    if (X509_digest(cert, md, ret_hash, &n) != 1)
        return cert_failed(e, "could not hash the certificate");
    return (int)n;
}
