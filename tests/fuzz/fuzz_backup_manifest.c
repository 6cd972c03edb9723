#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "backup/backup-int.h"
#include "base/str.h"

#include "fuzz.h"

/* What is taken is printed as it was: there is one manifest for what it says. */
static void parse(const char *text, size_t len)
{
    struct manifest m;
    struct buf b;
    struct err e;

    if (manifest_parse(text, len, &m, &e) < 0) {
        assert(e.kind == ERR_INPUT);
        return;
    }
    assert(backup_name_ok(m.hub) && m.created >= 0);
    for (size_t i = 0; i < m.n; i++)
        assert(backup_name_ok(m.files[i].name) && strchr(m.files[i].name, '/') == NULL);
    buf_init(&b, MANIFEST_MAX);
    assert(manifest_print(&m, &b, &e) == 0);
    assert(buf_len(&b) == len && memcmp(buf_data(&b), text, len) == 0);
    buf_done(&b);
    manifest_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct sum s = {NULL};
    struct buf b;
    struct err e;
    uint8_t is[BACKUP_SHA256];
    char hex[2 * BACKUP_SHA256 + 1];

    parse((const char *)data, len);
    /* With the checksum that no input would find. */
    assert(sum_init(&s, &e) == 0 && sum_add(&s, data, len, &e) == 0 && sum_end(&s, is, &e) == 0);
    sum_done(&s);
    str_to_hex(hex, is, sizeof(is));
    buf_init(&b, MANIFEST_MAX);
    if (buf_put(&b, data, len) && buf_printf(&b, "sha256 %s\n", hex))
        parse((const char *)buf_data(&b), buf_len(&b));
    buf_done(&b);
    return 0;
}
