#include "when.h"

#include <stdio.h>
#include <time.h>

#define END_OF_9999 INT64_C(253402300799) /* a year of four digits; glibc's overflow far later */

static char *put(char at[WHEN_SIZE], const char *fmt, int64_t unix_s)
    __attribute__((format(strftime, 2, 0)));

static char *put(char at[WHEN_SIZE], const char *fmt, int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm utc;

    if (unix_s < 0 || unix_s > END_OF_9999) {
        (void)snprintf(at, WHEN_SIZE, "?");
        return at;
    }
    (void)gmtime_r(&t, &utc);
    (void)strftime(at, WHEN_SIZE, fmt, &utc);
    return at;
}

char *when_minute(char at[WHEN_SIZE], int64_t unix_s)
{
    return put(at, "%Y-%m-%d %H:%M", unix_s);
}

char *when_second(char at[WHEN_SIZE], int64_t unix_s)
{
    return put(at, "%Y-%m-%d %H:%M:%S", unix_s);
}

char *when_name(char at[WHEN_SIZE], int64_t unix_s)
{
    return put(at, "%Y%m%d-%H%M%S", unix_s);
}

char *when_iso(char at[WHEN_SIZE], int64_t unix_s)
{
    return put(at, "%Y-%m-%dT%H:%M:%SZ", unix_s);
}
