/* digest.h: what SCRAM is made of: SHA-256, HMAC, constant-time comparison, base64. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_LEN ((size_t)32)

void digest_sha256(const void *data, size_t len, uint8_t ret[DIGEST_LEN]);
void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t ret[DIGEST_LEN]);
void digest_stretch(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                    uint8_t ret[DIGEST_LEN]);
bool digest_same(const void *a, const void *b, size_t n);

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1) /* of the text, with NUL */

void base64_put(char *at, const void *bytes, size_t n);
/* The one text that stands for these bytes: padded, nothing around it, no bit left over. Returns
 * how many bytes, or -1, also when there would be more than max. */
int base64_get(const char *text, size_t len, uint8_t *ret_bytes, size_t max);
