/* dice.h: repeatable randomness. Random tests run fixed seeds and one fresh one, which is printed.
 */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"

struct dice {
    uint64_t state;
};

static inline uint64_t dice_u64(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u; /* splitmix64 */

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t dice_below(struct dice *d, size_t n)
{
    return (size_t)(dice_u64(d) % n);
}

/* Run a random test with seeds 1 to 5, then with a new one; T_SEED=n repeats what failed. */
static inline void dice_runs(void (*test)(struct dice *))
{
    const char *again = getenv("T_SEED");
    struct dice d;

    for (uint64_t seed = 1; again == NULL && seed <= 5; seed++) {
        d.state = seed;
        test(&d);
    }
    rand_bytes(&d.state, sizeof(d.state));
    if (again != NULL)
        d.state = strtoull(again, NULL, 10);
    printf("# T_SEED=%" PRIu64 "\n", d.state);
    test(&d);
}
