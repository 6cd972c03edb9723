/* saslprep.h: passwords in the form in which PostgreSQL hashes them (RFC 4013). */
#pragma once

/*
 * The prepared password; or the bytes as they are where they are not UTF-8 or hold what SASLprep
 * prohibits: PostgreSQL hashes those unchanged, and a client does the same. Owned by the caller,
 * who wipes it.
 */
char *saslprep(const char *password) __attribute__((returns_nonnull));
