#include "clock.h"

#include <time.h>

uint64_t clock_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_ms(void)
{
    return clock_us() / 1000;
}

int64_t clock_unix(void)
{
    return (int64_t)time(NULL);
}
