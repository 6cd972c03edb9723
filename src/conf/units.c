#include "units.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

struct unit {
    char text[3];
    uint64_t each;
};

static const struct unit sizes[] = {
    {"", 1},      {"Ki", 1ull << 10}, {"Mi", 1ull << 20}, {"Gi", 1ull << 30},   {"Ti", 1ull << 40},
    {"k", 1000u}, {"M", 1000000u},    {"G", 1000000000u}, {"T", 1000000000000u}};
static const struct unit durations[] = {
    {"s", 1000u}, {"m", 60000u}, {"h", 3600000u}, {"d", 86400000u}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct unit *unit_find(const char *text, const struct unit *units, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(units[i].text, text))
            return &units[i];
    return NULL;
}

/*
 * The digits at the start of text, as far as they fit. Returns what follows them, or NULL when
 * there are none; *ret_over when the number is larger than 64 bits.
 */
static const char *digits(const char *text, uint64_t *ret_value, bool *ret_over)
{
    const char *p = text;
    uint64_t value = 0;

    *ret_over = false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            *ret_over = true;
    *ret_value = value;
    return p == text ? NULL : p;
}

static int fail(char why[UNITS_WHY], const char *what)
{
    (void)snprintf(why, UNITS_WHY, "%s", what);
    return -1;
}

static int number_of_units(const char *text, const struct unit *units, size_t n,
                           uint64_t *ret_value)
{
    const struct unit *unit = NULL;
    bool over = false;
    uint64_t value;
    const char *rest = digits(text, &value, &over);

    if (rest != NULL)
        unit = unit_find(rest, units, n);
    if (unit == NULL)
        return 0;
    /* Signed file offsets and timeouts are made of these. */
    if (over || __builtin_mul_overflow(value, unit->each, &value) || value > INT64_MAX)
        return -1;
    *ret_value = value;
    return 1;
}

/* What "1gi", "400m", "256 MB" or "2GiB" were most likely meant to be; NULL when nobody can say. */
static const char *size_meant(const char *rest)
{
    static const struct {
        char letter;
        char unit[3];
    } meant[] = {{'k', "Ki"}, {'m', "Mi"}, {'g', "Gi"}, {'t', "Ti"}};

    rest += strspn(rest, " ");
    for (size_t i = 0; i < COUNT(meant); i++) {
        const char *after = rest + 1;

        if ((*rest | 0x20) != meant[i].letter)
            continue;
        if ((*after | 0x20) == 'i')
            after++;
        if ((*after | 0x20) == 'b')
            after++;
        if (*after == '\0')
            return meant[i].unit;
    }
    return NULL;
}

int units_size(const char *text, uint64_t *ret_bytes, char why[UNITS_WHY])
{
    int r = number_of_units(text, sizes, COUNT(sizes), ret_bytes);
    const char *rest, *meant;
    uint64_t value;
    bool over;

    if (r > 0)
        return 0;
    if (r < 0)
        return fail(why, "is too large");
    rest = digits(text, &value, &over);
    meant = rest == NULL || over ? NULL : size_meant(rest);
    if (meant == NULL)
        return fail(why, "is not a size; write one like 512Mi or 10G");
    (void)snprintf(why, UNITS_WHY, "is not a size; did you mean %llu%s?", (unsigned long long)value,
                   meant);
    return -1;
}

int units_duration(const char *text, uint64_t *ret_ms, char why[UNITS_WHY])
{
    int r = number_of_units(text, durations, COUNT(durations), ret_ms);
    const char *rest;
    uint64_t value;
    bool over;

    if (r > 0)
        return 0;
    if (r < 0)
        return fail(why, "is too long");
    rest = digits(text, &value, &over);
    if (rest == NULL || over)
        return fail(why, "is not a duration; write one like 45s, 15m, 8h or 7d");
    rest += strspn(rest, " ");
    if (*rest == '\0') {
        (void)snprintf(why, UNITS_WHY, "has no unit; did you mean %llus or %llum?",
                       (unsigned long long)value, (unsigned long long)value);
        return -1;
    }
    if (strchr("SsMmHhDd", *rest) == NULL)
        return fail(why, "is not a duration; write one like 45s, 15m, 8h or 7d");
    /* "15min", "8 hours", "7D": the first letter says it */
    (void)snprintf(why, UNITS_WHY, "is not a duration; did you mean %llu%c?",
                   (unsigned long long)value, *rest | 0x20);
    return -1;
}

/* ".5" is half a core; more than three digits would be less than a thousandth. */
static int cores_fraction(const char *rest, uint64_t *milli)
{
    uint64_t scale = 100;

    if (*rest++ != '.' || *rest == '\0')
        return -1;
    for (; *rest != '\0'; rest++, scale /= 10) {
        if (*rest < '0' || *rest > '9' || scale == 0)
            return -1;
        *milli += (uint64_t)(*rest - '0') * scale;
    }
    return 0;
}

int units_cores(const char *text, uint32_t *ret_milli, char why[UNITS_WHY])
{
    uint64_t milli;
    bool over;
    const char *rest = digits(text, &milli, &over);

    if (rest == NULL)
        return fail(why, "is not a number of cores; write one like 2, 0.5 or 500m");
    if (over || milli > UINT32_MAX / 1000 - 1)
        return fail(why, "is too many cores");
    if (!str_is(rest, "m")) {
        milli *= 1000;
        if (*rest != '\0' && cores_fraction(rest, &milli) < 0)
            return fail(why, "is not a number of cores; write one like 2, 0.5 or 500m");
    }
    if (milli == 0)
        return fail(why, "is no core at all");
    *ret_milli = (uint32_t)milli;
    return 0;
}
