/* A datagram is refused, or its fields lie inside it, end with NUL, and format to the same bytes.
 */
#include "fuzz.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "ipc/ipc.h"

/* Rows of texts alone can be written again from what was read. */
static void there_and_back(const struct ipc_msg *m, const uint8_t *data, size_t len)
{
    const char *texts[IPC_FIELDS];
    struct buf b;

    for (size_t i = 0; i < m->n; i++)
        texts[i] = m->field[i].at;
    buf_init(&b, IPC_MAX);
    assert(ipc_format(&b, m->type, texts, m->n));
    assert(buf_len(&b) == len && memcmp(buf_data(&b), data, len) == 0);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *begin = (const char *)data, *end = begin + len;
    struct ipc_msg m;
    struct err e;

    if (ipc_parse(data, len, &m, &e) < 0) {
        assert(e.kind == ERR_PEER && e.msg[0] != '\0');
        return 0;
    }
    assert(m.n <= IPC_FIELDS && ipc_name(m.type) != NULL);
    for (size_t i = 0; i < m.n; i++) {
        const struct ipc_field *f = &m.field[i];

        assert(f->at >= begin && f->at <= end && f->len < (size_t)(end - f->at));
        assert(f->at[f->len] == '\0');
    }
    if (m.type == IPC_ROW || m.type == IPC_COLUMNS)
        there_and_back(&m, data, len);
    return 0;
}
