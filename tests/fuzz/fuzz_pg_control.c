#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pg/control.h"

/* Bit by bit, on purpose not the way of the code under test. */
static uint32_t crc32c(const uint8_t *at, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (((crc ^ (uint32_t)at[i] >> bit) & 1) != 0 ? 0x82f63b78u : 0);
    return ~crc;
}

static void parse(const uint8_t *data, size_t len, int expected)
{
    struct pg_control c = {0};
    struct err e = {0};
    int result = pg_control_parse(data, len, &c, &e);

    if (result < 0 && e.kind != ERR_INTERNAL && e.kind != ERR_MISSING)
        abort();
    if (result == 0 && (unsigned)c.state >= PG_STATE_N)
        abort();
    if (expected >= 0 && (result == 0) != expected)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct {
        uint32_t version;
        size_t at;
    } formats[] = {{1300, 288}, {1700, 288}, {1800, 292}};
    uint32_t state;

    parse(data, len, -1);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]) && len >= 296; i++) {
        uint8_t whole[296];
        uint32_t crc;

        memcpy(whole, data, sizeof(whole));
        memcpy(whole + 8, &formats[i].version, 4);
        crc = crc32c(whole, formats[i].at);
        memcpy(whole + formats[i].at, &crc, 4);
        memcpy(&state, whole + 16, 4);
        parse(whole, sizeof(whole), state < PG_STATE_N);
        whole[0] ^= 1;
        parse(whole, sizeof(whole), 0);
    }
    return 0;
}
