#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fd.h"

#define FILE_SIZE 8192 /* in all versions; what matters is at most 512 of it, one sector */
#define USED_MAX  512

/* ControlFileData. These have had their places since PostgreSQL 12. */
enum {
    AT_SYSTEM = 0,
    AT_VERSION = 8,
    AT_CATALOG = 12,
    AT_STATE = 16,
    AT_TIME = 24,
    AT_CHECKPOINT = 32,
    AT_REDO = 40,
    AT_TIMELINE = 48,
    AT_NEXT_XID = 64,
    AT_SEGMENT = 228,
    AT_CHECKSUM = 252,
};

static const struct {
    uint32_t version;
    size_t crc_at; /* everything before it is covered */
} formats[] = {
    {1300, 288}, /* PostgreSQL 13 to 16 */
    {1700, 288},
    {1800, 292}, /* default_char_signedness came in */
};

static const uint32_t *crc_table(void)
{
    static uint32_t table[256];

    if (table[1] != 0)
        return table;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ ((c & 1) != 0 ? 0x82f63b78u : 0);
        table[i] = c;
    }
    return table;
}

/* CRC-32C; begin with UINT32_MAX, invert at the end. */
static uint32_t crc_add(uint32_t crc, const uint8_t *at, size_t n)
{
    const uint32_t *table = crc_table();

    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ at[i]) & 0xff] ^ crc >> 8;
    return crc;
}

static uint32_t get_32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static uint64_t get_64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

/* A whole file of another version also ends with its checksum: it is told from damage so. */
static bool has_crc_somewhere(const uint8_t *at, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i + 8 <= len && i + 8 <= USED_MAX; i += 4) {
        crc = crc_add(crc, at + i, 4);
        if (i + 4 >= AT_CHECKSUM && get_32(at + i + 4) == (uint32_t)~crc)
            return true;
    }
    return false;
}

static int damaged(struct err *e, const char *how)
{
    (void)err_set(e, ERR_INTERNAL, PG_CONTROL_FILE " is damaged: %s", how);
    return err_hint(e, "PostgreSQL does not start with these data: go back to a snapshot");
}

static int check(const uint8_t *at, size_t len, struct err *e)
{
    uint32_t version;

    if (len < AT_CHECKSUM + 8)
        return damaged(e, "it is cut off");
    version = get_32(at + AT_VERSION);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        size_t n = formats[i].crc_at;

        if (version != formats[i].version)
            continue;
        if (len < n + 4)
            return damaged(e, "it is cut off");
        if (get_32(at + n) != (uint32_t)~crc_add(UINT32_MAX, at, n))
            return damaged(e, "its checksum is wrong");
        if (get_32(at + AT_STATE) >= PG_STATE_N)
            return damaged(e, "its state is not one");
        return 0;
    }
    if (!has_crc_somewhere(at, len))
        return damaged(e, "its version and its checksum are wrong");
    return err_set(e, ERR_MISSING, PG_CONTROL_FILE " has version %u, which is not known here",
                   version);
}

int pg_control_parse(const void *bytes, size_t len, struct pg_control *ret, struct err *e)
{
    const uint8_t *at = bytes;

    if (check(at, len, e) < 0)
        return -1;
    *ret = (struct pg_control){
        .system = get_64(at + AT_SYSTEM),
        .version = get_32(at + AT_VERSION),
        .catalog = get_32(at + AT_CATALOG),
        .state = (enum pg_state)get_32(at + AT_STATE),
        .time = (int64_t)get_64(at + AT_TIME),
        .checkpoint = get_64(at + AT_CHECKPOINT),
        .redo = get_64(at + AT_REDO),
        .timeline = get_32(at + AT_TIMELINE),
        .next_xid = get_64(at + AT_NEXT_XID),
        .checksum = get_32(at + AT_CHECKSUM),
        .segment = get_32(at + AT_SEGMENT),
    };
    return 0;
}

int pg_control_read(int data_fd, struct pg_control *ret, struct err *e)
{
    AUTO_CLOSE int fd =
        fd_open_beneath(data_fd, PG_CONTROL_FILE, O_RDONLY | O_NONBLOCK | O_NOCTTY, e);
    uint8_t bytes[FILE_SIZE];
    size_t len = 0;
    struct stat st;

    if (fd < 0 && (e->os_errno == ENOENT || e->os_errno == ENOTDIR))
        return damaged(e, "it is missing");
    if (fd < 0 && e->os_errno == ELOOP)
        return damaged(e, "it is reached through a link");
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return err_set_os(e, errno, "could not look at " PG_CONTROL_FILE);
    if (!S_ISREG(st.st_mode))
        return damaged(e, "it is no file");
    while (len < sizeof(bytes)) {
        ssize_t n = read(fd, bytes + len, sizeof(bytes) - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_os(e, errno, "could not read " PG_CONTROL_FILE);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return pg_control_parse(bytes, len, ret, e);
}
