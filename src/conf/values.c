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
void conf_put_text(const struct conf_row *row, void *at, const char *text)
{
    size_t n = strlen(text);

    memcpy(at, text, n);
    memset((char *)at + n, 0, row->size - n);
}

int conf_why(char why[VALUE_WHY], const char *fmt, ...)
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
    if (!conf_is_name(text) && (*text != '\0' || *row->fallback != '\0'))
        return conf_why(why, "is not a name: a letter, then a-z, 0-9 or -, at most 31 in all");
    conf_put_text(row, at, text);
    return 0;
}

static bool is_label(const char *p, size_t n)
{
    return n >= 1 && n <= 63 && p[0] != '-' && p[n - 1] != '-' && strspn(p, LOWER DIGITS "-") >= n;
}

/* Is each part one of a domain name? *ret_last is the last of them. */
static bool is_labels(const char *p, const char **ret_last)
{
    for (;;) {
        size_t n = strcspn(p, ".");

        if (!is_label(p, n))
            return false;
        *ret_last = p;
        if (p[n] == '\0')
            return true;
        p += n + 1;
    }
}

bool conf_is_domain(const char *lower)
{
    const char *last;

    return is_labels(lower, &last) && strspn(last, DIGITS) != strlen(last);
}

static int parse_domain(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    char name[254] = "";
    const char *last;
    struct in6_addr address;

    if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1)
        return conf_why(why, "is an address, not a domain name; see listen.address");
    if (!str_copy(name, sizeof(name), text))
        return conf_why(why, "is longer than a domain name can be");
    for (char *c = name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    if (*name != '\0' && !is_labels(name, &last))
        return conf_why(why, "is not a domain name");
    if (*name != '\0' && !conf_is_domain(name))
        return conf_why(why, "is not a domain name: its last part is a number");
    conf_put_text(row, at, name);
    return 0;
}

