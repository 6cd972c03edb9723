/* when.h: a time as people read it, in UTC. */
#pragma once

#include <stdint.h>

enum { WHEN_SIZE = 32 };

/*
 * Each takes seconds since 1970 and returns at; "?" for what is before that or after the year 9999,
 * as a foreign file may say.
 */
char *when_minute(char at[WHEN_SIZE], int64_t unix_s); /* "2026-08-25 14:03" */
char *when_second(char at[WHEN_SIZE], int64_t unix_s); /* "2026-08-25 14:03:09" */
char *when_name(char at[WHEN_SIZE], int64_t unix_s); /* "20260825-140309", part of a file's name */
char *when_iso(char at[WHEN_SIZE], int64_t unix_s);  /* "2026-08-25T14:03:09Z" */
