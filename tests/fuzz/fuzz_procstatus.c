#include <stdlib.h>

#include "box/procstatus.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct procstatus s;
    struct err e;

    if (procstatus_parse((const char *)data, len, &s, &e) < 0) {
        if (e.kind != ERR_PEER || e.msg[0] == '\0')
            abort();
        return 0;
    }
    if (s.n_ns_pid < 1 || s.n_ns_pid > PROCSTATUS_LEVELS || s.n_foreign_groups > s.n_groups ||
        s.pid < 0 || s.parent < 0)
        abort();
    return 0;
}
