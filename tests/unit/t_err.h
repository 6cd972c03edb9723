/* t_err.h: tests of what fails with a struct err. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "t.h"

static struct err e;

#define T_DO(call)                                                                      \
    do {                                                                                \
        if ((call) < 0) {                                                               \
            t_failures++;                                                               \
            printf("# %s:%d: %s: %s (%s)\n", __FILE__, __LINE__, #call, e.msg, e.hint); \
        }                                                                               \
    } while (0)
#define T_REFUSED(call, want)     \
    do {                          \
        memset(&e, 0, sizeof(e)); \
        T_EQ((call), -1);         \
        T_EQ(e.kind, (want));     \
    } while (0)
