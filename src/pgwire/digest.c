#include "digest.h"

#include <assert.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

void digest_sha256(const void *data, size_t len, uint8_t ret[DIGEST_LEN])
{
    int done = EVP_Digest(data, len, ret, NULL, EVP_sha256(), NULL);

    assert(done == 1); /* fails only without memory or without SHA-256 */
}

void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t ret[DIGEST_LEN])
{
    const uint8_t *done;

    assert(key_len <= INT_MAX);
    done = HMAC(EVP_sha256(), key, (int)key_len, data, len, ret, NULL);
    assert(done != NULL);
}

/* Hi() of RFC 5802 is PBKDF2 with one block. */
void digest_stretch(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                    uint8_t ret[DIGEST_LEN])
{
    int done;

    assert(salt_len <= INT_MAX && iterations <= INT_MAX);
    done = PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_len, (int)iterations,
                             EVP_sha256(), (int)DIGEST_LEN, ret);
    assert(done == 1);
}

bool digest_same(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void base64_put(char *at, const void *bytes, size_t n)
{
    assert(n <= INT_MAX / 2);
    (void)EVP_EncodeBlock((unsigned char *)at, bytes, (int)n);
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_get(const char *text, size_t len, uint8_t *ret_bytes, size_t max)
{
    uint32_t bits = 0;
    size_t n = 0, letters = len;
    int held = 0;

    if (len % 4 != 0)
        return -1;
    while (letters > 0 && len - letters < 2 && text[letters - 1] == '=')
        letters--;
    for (size_t i = 0; i < letters; i++) {
        int v = sextet(text[i]);

        if (v < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)v) & 0xffff;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (n == max || n == INT_MAX)
            return -1;
        ret_bytes[n++] = (uint8_t)(bits >> held);
    }
    return (bits & ((1u << held) - 1)) == 0 ? (int)n : -1;
}
