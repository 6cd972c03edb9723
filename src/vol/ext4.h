/* ext4.h: what the superblock of an image says: bytes in, fields out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define EXT4_SUPER_AT   1024
#define EXT4_SUPER_SIZE 1024

struct ext4_super {
    uint64_t blocks, reserved, free; /* blocks; reserved: for root */
    uint64_t overhead;               /* blocks that files can never have; 0 where not counted */
    uint32_t block_size;
    uint32_t inodes, inodes_free;
    bool damaged; /* errors were found in it, or a resize was interrupted */
    bool replay;  /* it was in use: its journal has to be replayed by a mount that may write */
};

/* False when this is not the superblock of a file system that could be mounted. */
bool ext4_super_parse(const void *bytes, size_t len, struct ext4_super *ret_super);

/* Of an image, or of a loop device over one. ERR_OS when it holds no such file system. */
int ext4_super_read(int fd, const char *name, struct ext4_super *ret_super, struct err *e);
/* How much of it files take, in bytes. */
uint64_t ext4_super_used(const struct ext4_super *s);
/* Check all of the file system in an image and repair what can be without a human. */
int ext4_check(int fd, const char *name, struct err *e);
