/* rand.h: randomness from the kernel, and the ids made of it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ID_LEN  13 /* 65 bits in base32: two ids never meet on one machine */
#define ID_SIZE (ID_LEN + 1)

void rand_bytes(void *at, size_t n);
/* An immutable, opaque id: 13 characters of [a-z2-7], safe in paths, cgroups and host names. */
void rand_id(char ret_id[ID_SIZE]);
