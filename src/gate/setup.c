#include "setup.h"

#include <string.h>

enum { FIELD_CHAIN, FIELD_KEY, FIELD_MOCK, FIELD_NETWORKS };

static int read_networks(const struct ipc_msg *msg, struct cidr *ret, size_t *ret_n, struct err *e)
{
    size_t n = msg->n - FIELD_NETWORKS;

    if (n > NETWORKS_MAX)
        return err_set(e, ERR_LIMIT, "%zu networks are more than %d", n, NETWORKS_MAX);
    for (size_t i = 0; i < n; i++)
        if (cidr_parse(&ret[i], msg->field[FIELD_NETWORKS + i].at, e) < 0)
            return -1;
    *ret_n = n;
    return 0;
}

static int take(struct gate *g, const struct ipc_msg *msg, struct err *e)
{
    const struct ipc_field *chain = &msg->field[FIELD_CHAIN], *key = &msg->field[FIELD_KEY];
    const struct ipc_field *mock = &msg->field[FIELD_MOCK];
    struct cidr networks[NETWORKS_MAX];
    size_t networks_n = 0;
    struct tls *tls;

    if (mock->len == 0 || mock->len > MOCK_KEY_MAX)
        return err_set(e, ERR_INPUT, "a mock key of %zu bytes is not 1 to %d", mock->len,
                       MOCK_KEY_MAX);
    if (read_networks(msg, networks, &networks_n, e) < 0)
        return -1;
    tls = tls_new(chain->at, chain->len, key->at, key->len, e);
    if (tls == NULL)
        return -1;
    tls_free(g->tls);
    g->tls = tls;
    memcpy(g->mock_key, mock->at, mock->len);
    g->mock_key_len = mock->len;
    memcpy(g->plaintext, networks, sizeof(networks[0]) * networks_n);
    g->plaintext_n = networks_n;
    return 0;
}

static void wipe(const struct ipc_field *f)
{
    /* the datagram is the receiver's own buffer, lent to us as const */
    explicit_bzero((void *)(uintptr_t)f->at, f->len);
}

int setup_take(struct gate *g, const struct ipc_msg *msg, struct err *e)
{
    int r = take(g, msg, e);

    wipe(&msg->field[FIELD_KEY]);
    wipe(&msg->field[FIELD_MOCK]);
    return r < 0 ? err_prefix(e, "could not take the certificate and networks") : 0;
}

bool setup_plaintext_allowed(const struct gate *g, const struct addr *peer)
{
    if (addr_is_vouched(peer))
        return true;
    for (size_t i = 0; i < g->plaintext_n; i++)
        if (cidr_has(&g->plaintext[i], peer))
            return true;
    return false;
}
