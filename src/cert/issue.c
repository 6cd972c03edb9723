/* issue.c: what our certificates say, so that libpq's verify-full and X509_V_FLAG_X509_STRICT
 * agree. */
#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "base/str.h"

#include "cert-int.h"

EVP_PKEY *issue_key(struct err *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    if (key == NULL)
        (void)cert_failed(e, "could not make a key");
    return key;
}

static bool set_serial(X509 *cert)
{
    uint8_t bytes[16];
    BIGNUM *number;
    bool good;

    rand_bytes(bytes, sizeof(bytes));
    bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and of one length */
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

/* A common name has at most 64 characters; the hub's name gives way. */
static bool set_name(X509_NAME *name, const char *hub, const char *after)
{
    char text[80];
    int n = (int)strnlen(hub, 40);

    while (n > 0 && !str_utf8(hub, (size_t)n))
        n--;
    (void)snprintf(text, sizeof(text), "Dormouse hub %.*s%s", n, hub, after);
    return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1, 0) == 1;
}

static bool add_extension(X509 *cert, X509V3_CTX *context, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
    bool good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return good;
}

static bool set_dates(X509 *cert, int64_t from, int64_t to)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)to) != NULL;
}

static bool fill_ca(X509 *ca, EVP_PKEY *key, const char *hub, int64_t now)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, ca, ca, NULL, NULL, 0);
    return X509_set_version(ca, X509_VERSION_3) == 1 && set_serial(ca) &&
           set_name(X509_get_subject_name(ca), hub, " CA") &&
           X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
           set_dates(ca, now - CERT_DAY, now + (int64_t)CERT_CA_DAYS * CERT_DAY) &&
           X509_set_pubkey(ca, key) == 1 &&
           add_extension(ca, &context, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(ca, &context, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(ca, &context, NID_subject_key_identifier, "hash") &&
           X509_sign(ca, key, EVP_sha256()) > 0;
}

X509 *issue_ca(EVP_PKEY *key, const char *hub, int64_t now, struct err *e)
{
    X509 *ca = X509_new();

    if (ca != NULL && fill_ca(ca, key, hub, now))
        return ca;
    X509_free(ca);
    (void)cert_failed(e, "could not make the hub's certificate authority");
    return NULL;
}

/* An address as the 4 or 16 bytes that a certificate holds; 0 when it is a DNS name. */
static int address_of(const char *name, uint8_t ret_bytes[16])
{
    if (inet_pton(AF_INET, name, ret_bytes) == 1)
        return 4;
    return inet_pton(AF_INET6, name, ret_bytes) == 1 ? 16 : 0;
}

static GENERAL_NAME *general_name(const char *name)
{
    GENERAL_NAME *g = GENERAL_NAME_new();
    uint8_t bytes[16];
    int n = address_of(name, bytes);
    ASN1_STRING *value = n > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    int r = value == NULL ? 0
            : n > 0       ? ASN1_STRING_set(value, bytes, n)
                          : ASN1_STRING_set(value, name, -1);

    if (g == NULL || r != 1) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(g);
        return NULL;
    }
    GENERAL_NAME_set0_value(g, n > 0 ? GEN_IPADD : GEN_DNS, value);
    return g;
}

/* Built piece by piece, not from a text: a comma in a name would be a name more. */
static bool add_names(X509 *leaf, const struct cert_names *names)
{
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    bool good = all != NULL;

    for (size_t i = 0; good && i < names->n; i++) {
        GENERAL_NAME *g = general_name(names->name[i]);

        good = g != NULL && sk_GENERAL_NAME_push(all, g) > 0;
        if (!good)
            GENERAL_NAME_free(g);
    }
    good = good && X509_add1_ext_i2d(leaf, NID_subject_alt_name, all, 0, 0) == 1;
    GENERAL_NAMES_free(all);
    return good;
}

static bool fill_leaf(X509 *leaf, EVP_PKEY *key, const struct cert_names *names, X509 *ca,
                      EVP_PKEY *ca_key, int64_t now)
{
    int64_t end = now + (int64_t)CERT_LEAF_DAYS * CERT_DAY;
    int64_t ca_end = cert_seconds(X509_get0_notAfter(ca));
    X509V3_CTX context;

    X509V3_set_ctx(&context, ca, leaf, NULL, NULL, 0);
    return X509_set_version(leaf, X509_VERSION_3) == 1 && set_serial(leaf) &&
           set_name(X509_get_subject_name(leaf), names->hub, "") &&
           X509_set_issuer_name(leaf, X509_get_subject_name(ca)) == 1 &&
           /* a clock that is a little behind must not refuse it */
           set_dates(leaf, now - CERT_DAY, end < ca_end ? end : ca_end) &&
           X509_set_pubkey(leaf, key) == 1 &&
           add_extension(leaf, &context, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(leaf, &context, NID_key_usage, "critical,digitalSignature") &&
           add_extension(leaf, &context, NID_ext_key_usage, "serverAuth") &&
           add_extension(leaf, &context, NID_subject_key_identifier, "hash") &&
           add_extension(leaf, &context, NID_authority_key_identifier, "keyid:always") &&
           add_names(leaf, names) && X509_sign(leaf, ca_key, EVP_sha256()) > 0;
}

X509 *issue_leaf(EVP_PKEY *key, const struct cert_names *names, X509 *ca, EVP_PKEY *ca_key,
                 int64_t now, struct err *e)
{
    X509 *leaf = X509_new();

    if (leaf != NULL && fill_leaf(leaf, key, names, ca, ca_key, now))
        return leaf;
    X509_free(leaf);
    (void)cert_failed(e, "could not issue the server's certificate");
    return NULL;
}

static bool is_among(const GENERAL_NAME *g, const struct cert_names *names)
{
    const ASN1_STRING *value = g->type == GEN_IPADD ? g->d.iPAddress : g->d.dNSName;
    const unsigned char *data = ASN1_STRING_get0_data(value);
    size_t len = (size_t)ASN1_STRING_length(value);

    for (size_t i = 0; i < names->n; i++) {
        uint8_t bytes[16];
        int n = address_of(names->name[i], bytes);

        if (g->type == GEN_IPADD && n > 0 && (size_t)n == len && memcmp(bytes, data, len) == 0)
            return true;
        if (g->type == GEN_DNS && n == 0 && strlen(names->name[i]) == len &&
            memcmp(names->name[i], data, len) == 0)
            return true;
    }
    return false;
}

bool issue_fits(X509 *leaf, const struct cert_names *names)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    /* both hold each name once, so as many and all among them is the same set */
    bool good = all != NULL && sk_GENERAL_NAME_num(all) == (int)names->n;

    for (int i = 0; good && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);

        good = (g->type == GEN_IPADD || g->type == GEN_DNS) && is_among(g, names);
    }
    GENERAL_NAMES_free(all);
    ERR_clear_error();
    return good;
}
