#include <assert.h>

#include "vol/ext4.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ext4_super s;

    if (!ext4_super_parse(data, len, &s))
        return 0;
    assert(len >= EXT4_SUPER_SIZE);
    assert(s.blocks > 0 && s.free + s.overhead <= s.blocks && s.reserved <= s.blocks);
    assert(s.block_size >= 1024 && s.block_size <= 65536);
    assert(s.inodes_free <= s.inodes);
    /* In bytes nothing wraps. */
    assert(s.blocks * s.block_size / s.block_size == s.blocks);
    assert(ext4_super_used(&s) <= s.blocks * s.block_size);
    return 0;
}
