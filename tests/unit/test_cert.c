#include "t.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/str.h"
#include "cert/cert-int.h"

enum { DAY = 86400 };
static const int64_t now = 1767225600; /* the first of January 2026 */

static char dir[] = "/tmp/dorm-cert-XXXXXX";
static int dir_fd = -1;
static struct err e;
static struct cert_names names;

#define FAILS(call, want_kind, word)                                                   \
    do {                                                                               \
        e = (struct err){0};                                                           \
        T_EQ((call), -1);                                                              \
        T_EQ(e.kind, want_kind);                                                       \
        if (strstr(e.msg, (word)) == NULL) {                                           \
            printf("# %s:%d: \"%s\" lacks \"%s\"\n", __FILE__, __LINE__, e.msg, word); \
            t_failures++;                                                              \
        }                                                                              \
    } while (0)

static void empty_dir(void)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;

    while (d != NULL && (entry = readdir(d)) != NULL)
        (void)unlinkat(dirfd(d), entry->d_name, 0);
    (void)closedir(d);
}

static void put(const char *name, const char *text)
{
    T_EQ(fd_write_file(dir_fd, name, 0600, getuid(), getgid(), text, strlen(text), &e), 0);
}

static char *get(const char *name)
{
    char *text = NULL;

    if (fd_read_file(dir_fd, name, 1 << 20, &text, &e) < 0)
        text = strdup("");
    return text;
}

static X509 *cert_of(const char *name)
{
    AUTO_FREE char *text = get(name);

    return pem_cert(text);
}

static void set_names(const char *const *list, size_t n)
{
    memset(&names, 0, sizeof(names));
    T_OK(str_copy(names.hub, sizeof(names.hub), "sql101"));
    for (size_t i = 0; i < n; i++)
        T_EQ(cert_names_add(&names, list[i], &e), 0);
}

static void found(void)
{
    static const char *const list[] = {"hub.example.edu", "*.hub.example.edu", "localhost",
                                       "127.0.0.1", "::1"};

    empty_dir();
    set_names(list, 5);
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_FOUNDED);
}

