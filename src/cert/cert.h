/*
 * cert.h: the hub's own certificate authority and the server certificate it issues.
 *
 *     ca.key      0600  made once; who has it can pretend to be this hub
 *     ca.crt      0644  what clients are given as sslrootcert; good for ten years
 *     server.key  0600  made anew with each server.crt
 *     server.crt  0644  the server's certificate, then the authority's
 *
 * The authority is not name-constrained: a hub learns its domain and changes its addresses after
 * clients were given ca.crt, and an authority that had to be replaced then would lock them out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf;
struct x509_st;

enum {
    CERT_NAME_SIZE = 254,
    CERT_NAMES_MAX = 64,
    CERT_HUB_SIZE = 64,
    CERT_FINGERPRINT_SIZE = 32 * 3, /* "AB:CD:...", NUL included */
    CERT_HASH_MAX = 64,
    CERT_FILE_MAX = 256 * 1024,
};

/* What a server certificate is for. About 16 KiB: not for a deep stack. */
struct cert_names {
    char hub[CERT_HUB_SIZE]; /* shown in the certificates, matched by nobody */
    size_t n;
    char name[CERT_NAMES_MAX][CERT_NAME_SIZE]; /* DNS names and IP addresses, as text, each once */
};

/* ERR_INPUT when it is neither a DNS name (one leading "*." is fine) nor an address. */
int cert_names_add(struct cert_names *names, const char *name, struct err *e);
/*
 * Host name, host name.local, localhost, 127.0.0.1, ::1, the addresses of the interfaces (none that
 * is link-local), and domain unless it is NULL or empty. Interfaces past CERT_NAMES_MAX are left
 * out.
 */
int cert_names_of_machine(struct cert_names *ret_names, const char *hub, const char *domain,
                          struct err *e);

enum cert_done { CERT_KEPT, CERT_ISSUED, CERT_FOUNDED };

/*
 * See to it that the four files are in the directory and fit together, the names and the time.
 * Returns what it had to do: nothing, a new server certificate, or a new authority as well.
 *
 * The server's pair is made again when it is missing, damaged, does not match, is for other names
 * or has a third of its life or less left. An authority is made only where neither ca.key nor
 * ca.crt is; its certificate, if lost, is made again from its key, which clients do not notice.
 * Anything else wrong with it is refused in words, since replacing it would lock every client out.
 * ca.key may be kept elsewhere while nothing needs to be issued.
 */
int cert_ensure(int dir_fd, const struct cert_names *names, int64_t now, struct err *e);

/*
 * Read a chain and its key, PEM, appended to two buffers of the caller, whose maximum must allow
 * for CERT_FILE_MAX. The first certificate must belong to the key and be valid at that time. On
 * failure nothing is appended.
 */
int cert_load(int dir_fd, const char *chain_path, const char *key_path, int64_t now,
              struct buf *chain, struct buf *key, struct err *e);

/* Of the first certificate in the file: SHA-256 in hex with colons; whole days left, < 0 if over.
 */
int cert_fingerprint(int dir_fd, const char *path, char ret_fingerprint[CERT_FINGERPRINT_SIZE],
                     struct err *e);
int cert_days_left(int dir_fd, const char *path, int64_t now, int *ret_days, struct err *e);

/*
 * tls-server-end-point of RFC 5929: the certificate under the hash of its own signature (SHA-256
 * for MD5 and SHA-1). Returns its length; fails where the signature has no hash of its own
 * (Ed25519), and then no channel binding can be offered.
 */
int cert_end_point_hash(const struct x509_st *cert, uint8_t ret_hash[CERT_HASH_MAX], struct err *e);