static int parse_number(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    uint64_t value;

    if (!str_u64(text, &value))
        return conf_why(why, "is not a whole number");
    if (value < row->least || value > row->most)
        return conf_why(why, "is not between %llu and %llu", (unsigned long long)row->least,
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
        return conf_why(why, "is not an IP address");
    conf_put_text(row, at, text);
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
        return conf_why(why, "is not an image; use postgres, or postgres:15 for a version");
    n = strspn(major, DIGITS);
    m = major[n] == '.' ? strspn(major + n + 1, DIGITS) : 0;
    if (n == 0 || (major[n] == '.' && m == 0) || major[n + (major[n] == '.') + m] != '\0')
        return conf_why(why, "is not an image; use postgres, or postgres:15 for a version");
    for (size_t i = 0; i < n && value < 1000; i++)
        value = value * 10 + (unsigned)(major[i] - '0');
    if (value < row->least || value > row->most)
        return conf_why(why, "is not a version between %llu and %llu",
                        (unsigned long long)row->least, (unsigned long long)row->most);
    *(unsigned *)at = value;
    return 0;
}

/* Whether there is such a class is known only at the end of the file. */
static int parse_class(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    if (*text != '\0' && !conf_is_name(text))
        return conf_why(why, "is not the name of a class");
    conf_put_text(row, at, text);
    return 0;
}

static int parse_superuser(const struct conf_row *row, const char *text, void *at,
                           char why[VALUE_WHY])
{
    size_t n = strlen(text);

    if (!str_is(text, "{username}")) {
        if (n == 0 || n > 63 || isdigit((unsigned char)text[0]) ||
            strspn(text, LOWER DIGITS "_") != n)
            return conf_why(why, "is neither {username} nor a name of a-z, 0-9 and _");
        if (str_starts(text, "pg_"))
            return conf_why(why, "is a name that PostgreSQL keeps for itself");
    }
    conf_put_text(row, at, text);
    return 0;
}

static int within(const struct conf_row *row, uint64_t value, const char *least, const char *most,
                  char why[VALUE_WHY])
{
    if (value < row->least)
        return conf_why(why, "is less than %s", least);
    if (row->most != 0 && value > row->most)
        return conf_why(why, "is more than %s", most);
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

static int parse_nap(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    if (!str_is(text, "auto"))
        return parse_sleep(row, text, at, why);
    *(uint64_t *)at = 0;
    return 0;
}

static int parse_clock(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    const char *colon = strchr(text, ':');
    size_t n = strspn(text, DIGITS);
    int hours, minutes;

    (void)row;
    if (str_is(text, "never")) {
        *(int *)at = -1;
        return 0;
    }
    if (n < 1 || n > 2 || colon != text + n || strlen(colon) != 3 || strspn(colon + 1, DIGITS) != 2)
        return conf_why(why, "is not a time of day; write one like \"03:00\", or never");
    hours = n == 1 ? text[0] - '0' : (text[0] - '0') * 10 + text[1] - '0';
    minutes = (colon[1] - '0') * 10 + colon[2] - '0';
    if (hours > 23 || minutes > 59)
        return conf_why(why, "is not between 00:00 and 23:59");
    if (n == 1)
        return conf_why(why, "is not a time of day; did you mean \"0%s\"?", text);
    *(int *)at = hours * 60 + minutes;
    return 0;
}

static int parse_share(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    struct conf_share share = {0};
    size_t n = strspn(text, DIGITS);

    if (n > 0 && str_is(text + n, "%")) {
        char digits[4];

        (void)snprintf(digits, sizeof(digits), "%.*s", (int)n, text);
        if (!str_u64(digits, &share.percent) || share.percent < 1 || share.percent > 100 || n > 3)
            return conf_why(why, "is not between 1%% and 100%%");
    } else if (parse_size(row, text, &share.bytes, why) < 0) {
        return -1;
    }
    *(struct conf_share *)at = share;
    return 0;
}

static int parse_range(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    const char *dash = strchr(text, '-');
    uint64_t first, last;
    char before[24];

    if (dash == NULL || (size_t)(dash - text) >= sizeof(before))
        return conf_why(why, "is not a range; write one like 200000-265535");
    (void)snprintf(before, sizeof(before), "%.*s", (int)(dash - text), text);
    if (!str_u64(before, &first) || !str_u64(dash + 1, &last))
        return conf_why(why, "is not a range; write one like 200000-265535");
    if (last < first)
        return conf_why(why, "ends before it starts");
    if (first < row->least)
        return conf_why(why, "starts below %llu, where the machine's own users are",
                        (unsigned long long)row->least);
    if (last > row->most)
        return conf_why(why, "ends above %llu, the largest id there is",
                        (unsigned long long)row->most);
    if (last - first + 1 < 256)
        return conf_why(why, "is fewer than 256 ids");
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

/* Maps have none, and the value of a free key is kept as it is. */
static conf_parse_fn *const parsers[CONF_TYPE_N] = {
    [CONF_NETWORKS] = parse_networks,
    [CONF_MODES] = conf_parse_modes,
    [CONF_NAME] = parse_name,
    [CONF_DOMAIN] = parse_domain,
    [CONF_NUMBER] = parse_number,
    [CONF_ADDRESS] = parse_address,
    [CONF_DRIVER] = conf_parse_driver,
    [CONF_PATH] = conf_parse_path,
    [CONF_MOUNT] = conf_parse_mount,
    [CONF_HOST] = conf_parse_host,
    [CONF_OPTIONS] = conf_parse_options,
    [CONF_IMAGE] = parse_image,
    [CONF_TEMPLATE] = conf_parse_template,
    [CONF_OBJECT] = conf_parse_object,
    [CONF_CLASS] = parse_class,
    [CONF_SUPERUSER] = parse_superuser,
    [CONF_SIZE] = parse_size,
    [CONF_CORES] = parse_cores,
    [CONF_DURATION] = parse_duration,
    [CONF_SLEEP] = parse_sleep,
    [CONF_NAP] = parse_nap,
    [CONF_CLOCK] = parse_clock,
    [CONF_LIFECYCLE] = conf_parse_lifecycle,
    [CONF_OUT] = conf_parse_out,
    [CONF_SHARE] = parse_share,
    [CONF_RANGE] = parse_range,
};

int conf_value(const struct conf_row *row, const char *text, void *at, char why[VALUE_WHY])
{
    return parsers[row->type](row, text, at, why);
}
