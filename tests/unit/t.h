/* t.h: the unit-test harness. One program a file; names are sentences; TAP on stdout. */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int t_count, t_failures;

#define T_OK(condition)                                                        \
    do {                                                                       \
        if (!(condition)) {                                                    \
            t_failures++;                                                      \
            printf("# %s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                      \
    } while (0)
#define T_EQ(got, want)                                                                          \
    do {                                                                                         \
        intmax_t t_got_ = (intmax_t)(got), t_want_ = (intmax_t)(want);                           \
        if (t_got_ != t_want_) {                                                                 \
            t_failures++;                                                                        \
            printf("# %s:%d: %s is %jd, want %jd\n", __FILE__, __LINE__, #got, t_got_, t_want_); \
        }                                                                                        \
    } while (0)
#define T_STR(got, want)                                                             \
    do {                                                                             \
        const char *t_got_ = (got), *t_want_ = (want);                               \
        if (t_got_ == NULL || strcmp(t_got_, t_want_) != 0) {                        \
            t_failures++;                                                            \
            printf("# %s:%d: %s is \"%s\", want \"%s\"\n", __FILE__, __LINE__, #got, \
                   t_got_ == NULL ? "(null)" : t_got_, t_want_);                     \
        }                                                                            \
    } while (0)
#define T_RUN(test)                                                                        \
    do {                                                                                   \
        int t_before_ = t_failures;                                                        \
        test();                                                                            \
        printf("%sok %d - %s\n", t_failures == t_before_ ? "" : "not ", ++t_count, #test); \
        (void)fflush(stdout);                                                              \
    } while (0)

static inline int t_end(void)
{
    printf("1..%d\n", t_count);
    return t_failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
