#include "scram.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"

#include "attr.h"
#include "digest.h"
#include "verifier.h"

#define NONCE_LEN     18 /* random bytes of ours, as PostgreSQL takes */
#define BINDING       "tls-server-end-point"
#define CERT_HASH_MAX 64

enum state {
    WANT_FIRST,
    WANT_FINAL,
    OVER,
};

struct scram {
    enum state state;
    bool mock; /* nobody has this name: what follows fails whatever the proof */
    bool plus;
    uint8_t cert_hash[CERT_HASH_MAX];
    size_t cert_hash_len; /* 0: -PLUS was not offered */
    char gs2;             /* 'n', 'y' or 'p', as the client began */
    char *name;           /* owned, as all below */
    struct scram_verifier verifier;
    char *our_nonce;
    char *nonce; /* both halves */
    char *client_first_bare;
    char *server_first;
    char *reply; /* the last one that is not server_first */
};

/*
 * Keys for a name that nobody has: the same each time, for whoever cannot know mock_key. They are
 * made, written and read for those who do exist too, so that time does not tell them apart.
 */
static void mock_verifier(const struct scram_setup *setup, char ret_text[SCRAM_VERIFIER_SIZE])
{
    AUTO_FREE char *for_salt = mem_printf("salt %s", setup->name);
    AUTO_FREE char *for_keys = mem_printf("keys %s", setup->name);
    struct scram_verifier v = {.iterations = SCRAM_ITERATIONS, .salt_len = SCRAM_SALT_LEN};
    uint8_t digest[DIGEST_LEN];

    digest_hmac(setup->mock_key, setup->mock_key_len, for_salt, strlen(for_salt), digest);
    memcpy(v.salt, digest, SCRAM_SALT_LEN);
    digest_hmac(setup->mock_key, setup->mock_key_len, for_keys, strlen(for_keys), v.stored_key);
    memcpy(v.server_key, v.stored_key, SCRAM_KEY_LEN);
    verifier_write(&v, ret_text);
}

static void choose_verifier(struct scram *s, const struct scram_setup *setup)
{
    char mock[SCRAM_VERIFIER_SIZE];
    struct err e;
    int known;

    mock_verifier(setup, mock);
    s->mock = setup->verifier == NULL;
    if (scram_verifier_parse(s->mock ? mock : setup->verifier, &s->verifier, &e) == 0)
        return;
    s->mock = true;
    known = scram_verifier_parse(mock, &s->verifier, &e);
    assert(known == 0);
}

static char *new_nonce(void)
{
    char text[BASE64_SIZE(NONCE_LEN)];
    uint8_t bytes[NONCE_LEN];

    rand_bytes(bytes, sizeof(bytes));
    base64_put(text, bytes, sizeof(bytes));
    return mem_copy(text);
}

struct scram *scram_new(const struct scram_setup *setup)
{
    struct scram *s = mem_new(sizeof(*s));

    assert(setup->cert_hash_len <= CERT_HASH_MAX);
    assert(!setup->plus || setup->cert_hash != NULL);
    s->state = WANT_FIRST;
    s->plus = setup->plus;
    if (setup->cert_hash != NULL) {
        memcpy(s->cert_hash, setup->cert_hash, setup->cert_hash_len);
        s->cert_hash_len = setup->cert_hash_len;
    }
    s->name = mem_copy(setup->name);
    choose_verifier(s, setup);
    s->our_nonce = setup->nonce == NULL ? new_nonce() : mem_copy(setup->nonce);
    return s;
}

struct scram *scram_free(struct scram *s)
{
    if (s == NULL)
        return NULL;
    free(s->name);
    free(s->our_nonce);
    free(s->nonce);
    free(s->client_first_bare);
    free(s->server_first);
    free(s->reply);
    explicit_bzero(s, sizeof(*s));
    free(s);
    return NULL;
}

/* The header before the message proper: does the client bind to our certificate, could it, or not.
 */