/* As a strict client that has ca.crt sees what the server sends. */
static int verify(int64_t when, const char *host, const char *address)
{
    AUTO_X509 root = cert_of("ca.crt");
    AUTO_X509 leaf = cert_of("server.crt");
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    int r;

    T_EQ(X509_STORE_add_cert(store, root), 1);
    T_EQ(X509_STORE_CTX_init(context, store, leaf, NULL), 1);
    param = X509_STORE_CTX_get0_param(context);
    T_EQ(X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER), 1);
    (void)X509_VERIFY_PARAM_set_flags(param,
                                      X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    X509_VERIFY_PARAM_set_time(param, (time_t)when);
    if (host != NULL)
        T_EQ(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
    if (address != NULL)
        T_EQ(X509_VERIFY_PARAM_set1_ip_asc(param, address), 1);
    r = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return r;
}

static void a_strict_client_accepts_what_is_made_for_each_of_its_names(void)
{
    found();
    T_EQ(verify(now, NULL, NULL), X509_V_OK);
    T_EQ(verify(now, "hub.example.edu", NULL), X509_V_OK);
    T_EQ(verify(now, "finance.hub.example.edu", NULL), X509_V_OK);
    T_EQ(verify(now, "localhost", NULL), X509_V_OK);
    T_EQ(verify(now, NULL, "127.0.0.1"), X509_V_OK);
    T_EQ(verify(now, NULL, "::1"), X509_V_OK);
    T_EQ(verify(now, "example.edu", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    T_EQ(verify(now, "127.0.0.1", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    T_EQ(verify(now, NULL, "10.0.0.1"), X509_V_ERR_IP_ADDRESS_MISMATCH);
    T_EQ(verify(now - DAY + 60, NULL, NULL), X509_V_OK);
    T_EQ(verify(now + 396 * DAY, NULL, NULL), X509_V_OK);
    T_EQ(verify(now + 398 * (int64_t)DAY, NULL, NULL), X509_V_ERR_CERT_HAS_EXPIRED);
}

static void the_authority_is_for_issuing_and_the_certificate_for_serving_only(void)
{
    AUTO_X509 ca = NULL;
    AUTO_X509 leaf = NULL;
    char name[80];

    found();
    ca = cert_of("ca.crt");
    leaf = cert_of("server.crt");
    T_EQ(X509_check_ca(ca), 1);
    T_EQ(X509_get_pathlen(ca), 0);
    T_EQ(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    T_EQ(X509_check_ca(leaf), 0);
    T_EQ(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
    T_EQ(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
    T_OK(X509_get0_authority_key_id(leaf) != NULL);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, name, sizeof(name));
    T_STR(name, "Dormouse hub sql101 CA");
    T_EQ((cert_seconds(X509_get0_notAfter(ca)) - now) / DAY, 3653);
}

static void keys_are_private_and_certificates_public(void)
{
    static const struct {
        const char *name;
        mode_t mode;
    } files[] = {{"ca.key", 0600}, {"ca.crt", 0644}, {"server.key", 0600}, {"server.crt", 0644}};
    mode_t before = umask(0);
    struct stat st;

    found();
    for (size_t i = 0; i < 4; i++) {
        T_EQ(fstatat(dir_fd, files[i].name, &st, 0), 0);
        T_EQ(st.st_mode & 07777, files[i].mode);
    }
    (void)umask(before);
}

static void nothing_is_made_again_without_need(void)
{
    AUTO_FREE char *before = NULL;
    AUTO_FREE char *after = NULL;

    found();
    before = get("server.crt");
    T_EQ(cert_ensure(dir_fd, &names, now + 260 * DAY, &e), CERT_KEPT);
    T_EQ(cert_ensure(dir_fd, &names, now - 3 * DAY, &e), -1); /* a clock that is far behind */
    T_OK(strstr(e.hint, "clock") != NULL);
    after = get("server.crt");
    T_STR(after, before);
}

static void the_certificate_is_made_again_in_the_last_third_of_its_life(void)
{
    AUTO_FREE char *root = NULL;
    AUTO_FREE char *root_after = NULL;

    found();
    root = get("ca.crt");
    T_EQ(cert_ensure(dir_fd, &names, now + 270 * DAY, &e), CERT_ISSUED);
    T_EQ(cert_ensure(dir_fd, &names, now + 270 * DAY, &e), CERT_KEPT);
    T_EQ(verify(now + 500 * (int64_t)DAY, "localhost", NULL), X509_V_OK);
    root_after = get("ca.crt");
    T_STR(root_after, root);
}

static void a_certificate_made_with_a_wrong_clock_is_made_again(void)
{
    found();
    T_EQ(cert_ensure(dir_fd, &names, now + 300 * DAY, &e), CERT_ISSUED);
    T_EQ(verify(now, NULL, NULL), X509_V_ERR_CERT_NOT_YET_VALID);
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_ISSUED);
    T_EQ(verify(now, NULL, NULL), X509_V_OK);
}

static void near_the_authoritys_end_it_is_not_made_again_each_time(void)
{
    int64_t late = now + 3500 * (int64_t)DAY;

    found();
    T_EQ(cert_ensure(dir_fd, &names, late, &e), CERT_ISSUED);
    T_EQ(cert_ensure(dir_fd, &names, late + 140 * DAY, &e), CERT_KEPT);
    FAILS(cert_ensure(dir_fd, &names, late + 160 * DAY, &e), ERR_CONFIG, "has expired");
}

static void other_names_need_another_certificate_by_the_same_authority(void)
{
    static const char *const other[] = {"::1", "localhost", "127.0.0.1", "*.hub.example.edu",
                                        "hub.example.edu"};
    AUTO_FREE char *root = NULL;
    AUTO_FREE char *root_after = NULL;

    found();
    root = get("ca.crt");
    set_names(other, 5);
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_KEPT); /* the same in another order */
    set_names(other, 4);
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_ISSUED);
    T_EQ(cert_names_add(&names, "10.1.2.3", &e), 0);
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_ISSUED);
    T_EQ(verify(now, NULL, "10.1.2.3"), X509_V_OK);
    T_EQ(verify(now, "hub.example.edu", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
    root_after = get("ca.crt");
    T_STR(root_after, root);
}

static void a_lost_or_damaged_server_pair_is_made_again(void)
{
    static const char *const files[] = {"server.key", "server.crt"};

    for (size_t i = 0; i < 2; i++)
        for (int how = 0; how < 4; how++) {
            AUTO_FREE char *old = NULL;

            found();
            old = get(files[i]);
            if (how == 0)
                T_EQ(unlinkat(dir_fd, files[i], 0), 0);
            if (how == 1)
                put(files[i], "");
            if (how == 2)
                put(files[i], "-----BEGIN CERTIFICATE-----\nzzz\n");
            if (how == 3) { /* as a crash between the two leaves them */
                T_EQ(cert_ensure(dir_fd, &names, now + 300 * DAY, &e), CERT_ISSUED);
                put(files[i], old);
            }
            T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_ISSUED);
            T_EQ(verify(now, "localhost", NULL), X509_V_OK);
            T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_KEPT);
        }
    found();
    {
        AUTO_X509 leaf = cert_of("server.crt");

        T_EQ(pem_write_certs(dir_fd, "server.crt", leaf, NULL, &e), 0); /* without the authority */
    }
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_ISSUED);
}

static void an_authority_is_completed_or_refused_but_never_replaced(void)
{
    static const struct {
        const char *file, *text; /* NULL: removed */
        int want;
        const char *word;
    } cases[] = {
        {"ca.key", NULL, CERT_KEPT, ""}, /* kept elsewhere, nothing to issue */
        {"ca.key", "", -1, "ca.key holds no key"},
        {"ca.key", "garbage", -1, "ca.key holds no key"},
        {"ca.crt", NULL, CERT_FOUNDED, ""}, /* from the same key */
        {"ca.crt", "", CERT_FOUNDED, ""},
        {"ca.crt", "garbage", -1, "ca.crt holds no certificate"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_FREE char *key = NULL;
        AUTO_FREE char *key_after = NULL;
        AUTO_X509 old_root = NULL;

        found();
        key = get("ca.key");
        old_root = cert_of("ca.crt");
        if (cases[i].text == NULL)
            T_EQ(unlinkat(dir_fd, cases[i].file, 0), 0);
        else
            put(cases[i].file, cases[i].text);
        T_EQ(cert_ensure(dir_fd, &names, now + DAY, &e), cases[i].want);
        key_after = get("ca.key");
        if (cases[i].want == -1) {
            T_EQ(e.kind, ERR_CONFIG);
            T_OK(strstr(e.msg, cases[i].word) != NULL && e.hint[0] != '\0');
        }
        if (str_is(cases[i].file, "ca.key"))
            T_STR(key_after, cases[i].text == NULL ? "" : cases[i].text);
        else
            T_STR(key_after, key);
        if (cases[i].want == CERT_FOUNDED) { /* who has the old root accepts the new certificate */
            T_EQ(verify(now + DAY, "localhost", NULL), X509_V_OK);
            T_EQ(pem_write_certs(dir_fd, "ca.crt", old_root, NULL, &e), 0);
            T_EQ(verify(now + DAY, "localhost", NULL), X509_V_OK);
        }
    }
}

static void an_authority_without_its_key_can_issue_nothing_and_says_so(void)
{
    AUTO_KEY stranger = issue_key(&e);

    found();
    T_EQ(unlinkat(dir_fd, "ca.key", 0), 0);
    T_EQ(cert_names_add(&names, "new.example.edu", &e), 0);
    FAILS(cert_ensure(dir_fd, &names, now, &e), ERR_CONFIG, "ca.key is not there");
    T_OK(strstr(e.hint, "put ca.key back") != NULL);
    T_EQ(pem_write_key(dir_fd, "ca.key", stranger, &e), 0);
    FAILS(cert_ensure(dir_fd, &names, now, &e), ERR_CONFIG, "do not belong together");
    put("ca.crt", "");
    T_EQ(unlinkat(dir_fd, "ca.key", 0), 0);
    FAILS(cert_ensure(dir_fd, &names, now, &e), ERR_CONFIG, "is empty");
}

static void a_pair_is_loaded_whole_or_refused_with_the_reason(void)
{
    AUTO_FREE char *chain_text = NULL;
    struct buf chain, key, small;
    AUTO_X509 leaf = NULL;
    AUTO_X509 ca = NULL;

    buf_init(&chain, CERT_FILE_MAX);
    buf_init(&key, CERT_FILE_MAX);
    buf_init(&small, 10);
    found();
    chain_text = get("server.crt");
#define LOAD(at) cert_load(dir_fd, "server.crt", "server.key", at, &chain, &key, &e)
    T_EQ(LOAD(now), 0);
    T_EQ(buf_len(&chain), strlen(chain_text));
    T_OK(memcmp(buf_data(&chain), chain_text, strlen(chain_text)) == 0);
    T_OK(memcmp(buf_data(&key), "-----BEGIN PRIVATE KEY", 22) == 0);
    FAILS(cert_load(dir_fd, "server.crt", "server.key", now, &small, &key, &e), ERR_LIMIT, "large");
    buf_done(&chain);
    FAILS(LOAD(now + 400 * (int64_t)DAY), ERR_CONFIG, "expired");
    FAILS(LOAD(now - 2 * DAY), ERR_CONFIG, "not valid yet");
    FAILS(cert_load(dir_fd, "no.crt", "server.key", now, &chain, &key, &e), ERR_CONFIG,
          "no \"no.crt");
    FAILS(cert_load(dir_fd, "server.crt", "ca.key", now, &chain, &key, &e), ERR_CONFIG, "belong");
    FAILS(cert_load(dir_fd, "server.key", "server.key", now, &chain, &key, &e), ERR_CONFIG,
          "no certificate");
    leaf = cert_of("server.crt");
    ca = cert_of("ca.crt");
    T_EQ(pem_write_certs(dir_fd, "server.crt", ca, leaf, &e), 0);
    FAILS(LOAD(now), ERR_CONFIG, "does not belong");
    T_OK(strstr(e.hint, "comes first") != NULL);
    put("server.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    FAILS(LOAD(now), ERR_CONFIG, "no key that can be read");
    T_EQ(buf_len(&chain), 0);
    buf_done(&chain);
    buf_done(&key);
    buf_done(&small);
}

static void the_fingerprint_and_the_days_are_those_of_the_file(void)
{
    char print[CERT_FINGERPRINT_SIZE];
    int days = 0;

    found();
    T_EQ(cert_fingerprint(dir_fd, "ca.crt", print, &e), 0);
    T_EQ(strlen(print), 95);
    T_EQ(print[2], ':');
    T_EQ(strspn(print, "0123456789ABCDEF:"), 95);
    T_EQ(cert_days_left(dir_fd, "server.crt", now + 100, &days, &e), 0);
    T_EQ(days, 396);
    T_EQ(cert_days_left(dir_fd, "server.crt", now + 397 * DAY + 1, &days, &e), 0);
    T_EQ(days, -1);
    FAILS(cert_fingerprint(dir_fd, "server.key", print, &e), ERR_CONFIG, "no certificate");
}

static int end_point(EVP_PKEY *key, const EVP_MD *signature, const EVP_MD *want)
{
    AUTO_X509 cert = X509_new();
    uint8_t got[CERT_HASH_MAX], expected[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int r;

    T_EQ(X509_set_pubkey(cert, key), 1);
    T_OK(X509_sign(cert, key, signature) > 0);
    r = cert_end_point_hash(cert, got, &e);
    if (want != NULL) {
        T_EQ(X509_digest(cert, want, expected, &n), 1);
        T_EQ(r, n);
        T_OK(memcmp(got, expected, n) == 0);
    }
    return r;
}

static void the_binding_is_by_the_hash_of_the_signature_and_never_a_weak_one(void)
{
    AUTO_KEY ec = EVP_EC_gen("P-256");
    AUTO_KEY rsa = EVP_RSA_gen(2048);
    AUTO_KEY ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    (void)end_point(ec, EVP_sha256(), EVP_sha256());
    (void)end_point(ec, EVP_sha384(), EVP_sha384());
    (void)end_point(rsa, EVP_sha512(), EVP_sha512());
    (void)end_point(rsa, EVP_sha1(), EVP_sha256());
    (void)end_point(rsa, EVP_md5(), EVP_sha256());
    T_EQ(end_point(ed, NULL, NULL), -1);
    T_EQ(e.kind, ERR_MISSING);
}

static void names_are_cleaned_and_wrong_ones_refused(void)
{
    static const char *const bad[] = {
        "",    ".",         "a..b",  "-a",   "a-.b",      "a b", "a,b",          "*",        "*.",
        "a.*", "1.2.3.4.5", "1.2.3", "::zz", "h\xc3\xa9", "a\n", "fe80::1%eth0", "300.1.1.1"};
    char text[20];

    set_names(NULL, 0);
    T_EQ(cert_names_add(&names, "Hub.Example.EDU.", &e), 0);
    T_EQ(cert_names_add(&names, "hub.example.edu", &e), 0);
    T_EQ(cert_names_add(&names, "0:0:0:0:0:0:0:1", &e), 0);
    T_EQ(cert_names_add(&names, "::1", &e), 0);
    T_EQ(names.n, 2);
    T_STR(names.name[0], "hub.example.edu");
    T_STR(names.name[1], "::1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        FAILS(cert_names_add(&names, bad[i], &e), ERR_INPUT, "neither a DNS name");
    for (int i = 0; i < CERT_NAMES_MAX - 2; i++) {
        (void)snprintf(text, sizeof(text), "host%d", i);
        T_EQ(cert_names_add(&names, text, &e), 0);
    }
    FAILS(cert_names_add(&names, "more", &e), ERR_LIMIT, "at most 64");
    empty_dir();
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_FOUNDED);
    T_EQ(verify(now, "host61", NULL), X509_V_OK);
}

static bool named(const char *name)
{
    for (size_t i = 0; i < names.n; i++)
        if (str_is(names.name[i], name))
            return true;
    return false;
}

static void the_machine_is_known_by_its_names_and_addresses(void)
{
    static const char long_hub[] =
        "Z\xc3\xbcrich \xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc"
        "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6";

    T_EQ(cert_names_of_machine(&names, long_hub, "hub.example.edu", &e), 0);
    T_STR(names.name[0], "hub.example.edu");
    T_OK(named("localhost") && named("127.0.0.1") && named("::1"));
    for (size_t i = 0; i < names.n; i++)
        T_OK(!str_starts(names.name[i], "fe80:"));
    empty_dir();
    T_EQ(cert_ensure(dir_fd, &names, now, &e), CERT_FOUNDED);
    T_EQ(verify(now, "hub.example.edu", NULL), X509_V_OK);
    T_EQ(cert_names_of_machine(&names, "h", NULL, &e), 0);
    T_OK(!named("hub.example.edu"));
    FAILS(cert_names_of_machine(&names, "h", "not a domain", &e), ERR_INPUT, "not a domain");
}

int main(void)
{
    if (mkdtemp(dir) == NULL || (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return EXIT_FAILURE;
    T_RUN(a_strict_client_accepts_what_is_made_for_each_of_its_names);
    T_RUN(the_authority_is_for_issuing_and_the_certificate_for_serving_only);
    T_RUN(keys_are_private_and_certificates_public);
    T_RUN(nothing_is_made_again_without_need);
    T_RUN(the_certificate_is_made_again_in_the_last_third_of_its_life);
    T_RUN(a_certificate_made_with_a_wrong_clock_is_made_again);
    T_RUN(near_the_authoritys_end_it_is_not_made_again_each_time);
    T_RUN(other_names_need_another_certificate_by_the_same_authority);
    T_RUN(a_lost_or_damaged_server_pair_is_made_again);
    T_RUN(an_authority_is_completed_or_refused_but_never_replaced);
    T_RUN(an_authority_without_its_key_can_issue_nothing_and_says_so);
    T_RUN(a_pair_is_loaded_whole_or_refused_with_the_reason);
    T_RUN(the_fingerprint_and_the_days_are_those_of_the_file);
    T_RUN(the_binding_is_by_the_hash_of_the_signature_and_never_a_weak_one);
    T_RUN(names_are_cleaned_and_wrong_ones_refused);
    T_RUN(the_machine_is_known_by_its_names_and_addresses);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
