#include "ext4.h"

#include <errno.h>
#include <unistd.h>

#include "run.h"

#define MAGIC           0xEF53u
#define STATE_VALID     1u
#define STATE_ERRORS    2u
#define INCOMPAT_REPLAY 0x04u
#define INCOMPAT_64BIT  0x80u
#define LOG_SIZE_MAX    6u /* 64 KiB */
#define BLOCKS_MAX      (UINT64_C(1) << 44)
#define CHECK_MS        600000

static uint32_t le16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const unsigned char *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static uint64_t le64(const unsigned char *low, const unsigned char *high, bool wide)
{
    return (wide ? (uint64_t)le32(high) << 32 : 0) | le32(low);
}

bool ext4_super_parse(const void *bytes, size_t len, struct ext4_super *ret_super)
{
    const unsigned char *b = bytes;
    struct ext4_super s;
    bool wide;

    if (len < EXT4_SUPER_SIZE || le16(b + 0x38) != MAGIC || le32(b + 0x18) > LOG_SIZE_MAX)
        return false;
    wide = (le32(b + 0x60) & INCOMPAT_64BIT) != 0;
    s = (struct ext4_super){
        .blocks = le64(b + 0x04, b + 0x150, wide),
        .reserved = le64(b + 0x08, b + 0x154, wide),
        .free = le64(b + 0x0C, b + 0x158, wide),
        .overhead = le32(b + 0x248),
        .block_size = 1024u << le32(b + 0x18),
        .inodes = le32(b),
        .inodes_free = le32(b + 0x10),
        .damaged = (le16(b + 0x3A) & (STATE_VALID | STATE_ERRORS)) != STATE_VALID,
        .replay = (le32(b + 0x60) & INCOMPAT_REPLAY) != 0,
    };
    if (s.blocks == 0 || s.blocks > BLOCKS_MAX || s.reserved > s.blocks || s.free > s.blocks ||
        s.inodes == 0 || s.inodes_free > s.inodes)
        return false;
    if (s.overhead > s.blocks - s.free)
        s.overhead = 0;
    *ret_super = s;
    return true;
}

int ext4_super_read(int fd, const char *name, struct ext4_super *ret_super, struct err *e)
{
    unsigned char bytes[EXT4_SUPER_SIZE];
    ssize_t n = pread(fd, bytes, sizeof(bytes), EXT4_SUPER_AT);

    if (n < 0)
        return err_set_os(e, errno, "could not read volume \"%s\"", name);
    if (!ext4_super_parse(bytes, (size_t)n, ret_super))
        return err_set(e, ERR_OS, "volume \"%s\" holds no file system", name);
    return 0;
}

uint64_t ext4_super_used(const struct ext4_super *s)
{
    return (s->blocks - s->overhead - s->free) * s->block_size;
}

int ext4_check(int fd, const char *name, struct err *e)
{
    static const char *const argv[] = {"e2fsck", "-f", "-p", "--", "/proc/self/fd/3", NULL};
    struct vol_run run = {
        .package = "e2fsprogs", .argv = argv, .fd = fd, .worst_ok = 1, .deadline_ms = CHECK_MS};

    if (vol_run(&run, e) == 0)
        return 0;
    if (e->kind == ERR_MISSING)
        return -1;
    (void)err_prefix(e, "volume \"%s\" is damaged", name);
    return err_hint(e, "restore a snapshot: dorm snapshot list");
}
