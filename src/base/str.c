#include "str.h"

#include <stdio.h>
#include <string.h>

bool str_copy(char *at, size_t size, const char *s)
{
    size_t n = strlen(s);

    at[0] = '\0';
    if (n >= size)
        return false;
    memcpy(at, s, n + 1);
    return true;
}

bool str_is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *start)
{
    return strncmp(s, start, strlen(start)) == 0;
}

size_t str_utf8_next(const void *bytes, size_t len, uint32_t *ret_c)
{
    const uint8_t *p = bytes;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80         ? 1
               : (p[0] >> 5) == 6  ? 2
               : (p[0] >> 4) == 14 ? 3
               : (p[0] >> 3) == 30 ? 4
                                   : 0;
    uint32_t c;

    if (n == 0 || n > len)
        return 0;
    c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret_c = c;
    return n;
}

bool str_steers(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xe0000 && c <= 0xe007f);
}

char *str_show(char *at, size_t size, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    size_t out = 0, cut = 0; /* cut: where "..." still fits */

    while (len > 0) {
        uint32_t c = 0;
        size_t n = str_utf8_next(p, len, &c);
        char piece[20];
        size_t piece_len = 0;

        if (n == 0 || str_steers(c)) {
            n = n == 0 ? 1 : n;
            for (size_t i = 0; i < n; i++)
                piece_len +=
                    (size_t)snprintf(piece + piece_len, sizeof(piece) - piece_len, "\\x%02x", p[i]);
        } else if (c == '\\') {
            memcpy(piece, "\\\\", piece_len = 2);
        } else {
            memcpy(piece, p, piece_len = n);
        }
        if (out + piece_len >= size) {
            (void)snprintf(at + cut, size - cut, "%s", "...");
            return at;
        }
        memcpy(at + out, piece, piece_len);
        out += piece_len;
        if (out + 4 <= size)
            cut = out;
        p += n;
        len -= n;
    }
    at[out] = '\0';
    return at;
}

bool str_utf8(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint32_t c = 0;

    while (len > 0) {
        size_t n = str_utf8_next(p, len, &c);

        if (n == 0 || c == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

bool str_u64(const char *s, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9' || value > (UINT64_MAX - (uint64_t)(*s - '0')) / 10)
            return false;
        value = value * 10 + (uint64_t)(*s - '0');
    }
    *ret_value = value;
    return true;
}

/* Changes (insert, delete, replace) that turn a into b; both at most 63 bytes. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], lb = strlen(b);

    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *str_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 2; /* further than that is another word */

    if (strlen(word) > 63)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = strlen(candidates[i]) > 63 ? least : distance(word, candidates[i]);

        if (d < least) {
            least = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}

char *str_size(char *at, size_t size, uint64_t bytes)
{
    static const char units[][3] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    unsigned unit = 0;
    uint64_t whole = bytes, rest = 0;

    while (whole >= 1024 && unit < 6) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (whole < 10 && rest * 10 / 1024 > 0)
        (void)snprintf(at, size, "%llu.%llu%s", (unsigned long long)whole,
                       (unsigned long long)(rest * 10 / 1024), units[unit]);
    else
        (void)snprintf(at, size, "%llu%s", (unsigned long long)whole, units[unit]);
    return at;
}

char *str_duration(char *at, size_t size, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        char unit;
    } units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (ms >= units[i].ms) {
            (void)snprintf(at, size, "%llu%c", (unsigned long long)(ms / units[i].ms),
                           units[i].unit);
            return at;
        }
    (void)snprintf(at, size, "%llums", (unsigned long long)ms);
    return at;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool str_hex(const char *hex, void *ret_bytes, size_t n)
{
    uint8_t *out = ret_bytes;

    if (strlen(hex) != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void str_to_hex(char *at, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;

    for (size_t i = 0; i < n; i++) {
        at[2 * i] = digits[p[i] >> 4];
        at[2 * i + 1] = digits[p[i] & 15];
    }
    at[2 * n] = '\0';
}

void str_to_base32(char *at, const void *bytes, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    const uint8_t *p = bytes;
    unsigned held = 0, bits = 0;

    for (size_t i = 0; i < n; i++) {
        held = held << 8 | p[i];
        for (bits += 8; bits >= 5; bits -= 5)
            *at++ = letters[held >> (bits - 5) & 31];
        held &= (1u << bits) - 1;
    }
    if (bits > 0)
        *at++ = letters[held << (5 - bits) & 31];
    *at = '\0';
}
