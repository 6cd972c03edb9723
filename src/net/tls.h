/* tls.h: what a server needs to speak TLS 1.2 and 1.3 with whoever connects. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct tls; /* certificate, key and rules; connections made with it keep what they need of it */

/*
 * From a certificate chain (leaf first) and its key, both PEM. Sessions are never resumed: a
 * ticket must not carry one user's connection to another. The caller wipes key.
 */
struct tls *tls_new(const void *chain, size_t chain_len, const void *key, size_t key_len,
                    struct err *e);
void tls_free(struct tls *t);

enum { TLS_END_POINT_MAX = 64 };