static int read_gs2(struct scram *s, char **at, struct refusal *why)
{
    char shown[ATTR_SHOWN], binding_shown[64], *binding;

    s->gs2 = **at;
    if (s->gs2 != 'n' && s->gs2 != 'y' && s->gs2 != 'p')
        return attr_malformed(why, "Unexpected channel-binding flag \"%s\".",
                              attr_show(shown, s->gs2));
    if (s->gs2 == 'p' && !s->plus)
        return attr_malformed(why, "The client selected SCRAM-SHA-256 without channel binding, but "
                                   "the SCRAM message includes channel binding data.");
    if (s->gs2 != 'p' && s->plus)
        return attr_malformed(why, "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message "
                                   "does not include channel binding data.");
    if (s->gs2 == 'y' && s->cert_hash_len > 0) {
        /* someone between us has taken -PLUS out of the list that we sent */
        (void)refusal_set(why, "28000", "SCRAM channel binding negotiation error");
        return refusal_detail(why,
                              "The client supports SCRAM channel binding but thinks the server "
                              "does not.  However, this server does support channel binding.");
    }
    if (s->gs2 == 'p') {
        if (attr_read(at, 'p', &binding, why) < 0)
            return -1;
        if (strcmp(binding, BINDING) != 0)
            return refusal_set(
                why, "08P01", "unsupported SCRAM channel-binding type \"%s\"",
                str_show(binding_shown, sizeof(binding_shown), binding, strlen(binding)));
        return 0;
    }
    (*at)++;
    if (**at != ',')
        return attr_malformed(why, "Comma expected, but found character \"%s\".",
                              attr_show(shown, **at));
    (*at)++;
    return 0;
}

static int check_nonce(const char *nonce, struct refusal *why)
{
    for (const char *c = nonce; *c != '\0'; c++)
        if (*c < 0x21 || *c > 0x7e)
            return refusal_set(why, "08P01", "non-printable characters in SCRAM nonce");
    if (strlen(nonce) > SCRAM_NONCE_MAX)
        return attr_malformed(why, "The nonce is longer than %u bytes.", SCRAM_NONCE_MAX);
    return 0;
}

static int read_client_first(struct scram *s, char *at, struct refusal *why)
{
    char shown[ATTR_SHOWN], *user, *nonce, *value, name;

    if (read_gs2(s, &at, why) < 0)
        return -1;
    if (*at == 'a')
        return refusal_set(why, "0A000",
                           "client uses authorization identity, but it is not supported");
    if (*at != ',')
        return attr_malformed(why, "Unexpected attribute \"%s\" in client-first-message.",
                              attr_show(shown, *at));
    at++;
    s->client_first_bare = mem_copy(at);
    if (*at == 'm')
        return refusal_set(why, "0A000", "client requires an unsupported SCRAM extension");
    /* who logs in was said by the StartupMessage; the name here is read and not used */
    if (attr_read(&at, 'n', &user, why) < 0 || attr_read(&at, 'r', &nonce, why) < 0 ||
        check_nonce(nonce, why) < 0)
        return -1;
    while (*at != '\0')
        if (attr_read_any(&at, &name, &value, why) < 0)
            return -1;
    s->nonce = mem_printf("%s%s", nonce, s->our_nonce);
    return 0;
}

static void write_server_first(struct scram *s)
{
    char salt[BASE64_SIZE(SCRAM_SALT_MAX)];

    base64_put(salt, s->verifier.salt, s->verifier.salt_len);
    s->server_first = mem_printf("r=%s,s=%s,i=%u", s->nonce, salt, s->verifier.iterations);
}

static int check_binding(const struct scram *s, const char *sent, struct refusal *why)
{
    static const char head[] = "p=" BINDING ",,";
    uint8_t bytes[sizeof(head) - 1 + CERT_HASH_MAX];
    char expected[BASE64_SIZE(sizeof(bytes))];

    if (s->plus) {
        memcpy(bytes, head, sizeof(head) - 1);
        memcpy(bytes + sizeof(head) - 1, s->cert_hash, s->cert_hash_len);
        base64_put(expected, bytes, sizeof(head) - 1 + s->cert_hash_len);
        if (strcmp(sent, expected) != 0)
            return refusal_set(why, "28000", "SCRAM channel binding check failed");
        return 0;
    }
    /* "n,," and "y,,": what the client said first, repeated under its proof */
    if (strcmp(sent, s->gs2 == 'n' ? "biws" : "eSws") != 0)
        return refusal_set(why, "08P01",
                           "unexpected SCRAM channel-binding attribute in client-final-message");
    return 0;
}

