#include "crowd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "dormd/fleet.h"
#include "dormd/nap.h"
#include "engine/local.h"

enum {
    MEMINFO_MAX = 65536,
    WAKING_PER_CPU = 2, /* one waits for its disk while the other computes */
};

#define MIB (UINT64_C(1) << 20)

/* Bytes; UINT64_MAX when /proc does not tell. */
static uint64_t meminfo(const char *key)
{
    AUTO_FREE char *text = NULL;
    struct err ignored;
    char *line;
    uint64_t kib;

    if (fd_read_file(AT_FDCWD, "/proc/meminfo", MEMINFO_MAX, &text, &ignored) < 0)
        return UINT64_MAX;
    line = strstr(text, key);
    if (line == NULL)
        return UINT64_MAX;
    line += strlen(key);
    line += strspn(line, ": ");
    line[strspn(line, "0123456789")] = '\0';
    return str_u64(line, &kib) ? kib * 1024 : UINT64_MAX;
}

static uint64_t available(void)
{
    return meminfo("MemAvailable");
}

static uint64_t share_of(const struct conf_share *share, uint64_t total)
{
    if (share->bytes != 0)
        return share->bytes;
    return total == UINT64_MAX ? 0 : total / 100 * share->percent;
}

/* What no start may take from the machine: the rest of it has to live as well. */
static uint64_t spare_of(uint64_t total)
{
    uint64_t spare = total / 50;

    return spare < 32 * MIB ? 32 * MIB : spare > 512 * MIB ? 512 * MIB : spare;
}

int crowd_settle(struct hub *h, struct err *e)
{
    const struct conf_server *server = &h->conf->server;
    uint64_t total = meminfo("MemTotal");
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct fleet_crowd crowd = {
        .waking_most = WAKING_PER_CPU * (cpus < 1 ? 1 : (size_t)cpus),
        .memory = share_of(&h->conf->machine.memory, total),
        .spare = spare_of(total),
        .available = available,
    };
    struct engine_server sizes = {
        .memory = server->limits.memory,
        .cpu_milli = server->limits.cpu_milli,
        .pids = server->limits.pids,
        .request_memory = server->requests.memory,
        .request_cpu_milli = server->requests.cpu_milli,
    };

    if (local_limit_all(h->engine, crowd.memory, e) < 0)
        return err_prefix(e, "could not limit the memory of all servers together");
    fleet_set_idle(h->fleet, server->sleep_after_ms == UINT64_MAX ? 0 : server->sleep_after_ms,
                   nap_after_ms(server->nap_ms), server->sleep_connected_ms);
    fleet_set_sizes(h->fleet, &sizes);
    fleet_set_crowd(h->fleet, &crowd);
    return 0;
}
