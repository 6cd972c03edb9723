#include "door-setup.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cert/cert.h"
#include "conf/conf.h"

enum { SETUP_MAX = 48 << 10 }; /* of certificate and key: it must fit into one message */

static int load_setup(struct hub *h, struct buf *chain, struct buf *key, struct err *e)
{
    AUTO_CLOSE int dir = fd_open_dir(h->state_fd, "tls", 0711, e);

    return dir < 0 ? -1 : cert_load(dir, "server.crt", "server.key", clock_unix(), chain, key, e);
}

static void network_text(const struct conf_network *n, char *at, size_t size)
{
    char address[64];

    (void)inet_ntop(n->family, n->address, address, sizeof(address));
    (void)snprintf(at, size, "%s/%u", address, n->bits);
}

int door_send_setup(struct hub *h, struct ipc_conn *gate, struct err *e)
{
    const struct conf_networks *plain = &h->conf->plaintext;
    char text[CONF_NETWORKS_MAX][80];
    const char *networks[CONF_NETWORKS_MAX];
    struct buf chain, key;
    size_t n = plain->n < IPC_FIELDS - 3 ? plain->n : IPC_FIELDS - 3;
    int r;

    buf_init(&chain, CERT_FILE_MAX);
    buf_init(&key, CERT_FILE_MAX);
    for (size_t i = 0; i < n; i++) {
        network_text(&plain->at[i], text[i], sizeof(text[i]));
        networks[i] = text[i];
    }
    r = load_setup(h, &chain, &key, e);
    if (r == 0 && buf_len(&chain) + buf_len(&key) > SETUP_MAX)
        r = err_set(e, ERR_CONFIG, "the certificate and its chain are larger than %d bytes",
                    SETUP_MAX);
    if (r == 0)
        ipc_send(gate, -1, IPC_GATE_SETUP, buf_data(&chain), buf_len(&chain), buf_data(&key),
                 buf_len(&key), h->mock_key, (size_t)HUB_KEY, networks, n);
    buf_done(&chain);
    buf_done(&key);
    return r;
}
