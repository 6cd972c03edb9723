#include "pgwire/scram.h"

#include "pgwire/digest.h"

#include "t.h"

#define RFC_SALT "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"
#define RFC_VERIFIER                                \
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"  \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define OUR_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST     "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define BOTH      "r=rOprNGfwEbeRWgbNEkqO" OUR_NONCE
#define PROOF     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RAW(s)    s, sizeof(s) - 1
#define MOCK_KEY  ((const uint8_t *)"a secret of the hub, 32 bytes ..")

static const uint8_t cert_hash[32] = "the hash of a certificate ......";

static struct scram_setup setup_of(const char *verifier)
{
    return (struct scram_setup){.verifier = verifier,
                                .mock_key = MOCK_KEY,
                                .mock_key_len = 32,
                                .name = "user",
                                .nonce = OUR_NONCE};
}

/* One step with a copy of exactly that size, so that a read behind it is seen. */
static enum scram_verdict step(struct scram *s, const char *data, size_t len, const char **reply,
                               struct refusal *why)
{
    char *exact = malloc(len == 0 ? 1 : len);
    enum scram_verdict verdict;

    if (exact == NULL)
        abort();
    if (len > 0)
        memcpy(exact, data, len);
    verdict = scram_step(s, exact, len, reply, why);
    free(exact);
    return verdict;
}

/* The verdict on a client-first message and why. */
static enum scram_verdict first_of(const struct scram_setup *setup, const char *data, size_t len,
                                   struct refusal *why)
{
    struct scram *s = scram_new(setup);
    const char *reply;
    enum scram_verdict verdict = step(s, data, len, &reply, why);

    (void)scram_free(s);
    return verdict;
}

static void check_first(const char *data, size_t len, const char *sqlstate, const char *detail)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct refusal why;

    T_EQ(first_of(&setup, data, len, &why), SCRAM_FAILED);
    T_STR(why.sqlstate, sqlstate);
    T_STR(why.detail, detail);
}

/* The verdict on a client-final message after a good first one. */
static enum scram_verdict final_of(const char *data, size_t len, struct refusal *why)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct scram *s = scram_new(&setup);
    enum scram_verdict verdict;
    const char *reply;

    T_EQ(step(s, RAW(FIRST), &reply, why), SCRAM_CONTINUE);
    verdict = step(s, data, len, &reply, why);
    (void)scram_free(s);
    return verdict;
}

/* What a client makes of a password and both first messages: "<without_proof>,p=<proof>". */
static void answer(const char *password, const char *bare, const char *server_first,
                   const char *without_proof, char *ret, size_t size)
{
    uint8_t salted[32], key[32], stored[32], signature[32], salt[64];
    const char *salt_text = strstr(server_first, ",s=") + 3;
    char message[4000], proof[64];
    int salt_len = base64_get(salt_text, strcspn(salt_text, ","), salt, sizeof(salt));

    T_OK(salt_len > 0);
    T_OK(strstr(server_first, ",i=4096") != NULL);
    digest_stretch(password, salt, (size_t)salt_len, 4096, salted);
    digest_hmac(salted, 32, "Client Key", 10, key);
    digest_sha256(key, 32, stored);
    (void)snprintf(message, sizeof(message), "%s,%s,%s", bare, server_first, without_proof);
    digest_hmac(stored, 32, message, strlen(message), signature);
    for (int i = 0; i < 32; i++)
        key[i] ^= signature[i];
    base64_put(proof, key, 32);
    (void)snprintf(ret, size, "%s,p=%s", without_proof, proof);
}

/* A whole exchange as a client with this password leads it. */
static enum scram_verdict log_in(const struct scram_setup *setup, const char *gs2,
                                 const char *binding, const char *nonce, const char *password,
                                 struct refusal *why)
{
    char first[1500], bare[1400], without_proof[1500], final[1600], both[1300];
    struct scram *s = scram_new(setup);
    enum scram_verdict verdict;
    const char *reply;

    (void)snprintf(bare, sizeof(bare), "n=,r=%s", nonce);
    (void)snprintf(first, sizeof(first), "%s%s", gs2, bare);
    verdict = step(s, first, strlen(first), &reply, why);
    if (verdict == SCRAM_CONTINUE) {
        T_OK(strncmp(reply + 2, nonce, strlen(nonce)) == 0);
        (void)snprintf(both, sizeof(both), "%.*s", (int)strcspn(reply, ","), reply);
        T_OK(strlen(both) > strlen(nonce) + 2 + 20);
        (void)snprintf(without_proof, sizeof(without_proof), "c=%s,%s", binding, both);
        answer(password, bare, reply, without_proof, final, sizeof(final));
        verdict = step(s, final, strlen(final), &reply, why);
    }
    (void)scram_free(s);
    return verdict;
}

