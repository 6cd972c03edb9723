/* nap.h: whether this machine gains anything when a server naps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is there swap, on a disk or compressed in memory? Reads /proc/swaps. */
bool nap_gives_memory(void);
/* What the hub file says, with `auto` as it is on this machine. UINT64_MAX: never. */
uint64_t nap_after_ms(uint64_t said_ms);
/* For the doctor: what a nap gives back here, and when servers nap. False: nothing. */
bool nap_explain(uint64_t said_ms, bool reclaims, char *at, size_t size);
