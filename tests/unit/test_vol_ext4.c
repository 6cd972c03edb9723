#include "vol/ext4.h"

#include "t.h"

static unsigned char block[EXT4_SUPER_SIZE];
static struct ext4_super s;

static void put(size_t at, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        block[at + i] = (unsigned char)(value >> (8 * i));
}

/* 1 GiB in blocks of 4 KiB, sane. */
static void begin(void)
{
    memset(block, 0, sizeof(block));
    put(0x00, 4, 65536);  /* inodes */
    put(0x04, 4, 262144); /* blocks */
    put(0x08, 4, 6144);   /* reserved */
    put(0x0C, 4, 200000); /* free */
    put(0x10, 4, 65000);  /* free inodes */
    put(0x18, 4, 2);      /* 1024 << 2 */
    put(0x38, 2, 0xEF53);
    put(0x3A, 2, 1);
    put(0x248, 4, 8000); /* overhead */
}

static void each_field_is_found(void)
{
    begin();
    T_OK(ext4_super_parse(block, sizeof(block), &s));
    T_EQ(s.blocks, 262144);
    T_EQ(s.reserved, 6144);
    T_EQ(s.free, 200000);
    T_EQ(s.overhead, 8000);
    T_EQ(s.block_size, 4096);
    T_EQ(s.inodes, 65536);
    T_EQ(s.inodes_free, 65000);
    T_OK(!s.damaged);
    T_EQ(ext4_super_used(&s), (262144 - 8000 - 200000) * 4096);
}

static void the_upper_halves_count_only_in_a_64_bit_file_system(void)
{
    begin();
    put(0x150, 4, 3);
    put(0x158, 4, 1);
    T_OK(ext4_super_parse(block, sizeof(block), &s));
    T_EQ(s.blocks, 262144);
    put(0x60, 4, 0x80);
    T_OK(ext4_super_parse(block, sizeof(block), &s));
    T_EQ(s.blocks, (INT64_C(3) << 32) + 262144);
    T_EQ(s.free, (INT64_C(1) << 32) + 200000);
}

static void errors_and_interrupted_work_are_seen(void)
{
    begin();
    put(0x3A, 2, 3);
    T_OK(ext4_super_parse(block, sizeof(block), &s) && s.damaged);
    put(0x3A, 2, 0);
    T_OK(ext4_super_parse(block, sizeof(block), &s) && s.damaged);
    T_OK(!s.replay);
    put(0x60, 4, 0x04);
    T_OK(ext4_super_parse(block, sizeof(block), &s) && s.replay);
    put(0x3A, 2, 5); /* orphans are the journal's business */
    T_OK(ext4_super_parse(block, sizeof(block), &s) && !s.damaged);
}

static bool refused(size_t at, unsigned bytes, uint64_t value)
{
    begin();
    put(at, bytes, value);
    return !ext4_super_parse(block, sizeof(block), &s);
}

static void what_cannot_be_is_refused(void)
{
    begin();
    T_OK(!ext4_super_parse(block, sizeof(block) - 1, &s));
    T_OK(refused(0x38, 2, 0xEF54));
    T_OK(refused(0x18, 4, 7));
    T_OK(refused(0x18, 4, UINT32_MAX));
    T_OK(refused(0x04, 4, 0));
    T_OK(refused(0x0C, 4, 262145));
    T_OK(refused(0x08, 4, 262145));
    T_OK(refused(0x00, 4, 0));
    T_OK(refused(0x10, 4, 65537));
    begin();
    put(0x60, 4, 0x80);
    put(0x150, 4, UINT32_MAX);
    T_OK(!ext4_super_parse(block, sizeof(block), &s));
}

static void an_overhead_that_cannot_be_is_not_counted(void)
{
    begin();
    put(0x248, 4, 262144 - 200000 + 1);
    T_OK(ext4_super_parse(block, sizeof(block), &s));
    T_EQ(s.overhead, 0);
}

int main(void)
{
    T_RUN(each_field_is_found);
    T_RUN(the_upper_halves_count_only_in_a_64_bit_file_system);
    T_RUN(errors_and_interrupted_work_are_seen);
    T_RUN(what_cannot_be_is_refused);
    T_RUN(an_overhead_that_cannot_be_is_not_counted);
    return t_end();
}
