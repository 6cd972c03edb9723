/* One parser a type: the text of a value into its place, or why not. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#include "conf-int.h"
#include "units.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* A text that is known to fit; the rest is zeroed, because two values are compared as bytes. */
static void put_text(const struct conf_row *row, void *at, const char *text)
{
    size_t n = strlen(text);

    memcpy(at, text, n);
    memset((char *)at + n, 0, row->size - n);
}

static int why_not(char why[VALUE_WHY], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int why_not(char why[VALUE_WHY], const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, VALUE_WHY, fmt, ap);
    va_end(ap);
    return -1;
}

bool conf_is_name(const char *text)
{
    size_t n = strlen(text);

    return n >= 1 && n <= 31 && islower((unsigned char)text[0]) &&
           strspn(text, LOWER DIGITS "-") == n;
}

static int parse_name(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    if (!conf_is_name(text))
        return why_not(why, "is not a name: a letter, then a-z, 0-9 or -, at most 31 in all");
    put_text(row, at, text);
    return 0;
}

static bool is_label(const char *p, size_t n)
{
    return n >= 1 && n <= 63 && p[0] != '-' && p[n - 1] != '-' && strspn(p, LOWER DIGITS "-") >= n;
}

static int parse_domain(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    char name[254] = "", *p = name;
    struct in6_addr address;

    if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1)
        return why_not(why, "is an address, not a domain name; see listen.address");
    if (!str_copy(name, sizeof(name), text))
        return why_not(why, "is longer than a domain name can be");
    for (char *c = name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    while (*text != '\0') {
        size_t n = strcspn(p, ".");

        if (!is_label(p, n) || (p[n] == '.' && p[n + 1] == '\0'))
            return why_not(why, "is not a domain name");
        if (p[n] == '\0' && strspn(p, DIGITS) == n)
            return why_not(why, "is not a domain name: its last part is a number");
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    put_text(row, at, name);
    return 0;
}

static int parse_number(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    uint64_t value;

    if (!str_u64(text, &value))
        return why_not(why, "is not a whole number");
    if (value < row->least || value > row->most)
        return why_not(why, "is not between %llu and %llu", (unsigned long long)row->least,
                       (unsigned long long)row->most);
    if (row->size == sizeof(uint16_t))
        *(uint16_t *)at = (uint16_t)value;
    else
        *(uint32_t *)at = (uint32_t)value;
    return 0;
}

static int parse_address(const struct conf_row *row, const char *text, void *at,
                         char why[VALUE_WHY])
{
    struct in6_addr address;

    if (*text != '\0' && inet_pton(AF_INET, text, &address) != 1 &&
        inet_pton(AF_INET6, text, &address) != 1)
        return why_not(why, "is not an IP address");
    put_text(row, at, text);
    return 0;
}

static int parse_driver(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    (void)row;
    if (str_is(text, "directory") || str_is(text, "nfs"))
        return why_not(why, "is not supported by this version; use image");
    if (!str_is(text, "image"))
        return why_not(why, "is not a driver; use image");
    *(enum conf_driver *)at = CONF_DRIVER_IMAGE;
    return 0;
}

static int parse_path(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    size_t n = strlen(text);

    if (n > 0 && text[0] != '/')
        return why_not(why, "is not an absolute path");
    if (n >= row->size)
        return why_not(why, "is longer than a path can be");
    if (str_is(text, "/"))
        return why_not(why, "is the root of the file system; give a directory of its own");
    if (strstr(text, "/../") != NULL || (n >= 3 && str_is(text + n - 3, "/..")))
        return why_not(why, "has a .. in it; write the path without");
    put_text(row, at, text);
    return 0;
}

static int parse_image(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    const char *major = text + strlen("postgres:");
    size_t n, m;
    unsigned value = 0;

    if (str_is(text, "postgres")) {
        *(unsigned *)at = 0;
        return 0;
    }
    if (!str_starts(text, "postgres:"))
        return why_not(why, "is not an image; use postgres, or postgres:15 for a version");
    n = strspn(major, DIGITS);
    m = major[n] == '.' ? strspn(major + n + 1, DIGITS) : 0;
    if (n == 0 || (major[n] == '.' && m == 0) || major[n + (major[n] == '.') + m] != '\0')
        return why_not(why, "is not an image; use postgres, or postgres:15 for a version");
    for (size_t i = 0; i < n && value < 1000; i++)
        value = value * 10 + (unsigned)(major[i] - '0');
    if (value < row->least || value > row->most)
        return why_not(why, "is not a version between %llu and %llu",
                       (unsigned long long)row->least, (unsigned long long)row->most);
    *(unsigned *)at = value;
    return 0;
}

static int parse_template(const struct conf_row *row, const char *text, void *at,
                          char why[VALUE_WHY])
{
    bool username = false;

    if (strlen(text) >= row->size)
        return why_not(why, "is longer than %u characters", row->size - 1);
    for (const char *p = text; *p != '\0';) {
        if (str_starts(p, "{username}")) {
            username = true;
            p += strlen("{username}");
        } else if (str_starts(p, "{hub}")) {
            p += strlen("{hub}");
        } else if (*p == '{' || *p == '}') {
            return why_not(why, "has a placeholder other than {username} and {hub}");
        } else if (strchr(LOWER DIGITS "-_.", *p) == NULL) {
            return why_not(why, "is not a name: a-z, 0-9, -, _, . and placeholders");
        } else {
            p++;
        }
    }
    if (!username)
        return why_not(why, "does not have {username} in it, so that all users would share one");
    put_text(row, at, text);
    return 0;
}

/* Whether there is such a class is known only at the end of the file. */
static int parse_class(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    if (*text != '\0' && !conf_is_name(text))
        return why_not(why, "is not the name of a class");
    put_text(row, at, text);
    return 0;
}

static int parse_superuser(const struct conf_row *row, const char *text, void *at,
                           char why[VALUE_WHY])
{
    size_t n = strlen(text);

    if (!str_is(text, "{username}")) {
        if (n == 0 || n > 63 || isdigit((unsigned char)text[0]) ||
            strspn(text, LOWER DIGITS "_") != n)
            return why_not(why, "is neither {username} nor a name of a-z, 0-9 and _");
        if (str_starts(text, "pg_"))
            return why_not(why, "is a name that PostgreSQL keeps for itself");
    }
    put_text(row, at, text);
    return 0;
}

static int within(const struct conf_row *row, uint64_t value, const char *least, const char *most,
                  char why[VALUE_WHY])
{
    if (value < row->least)
        return why_not(why, "is less than %s", least);
    if (row->most != 0 && value > row->most)
        return why_not(why, "is more than %s", most);
    return 0;
}

static int parse_size(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    char least[32], most[32];
    uint64_t value;

    if (units_size(text, &value, why) < 0 ||
        within(row, value, str_size(least, sizeof(least), row->least),
               str_size(most, sizeof(most), row->most), why) < 0)
        return -1;
    *(uint64_t *)at = value;
    return 0;
}

static int parse_cores(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    uint32_t value;

    if (units_cores(text, &value, why) < 0 || within(row, value, "10m", "1024", why) < 0)
        return -1;
    *(uint32_t *)at = value;
    return 0;
}

static int parse_duration(const struct conf_row *row, const char *text, void *at,
                          char why[VALUE_WHY])
{
    char least[32], most[32];
    uint64_t value;

    if (units_duration(text, &value, why) < 0 ||
        within(row, value, str_duration(least, sizeof(least), row->least),
               str_duration(most, sizeof(most), row->most), why) < 0)
        return -1;
    *(uint64_t *)at = value;
    return 0;
}

static int parse_sleep(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    if (!str_is(text, "never"))
        return parse_duration(row, text, at, why);
    *(uint64_t *)at = UINT64_MAX;
    return 0;
}

static int parse_pool(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    struct conf_pool pool = {0};
    size_t n = strspn(text, DIGITS);

    if (n > 0 && str_is(text + n, "%")) {
        char digits[4];

        (void)snprintf(digits, sizeof(digits), "%.*s", (int)n, text);
        if (!str_u64(digits, &pool.percent) || pool.percent < 1 || pool.percent > 100 || n > 3)
            return why_not(why, "is not between 1%% and 100%%");
    } else if (parse_size(row, text, &pool.bytes, why) < 0) {
        return -1;
    }
    *(struct conf_pool *)at = pool;
    return 0;
}

static int parse_range(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    const char *dash = strchr(text, '-');
    uint64_t first, last;
    char before[24];

    if (dash == NULL || (size_t)(dash - text) >= sizeof(before))
        return why_not(why, "is not a range; write one like 200000-265535");
    (void)snprintf(before, sizeof(before), "%.*s", (int)(dash - text), text);
    if (!str_u64(before, &first) || !str_u64(dash + 1, &last))
        return why_not(why, "is not a range; write one like 200000-265535");
    if (last < first)
        return why_not(why, "ends before it starts");
    if (first < row->least)
        return why_not(why, "starts below %llu, where the machine's own users are",
                       (unsigned long long)row->least);
    if (last > row->most)
        return why_not(why, "ends above %llu, the largest id there is",
                       (unsigned long long)row->most);
    if (last - first + 1 < 256)
        return why_not(why, "is fewer than 256 ids");
    *(struct conf_range *)at = (struct conf_range){(uint32_t)first, (uint32_t)last};
    return 0;
}

static int parse_networks(const struct conf_row *row, const char *text, void *at,
                          char why[VALUE_WHY])
{
    struct conf_networks *list = at;

    (void)row;
    *list = (struct conf_networks){0};
    while (*text != '\0') {
        char one[64];
        size_t n = strcspn(text, " ");

        (void)snprintf(one, sizeof(one), "%.*s", (int)n, text);
        if (list->n == CONF_NETWORKS_MAX || conf_network(one, &list->at[list->n], why) < 0)
            return -1;
        list->n++;
        text += n + strspn(text + n, " ");
    }
    return 0;
}

typedef int (*parse_fn)(const struct conf_row *row, const char *text, void *at,
                        char why[VALUE_WHY]);

/* Maps have none, and the value of a free key is kept as it is. */
static const parse_fn parsers[CONF_TYPE_N] = {
    [CONF_NETWORKS] = parse_networks,   [CONF_NAME] = parse_name,
    [CONF_DOMAIN] = parse_domain,       [CONF_NUMBER] = parse_number,
    [CONF_ADDRESS] = parse_address,     [CONF_DRIVER] = parse_driver,
    [CONF_PATH] = parse_path,           [CONF_IMAGE] = parse_image,
    [CONF_TEMPLATE] = parse_template,   [CONF_CLASS] = parse_class,
    [CONF_SUPERUSER] = parse_superuser, [CONF_SIZE] = parse_size,
    [CONF_CORES] = parse_cores,         [CONF_DURATION] = parse_duration,
    [CONF_SLEEP] = parse_sleep,         [CONF_POOL] = parse_pool,
    [CONF_RANGE] = parse_range,
};

int conf_value(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    return parsers[row->type](row, text, at, why);
}
