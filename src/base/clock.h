/* clock.h: time that never jumps for deadlines; the calendar only for what a human reads. */
#pragma once

#include <stdint.h>

uint64_t clock_ms(void); /* CLOCK_BOOTTIME: goes on while the machine is suspended */
uint64_t clock_us(void);
/* 2026-01-01: a machine that thinks it is earlier has not heard the time yet. */
#define CLOCK_LEAST INT64_C(1767225600)

int64_t clock_unix(void); /* seconds since 1970, UTC */