static void the_exchange_of_rfc_7677_ends_as_it_says(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct scram *s = scram_new(&setup);
    struct refusal why;
    const char *reply;

    T_EQ(step(s, RAW(FIRST), &reply, &why), SCRAM_CONTINUE);
    T_STR(reply, BOTH ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    T_EQ(step(s, RAW("c=biws," BOTH "," PROOF), &reply, &why), SCRAM_OK);
    T_STR(reply, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    T_EQ(step(s, RAW("c=biws," BOTH "," PROOF), &reply, &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "08P01");
    T_OK(scram_free(s) == NULL);
    T_OK(scram_free(NULL) == NULL);
}

static void the_verifier_is_the_one_that_postgresql_makes(void)
{
    char text[SCRAM_VERIFIER_SIZE];
    struct err e;

    T_EQ(scram_verifier_make(RAW("pencil"), (const uint8_t *)RFC_SALT, 4096, text, &e), 0);
    T_STR(text, RFC_VERIFIER);
}

static bool same_verifier(const char *a, const char *b)
{
    char text_a[SCRAM_VERIFIER_SIZE], text_b[SCRAM_VERIFIER_SIZE];
    const uint8_t *salt = (const uint8_t *)RFC_SALT;
    struct err e;

    T_EQ(scram_verifier_make(a, strlen(a), salt, 2, text_a, &e), 0);
    T_EQ(scram_verifier_make(b, strlen(b), salt, 2, text_b, &e), 0);
    return strcmp(text_a, text_b) == 0;
}

static void passwords_are_prepared_and_unpreparable_ones_kept_as_they_are(void)
{
    T_OK(same_verifier("I\xc2\xadX", "IX"));   /* a soft hyphen is nothing */
    T_OK(same_verifier("\xe2\x85\xa8", "IX")); /* roman numeral nine */
    T_OK(same_verifier("\xc2\xaa", "a"));      /* feminine ordinal */
    T_OK(same_verifier("a\xc2\xa0z", "a z"));  /* a space of another kind */
    T_OK(!same_verifier("user", "USER"));
    T_OK(!same_verifier("a\xc2\xad\x07", "a\x07")); /* prohibited: not even the hyphen goes */
    T_OK(!same_verifier("a\xc2\xad\xff", "a\xff")); /* not UTF-8 */
}

static void a_password_that_cannot_be_one_is_refused(void)
{
    static char long_one[SCRAM_PASSWORD_MAX + 1];
    const uint8_t *salt = (const uint8_t *)RFC_SALT;
    char text[SCRAM_VERIFIER_SIZE] = "x";
    struct err e;

    memset(long_one, 'x', sizeof(long_one));
    T_EQ(scram_verifier_make("", 0, salt, 4096, text, &e), -1);
    T_STR(text, "");
    T_EQ(e.kind, ERR_INPUT);
    T_EQ(scram_verifier_make(RAW("a\0b"), salt, 4096, text, &e), -1);
    T_EQ(scram_verifier_make(long_one, sizeof(long_one), salt, 4096, text, &e), -1);
    T_EQ(scram_verifier_make(long_one, sizeof(long_one) - 1, salt, 1, text, &e), 0);
    T_EQ(scram_verifier_make(RAW("a"), salt, 0, text, &e), -1);
    T_EQ(scram_verifier_make(RAW("a"), salt, 100001, text, &e), -1);
}

static void only_the_exact_form_is_a_verifier(void)
{
#define KEYS \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    static const char *const bad[] = {
        "",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$",
        "md5c7a6f1cba8b5a1a1d9d1e9b8d3d4a5f0",
        "scram-sha-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        " SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$-1:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$04096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$100001:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$18446744073709551617:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$4096:$" KEYS,
        "SCRAM-SHA-256$4096:AAAAA===$" KEYS,
        "SCRAM-SHA-256$4096:====$" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=$" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gR==$" KEYS, /* a bit left over */
        "SCRAM-SHA-256$4096:W22Z J0SNY7soEsUEjb6gQ==$" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==" KEYS,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS "\n",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" KEYS ":AAAA",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
    };
    struct scram_verifier v;
    char cut[sizeof(RFC_VERIFIER)];
    struct err e;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        T_EQ(scram_verifier_parse(bad[i], &v, &e), -1);
        T_EQ(e.kind, ERR_INPUT);
        T_OK(strstr(e.msg, "WG5d") == NULL);
    }
    for (size_t n = 0; n < sizeof(RFC_VERIFIER) - 1; n++) {
        memcpy(cut, RFC_VERIFIER, n);
        cut[n] = '\0';
        T_EQ(scram_verifier_parse(cut, &v, &e), -1);
    }
    T_EQ(scram_verifier_parse(RFC_VERIFIER, &v, &e), 0);
    T_EQ(v.iterations, 4096);
    T_OK(v.salt_len == 16 && memcmp(v.salt, RFC_SALT, 16) == 0);
    T_EQ(scram_verifier_parse("SCRAM-SHA-256$100000:AA==$" KEYS, &v, &e), 0);
    T_EQ(v.iterations, 100000);
    T_EQ(v.salt_len, 1);
}

static void a_client_with_the_password_gets_in_and_no_other(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct refusal why;

    setup.nonce = NULL;
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "pencil", &why), SCRAM_OK);
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "Pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28P01");
    T_STR(why.message, "password authentication failed for user \"user\"");
    T_STR(why.detail, "");
    /* a client that knows of channel binding, on a connection that has none */
    T_EQ(log_in(&setup, "y,,", "eSws", "abc", "pencil", &why), SCRAM_OK);
    T_EQ(log_in(&setup, "y,,", "biws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "08P01");
    T_EQ(log_in(&setup, "n,,", "eSws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.message, "unexpected SCRAM channel-binding attribute in client-final-message");
}

static void channel_binding_holds_only_with_our_certificate(void)
{
    static const char head[] = "p=tls-server-end-point,,";
    uint8_t bytes[sizeof(head) - 1 + 32];
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    char binding[100], other[100];
    struct refusal why;

    memcpy(bytes, head, sizeof(head) - 1);
    memcpy(bytes + sizeof(head) - 1, cert_hash, 32);
    base64_put(binding, bytes, sizeof(bytes));
    bytes[sizeof(bytes) - 1] ^= 1;
    base64_put(other, bytes, sizeof(bytes));
    setup.plus = true;
    setup.cert_hash = cert_hash;
    setup.cert_hash_len = sizeof(cert_hash);
    T_EQ(log_in(&setup, head, binding, "abc", "pencil", &why), SCRAM_OK);
    T_EQ(log_in(&setup, head, binding, "abc", "pencils", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28P01");
    T_EQ(log_in(&setup, head, other, "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28000");
    T_STR(why.message, "SCRAM channel binding check failed");
    T_EQ(log_in(&setup, head, "biws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28000");
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "08P01");
    T_EQ(log_in(&setup, "y,,", "eSws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "08P01");
    T_EQ(log_in(&setup, "p=tls-unique,,", binding, "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.message, "unsupported SCRAM channel-binding type \"tls-unique\"");
    T_STR(why.sqlstate, "08P01");
}

static void a_list_of_mechanisms_without_plus_is_noticed(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct refusal why;

    setup.cert_hash = cert_hash;
    setup.cert_hash_len = sizeof(cert_hash);
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "pencil", &why), SCRAM_OK);
    T_EQ(log_in(&setup, "y,,", "eSws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28000");
    T_STR(why.message, "SCRAM channel binding negotiation error");
    T_EQ(log_in(&setup, "p=tls-server-end-point,,", "biws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "08P01");
    T_OK(strstr(why.detail, "SCRAM-SHA-256 without channel binding") != NULL);
}

static void a_name_that_nobody_has_fails_like_a_wrong_password(void)
{
    struct scram_setup setup = setup_of(NULL), other = setup_of(NULL);
    struct scram *a = scram_new(&setup), *b, *c;
    const char *reply_a, *reply_b, *reply_c;
    struct refusal why;

    setup.nonce = NULL;
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28P01");
    T_STR(why.message, "password authentication failed for user \"user\"");
    setup.verifier = "md5c7a6f1cba8b5a1a1d9d1e9b8d3d4a5f0";
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28P01");

    b = scram_new(&other);
    other.name = "user2";
    c = scram_new(&other);
    T_EQ(step(a, RAW(FIRST), &reply_a, &why), SCRAM_CONTINUE);
    T_EQ(step(b, RAW(FIRST), &reply_b, &why), SCRAM_CONTINUE);
    T_EQ(step(c, RAW(FIRST), &reply_c, &why), SCRAM_CONTINUE);
    T_STR(reply_a, reply_b);
    T_OK(strcmp(reply_a, reply_c) != 0);
    T_EQ(strlen(reply_a), strlen(BOTH ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    T_OK(strstr(reply_a, "==,i=4096") != NULL);
    (void)scram_free(a);
    (void)scram_free(b);
    (void)scram_free(c);
}

static void a_name_that_nobody_has_is_not_proven_by_the_proof_of_another(void)
{
    struct scram_setup setup = setup_of(NULL);
    struct scram *s = scram_new(&setup);
    struct refusal why;
    const char *reply;

    T_EQ(step(s, RAW(FIRST), &reply, &why), SCRAM_CONTINUE);
    T_EQ(step(s, RAW("c=biws," BOTH "," PROOF), &reply, &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28P01");
    (void)scram_free(s);
}

static void our_nonce_is_never_the_same(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct scram *a, *b;
    const char *reply_a, *reply_b;
    struct refusal why;

    setup.nonce = NULL;
    a = scram_new(&setup);
    b = scram_new(&setup);
    T_EQ(step(a, RAW(FIRST), &reply_a, &why), SCRAM_CONTINUE);
    T_EQ(step(b, RAW(FIRST), &reply_b, &why), SCRAM_CONTINUE);
    T_OK(strcmp(reply_a, reply_b) != 0);
    (void)scram_free(a);
    (void)scram_free(b);
}

static void a_malformed_first_message_is_refused(void)
{
    check_first(RAW(""), "08P01", "The message is empty.");
    check_first(RAW("n,,n=\0user,r=abc"), "08P01", "Message length does not match input length.");
    check_first(RAW("n,,n=user,r=abc\0"), "08P01", "Message length does not match input length.");
    check_first(RAW("x,,n=,r=abc"), "08P01", "Unexpected channel-binding flag \"'x'\".");
    check_first(RAW("nn=,r=abc"), "08P01", "Comma expected, but found character \"'n'\".");
    check_first(RAW("n"), "08P01", "Comma expected, but found character \"0x00\".");
    check_first(RAW("n,"), "08P01", "Unexpected attribute \"0x00\" in client-first-message.");
    check_first(RAW("n,,"), "08P01", "Expected attribute \"n\" but found \"0x00\".");
    check_first(RAW("n,,r=abc"), "08P01", "Expected attribute \"n\" but found \"'r'\".");
    check_first(RAW("n,,n"), "08P01", "Expected character \"=\" for attribute \"n\".");
    check_first(RAW("n,,n=,r=abc,,"), "08P01",
                "Attribute expected, but found invalid character \"','\".");
    check_first(RAW("n,,n=,r=abc,x"), "08P01", "Expected character \"=\" for attribute \"x\".");
    check_first(RAW("n,,n=,r=abc,\xff=1"), "08P01",
                "Attribute expected, but found invalid character \"0xff\".");
    check_first(RAW("n,,n=,r=a\x7f"), "08P01", "");
    check_first(RAW("n,,n=,r=a b"), "08P01", "");
    check_first(RAW("n,a=postgres,n=,r=abc"), "0A000", "");
    check_first(RAW("n,,m=1,n=,r=abc"), "0A000", "");
}

static void a_malformed_final_message_is_refused(void)
{
    static const char *const bad[] = {
        "c=biws," BOTH,
        "c=biws," BOTH ",",
        "c=biws," BOTH ",p=",
        "c=biws," BOTH ",p=AAAA",
        "c=biws," BOTH "," PROOF ",x=1",
        "c=biws," BOTH "," PROOF "A",
        "c=biws," BOTH "x," PROOF,
        "c=biws,r=," PROOF,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO," PROOF,
        "c=biws," PROOF,
        "c=," BOTH "," PROOF,
        "r=x",
        "c",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "c=biws," BOTH ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ",
        "c=biws," BOTH ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=",
    };
    struct refusal why;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        T_EQ(final_of(bad[i], strlen(bad[i]), &why), SCRAM_FAILED);
        T_STR(why.sqlstate, "08P01");
    }
    T_EQ(final_of(RAW("c=biws," BOTH "x," PROOF), &why), SCRAM_FAILED);
    T_STR(why.message, "invalid SCRAM response");
    T_STR(why.detail, "Nonce does not match.");
    T_EQ(final_of(RAW("c=biws," BOTH "," PROOF "\0"), &why), SCRAM_FAILED);
    T_EQ(final_of(RAW(""), &why), SCRAM_FAILED);
    T_EQ(final_of(RAW("c=biws," BOTH), &why), SCRAM_FAILED);
    T_STR(why.detail, "Attribute expected, but found end of string.");
    T_EQ(final_of(RAW("c=biws," BOTH ",x=1," PROOF), &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "28P01"); /* well formed, but the proof is of other words */
    T_EQ(final_of(RAW("c=biws," BOTH "," PROOF), &why), SCRAM_OK);
}

static void a_nonce_of_a_kilobyte_is_taken_and_a_longer_one_or_message_is_not(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    char nonce[1100], message[SASL_MESSAGE_MAX + 1];
    struct refusal why;

    memset(nonce, 'x', sizeof(nonce));
    nonce[900] = '\0';
    T_EQ(log_in(&setup, "n,,", "biws", nonce, "pencil", &why), SCRAM_OK);
    nonce[900] = 'x';
    nonce[1024] = '\0';
    T_EQ(log_in(&setup, "n,,", "biws", nonce, "pencil", &why), SCRAM_OK);
    nonce[1024] = 'x';
    nonce[1025] = '\0';
    T_EQ(log_in(&setup, "n,,", "biws", nonce, "pencil", &why), SCRAM_FAILED);
    T_STR(why.sqlstate, "08P01");
    memset(message, 'x', sizeof(message));
    memcpy(message, "n,,n=,r=abc,x=", 14);
    T_EQ(first_of(&setup, message, SASL_MESSAGE_MAX, &why), SCRAM_CONTINUE);
    T_EQ(first_of(&setup, message, SASL_MESSAGE_MAX + 1, &why), SCRAM_FAILED);
}

static void a_client_may_wait_for_an_empty_challenge_first(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct scram *s = scram_new(&setup);
    struct refusal why;
    const char *reply;

    T_EQ(scram_step(s, NULL, 0, &reply, &why), SCRAM_CONTINUE);
    T_STR(reply, "");
    T_EQ(step(s, RAW(FIRST), &reply, &why), SCRAM_CONTINUE);
    T_EQ(step(s, RAW("c=biws," BOTH "," PROOF), &reply, &why), SCRAM_OK);
    (void)scram_free(s);
}

static void after_a_failure_nothing_helps(void)
{
    struct scram_setup setup = setup_of(RFC_VERIFIER);
    struct scram *s = scram_new(&setup);
    struct refusal why;
    const char *reply;

    T_EQ(step(s, RAW("bad"), &reply, &why), SCRAM_FAILED);
    T_EQ(step(s, RAW(FIRST), &reply, &why), SCRAM_FAILED);
    T_EQ(scram_step(s, NULL, 0, &reply, &why), SCRAM_FAILED);
    (void)scram_free(s);
}

static void a_hostile_name_is_shown_in_the_failure_without_steering_anyone(void)
{
    struct scram_setup setup = setup_of(NULL);
    struct refusal why;

    setup.name = "\x1b[2J\xff\n";
    T_EQ(log_in(&setup, "n,,", "biws", "abc", "x", &why), SCRAM_FAILED);
    T_STR(why.message, "password authentication failed for user \"\\x1b[2J\\xff\\x0a\"");
}

int main(void)
{
    T_RUN(the_exchange_of_rfc_7677_ends_as_it_says);
    T_RUN(the_verifier_is_the_one_that_postgresql_makes);
    T_RUN(passwords_are_prepared_and_unpreparable_ones_kept_as_they_are);
    T_RUN(a_password_that_cannot_be_one_is_refused);
    T_RUN(only_the_exact_form_is_a_verifier);
    T_RUN(a_client_with_the_password_gets_in_and_no_other);
    T_RUN(channel_binding_holds_only_with_our_certificate);
    T_RUN(a_list_of_mechanisms_without_plus_is_noticed);
    T_RUN(a_name_that_nobody_has_fails_like_a_wrong_password);
    T_RUN(a_name_that_nobody_has_is_not_proven_by_the_proof_of_another);
    T_RUN(our_nonce_is_never_the_same);
    T_RUN(a_malformed_first_message_is_refused);
    T_RUN(a_malformed_final_message_is_refused);
    T_RUN(a_nonce_of_a_kilobyte_is_taken_and_a_longer_one_or_message_is_not);
    T_RUN(a_client_may_wait_for_an_empty_challenge_first);
    T_RUN(after_a_failure_nothing_helps);
    T_RUN(a_hostile_name_is_shown_in_the_failure_without_steering_anyone);
    return t_end();
}
