/* units.h: sizes, durations and cores as people write them. Pure; used by the hub file and
 * commands. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Each returns 0 and fills ret_..., or -1 and writes why to the reader, without the text itself:
 * "is not a size; did you mean 1Gi?". why needs UNITS_WHY bytes.
 */
enum { UNITS_WHY = 96 };

/* "1Gi" "512Mi" (1024), "10G" "5M" (1000), "1048576" (bytes). Whole numbers only. */
int units_size(const char *text, uint64_t *ret_bytes, char why[UNITS_WHY]);
/* "45s", "15m", "8h", "7d". */
int units_duration(const char *text, uint64_t *ret_ms, char why[UNITS_WHY]);
/* "1", "0.5", "500m": thousandths of a core, at least 1. */
int units_cores(const char *text, uint32_t *ret_milli, char why[UNITS_WHY]);