/* text is cut up while it is read; *ret_without_proof counts its bytes before ",p=". */
static int read_client_final(const struct scram *s, char *text, size_t *ret_without_proof,
                             uint8_t ret_proof[DIGEST_LEN], struct refusal *why)
{
    char *at = text, *binding, *nonce, *value, name;

    if (attr_read(&at, 'c', &binding, why) < 0 || check_binding(s, binding, why) < 0 ||
        attr_read(&at, 'r', &nonce, why) < 0)
        return -1;
    do {
        *ret_without_proof = (size_t)(at - text);
        if (attr_read_any(&at, &name, &value, why) < 0)
            return -1;
    } while (name != 'p');
    (*ret_without_proof)--; /* the comma */
    if (base64_get(value, strlen(value), ret_proof, DIGEST_LEN) != (int)DIGEST_LEN)
        return attr_malformed(why, "Malformed proof in client-final-message.");
    if (*at != '\0')
        return attr_malformed(why, "Garbage found at the end of client-final-message.");
    if (strcmp(nonce, s->nonce) != 0) {
        (void)refusal_set(why, "08P01", "invalid SCRAM response");
        return refusal_detail(why, "Nonce does not match.");
    }
    return 0;
}

/* Is proof that of someone who has the password? Writes the server's own proof as the reply in
 * any case: a wrong password and a wrong name take the same time. */
static bool verify(struct scram *s, const char *without_proof, const uint8_t proof[DIGEST_LEN])
{
    AUTO_FREE char *message =
        mem_printf("%s,%s,%s", s->client_first_bare, s->server_first, without_proof);
    uint8_t key[DIGEST_LEN], stored[DIGEST_LEN], signature[DIGEST_LEN];
    char text[BASE64_SIZE(DIGEST_LEN)];
    bool same;

    digest_hmac(s->verifier.stored_key, SCRAM_KEY_LEN, message, strlen(message), signature);
    for (size_t i = 0; i < DIGEST_LEN; i++)
        key[i] = proof[i] ^ signature[i];
    digest_sha256(key, sizeof(key), stored);
    same = digest_same(stored, s->verifier.stored_key, DIGEST_LEN);
    /* whoever has seen key can log in with it */
    explicit_bzero(key, sizeof(key));

    digest_hmac(s->verifier.server_key, SCRAM_KEY_LEN, message, strlen(message), signature);
    base64_put(text, signature, sizeof(signature));
    free(s->reply);
    s->reply = mem_printf("v=%s", text);
    return same && !s->mock;
}

static enum scram_verdict step_first(struct scram *s, char *text, struct refusal *why)
{
    if (read_client_first(s, text, why) < 0)
        return SCRAM_FAILED;
    write_server_first(s);
    s->state = WANT_FINAL;
    return SCRAM_CONTINUE;
}

static enum scram_verdict step_final(struct scram *s, const char *original, char *text,
                                     struct refusal *why)
{
    AUTO_FREE char *without_proof = NULL;
    uint8_t proof[DIGEST_LEN];
    char shown[160];
    size_t len;

    if (read_client_final(s, text, &len, proof, why) < 0)
        return SCRAM_FAILED;
    without_proof = mem_copy(original);
    without_proof[len] = '\0';
    if (verify(s, without_proof, proof))
        return SCRAM_OK;
    (void)refusal_set(why, "28P01", "password authentication failed for user \"%s\"",
                      str_show(shown, sizeof(shown), s->name, strlen(s->name)));
    return SCRAM_FAILED;
}

static int check_message(const void *data, size_t len, struct refusal *why)
{
    if (len == 0)
        return attr_malformed(why, "The message is empty.");
    if (memchr(data, 0, len) != NULL)
        return attr_malformed(why, "Message length does not match input length.");
    if (len > SASL_MESSAGE_MAX)
        return attr_malformed(why, "The message is longer than %u bytes.", SASL_MESSAGE_MAX);
    return 0;
}

enum scram_verdict scram_step(struct scram *s, const void *data, size_t len, const char **ret_reply,
                              struct refusal *ret_why)
{
    AUTO_FREE char *original = NULL, *text = NULL;
    enum scram_verdict verdict = SCRAM_FAILED;
    enum state before = s->state;

    if (before == WANT_FIRST && data == NULL) {
        *ret_reply = "";
        return SCRAM_CONTINUE;
    }
    s->state = OVER;
    if (before == OVER) {
        (void)refusal_set(ret_why, "08P01", "unexpected SCRAM message after the exchange");
        return SCRAM_FAILED;
    }
    if (check_message(data, len, ret_why) < 0)
        return SCRAM_FAILED;
    original = mem_new(len + 1);
    memcpy(original, data, len);
    text = mem_copy(original);
    if (before == WANT_FIRST)
        verdict = step_first(s, text, ret_why);
    else
        verdict = step_final(s, original, text, ret_why);
    if (verdict != SCRAM_FAILED)
        *ret_reply = verdict == SCRAM_CONTINUE ? s->server_first : s->reply;
    return verdict;
}
