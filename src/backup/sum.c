#include <openssl/evp.h>

#include "backup-int.h"

static int failed(struct err *e)
{
    return err_set(e, ERR_INTERNAL, "SHA-256 does not work");
}

int sum_init(struct sum *s, struct err *e)
{
    s->state = EVP_MD_CTX_new();
    if (s->state == NULL || EVP_DigestInit_ex(s->state, EVP_sha256(), NULL) != 1)
        return failed(e);
    return 0;
}

int sum_add(struct sum *s, const void *data, size_t len, struct err *e)
{
    return EVP_DigestUpdate(s->state, data, len) == 1 ? 0 : failed(e);
}

int sum_end(struct sum *s, uint8_t ret[BACKUP_SHA256], struct err *e)
{
    return EVP_DigestFinal_ex(s->state, ret, NULL) == 1 ? 0 : failed(e);
}

void sum_done(struct sum *s)
{
    EVP_MD_CTX_free(s->state);
    s->state = NULL;
}
