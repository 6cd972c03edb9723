/* verifier.c: what is kept of a password, in the words of pg_authid. */
#include "verifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "digest.h"
#include "saslprep.h"

#define SCHEME "SCRAM-SHA-256$"

void verifier_write(const struct scram_verifier *v, char ret_text[SCRAM_VERIFIER_SIZE])
{
    char salt[BASE64_SIZE(SCRAM_SALT_MAX)];
    char stored[BASE64_SIZE(SCRAM_KEY_LEN)], server[BASE64_SIZE(SCRAM_KEY_LEN)];

    base64_put(salt, v->salt, v->salt_len);
    base64_put(stored, v->stored_key, SCRAM_KEY_LEN);
    base64_put(server, v->server_key, SCRAM_KEY_LEN);
    (void)snprintf(ret_text, SCRAM_VERIFIER_SIZE, SCHEME "%u:%s$%s:%s", v->iterations, salt, stored,
                   server);
}

/* Cut *rest at the first stop; what is before it is returned, and *rest goes on behind it. */
static char *piece(char **rest, char stop)
{
    char *begin = *rest, *end = strchr(begin, stop);

    if (end == NULL)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return begin;
}

static bool read_key(const char *text, uint8_t ret[SCRAM_KEY_LEN])
{
    return base64_get(text, strlen(text), ret, SCRAM_KEY_LEN) == (int)SCRAM_KEY_LEN;
}

static bool parse(char *rest, struct scram_verifier *v)
{
    const char *iterations = piece(&rest, ':');
    const char *salt = iterations == NULL ? NULL : piece(&rest, '$');
    const char *stored = salt == NULL ? NULL : piece(&rest, ':');
    uint64_t n;
    int len;

    if (stored == NULL || iterations[0] == '0' || !str_u64(iterations, &n) ||
        n > SCRAM_ITERATIONS_MAX)
        return false;
    len = base64_get(salt, strlen(salt), v->salt, sizeof(v->salt));
    if (len < 1)
        return false;
    v->iterations = (uint32_t)n;
    v->salt_len = (size_t)len;
    return read_key(stored, v->stored_key) && read_key(rest, v->server_key);
}

/* The message never holds the text: whoever has it can pass for the server. */
int scram_verifier_parse(const char *text, struct scram_verifier *ret, struct err *e)
{
    struct scram_verifier v = {.iterations = 0};
    char copy[SCRAM_VERIFIER_SIZE];
    bool good = str_starts(text, SCHEME) && str_copy(copy, sizeof(copy), text + strlen(SCHEME)) &&
                parse(copy, &v);

    if (good)
        *ret = v;
    explicit_bzero(copy, sizeof(copy));
    explicit_bzero(&v, sizeof(v));
    return good ? 0
                : err_set(e, ERR_INPUT,
                          "could not read a password verifier: not the form "
                          "SCRAM-SHA-256$iterations:salt$key:key");
}

static void derive(const char *password, struct scram_verifier *v)
{
    uint8_t salted[DIGEST_LEN], client[DIGEST_LEN];

    digest_stretch(password, v->salt, v->salt_len, v->iterations, salted);
    digest_hmac(salted, sizeof(salted), "Client Key", strlen("Client Key"), client);
    digest_sha256(client, sizeof(client), v->stored_key);
    digest_hmac(salted, sizeof(salted), "Server Key", strlen("Server Key"), v->server_key);
    explicit_bzero(salted, sizeof(salted));
    explicit_bzero(client, sizeof(client));
}

int scram_verifier_make(const char *password, size_t len, const uint8_t salt[SCRAM_SALT_LEN],
                        uint32_t iterations, char ret_text[SCRAM_VERIFIER_SIZE], struct err *e)
{
    struct scram_verifier v = {.iterations = iterations, .salt_len = SCRAM_SALT_LEN};
    char copy[SCRAM_PASSWORD_MAX + 1], *prepared;

    ret_text[0] = '\0';
    if (len == 0 || len > SCRAM_PASSWORD_MAX)
        return err_set(e, ERR_INPUT, "could not set the password: it has %zu bytes, not 1 to %u",
                       len, SCRAM_PASSWORD_MAX);
    if (memchr(password, 0, len) != NULL)
        return err_set(e, ERR_INPUT, "could not set the password: it contains a zero byte");
    if (iterations == 0 || iterations > SCRAM_ITERATIONS_MAX)
        return err_set(e, ERR_INPUT, "could not set the password: %u iterations are not 1 to %u",
                       iterations, SCRAM_ITERATIONS_MAX);
    memcpy(copy, password, len);
    copy[len] = '\0';
    prepared = saslprep(copy);
    memcpy(v.salt, salt, SCRAM_SALT_LEN);
    derive(prepared, &v);
    verifier_write(&v, ret_text);
    explicit_bzero(&v, sizeof(v));
    explicit_bzero(copy, sizeof(copy));
    explicit_bzero(prepared, strlen(prepared));
    free(prepared);
    return 0;
}
