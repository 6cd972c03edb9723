/* tls-int.h: what tls.c and stream.c share. */
#pragma once

#include <openssl/ssl.h>

struct tls {
    SSL_CTX *ctx; /* owned */
};

#define TLS_ALPN "postgresql"
