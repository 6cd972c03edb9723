#include "rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_bytes(void *at, size_t n)
{
    uint8_t *p = at;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            abort(); /* a machine without randomness cannot keep a secret */
        p += got;
        n -= (size_t)got;
    }
}

void rand_id(char ret_id[ID_SIZE])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t bytes[ID_LEN];

    rand_bytes(bytes, sizeof(bytes));
    for (int i = 0; i < ID_LEN; i++)
        ret_id[i] = letters[bytes[i] & 31];
    ret_id[ID_LEN] = '\0';
}
