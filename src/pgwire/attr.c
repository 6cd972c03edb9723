#include "attr.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int attr_malformed(struct refusal *why, const char *fmt, ...)
{
    va_list ap;

    (void)refusal_set(why, "08P01", "malformed SCRAM message");
    va_start(ap, fmt);
    (void)vsnprintf(why->detail, sizeof(why->detail), fmt, ap);
    va_end(ap);
    return -1;
}

const char *attr_show(char at[ATTR_SHOWN], char c)
{
    if (c >= 0x21 && c <= 0x7e)
        (void)snprintf(at, ATTR_SHOWN, "'%c'", c);
    else
        (void)snprintf(at, ATTR_SHOWN, "0x%02x", (unsigned)(unsigned char)c);
    return at;
}

static int read_value(char **at, char name, char **ret_value, struct refusal *why)
{
    char *value = *at + 2, *end;

    if ((*at)[1] != '=')
        return attr_malformed(why, "Expected character \"=\" for attribute \"%c\".", name);
    end = strchrnul(value, ',');
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    *ret_value = value;
    return 0;
}

int attr_read(char **at, char name, char **ret_value, struct refusal *why)
{
    char shown[ATTR_SHOWN];

    if (**at != name)
        return attr_malformed(why, "Expected attribute \"%c\" but found \"%s\".", name,
                              attr_show(shown, **at));
    return read_value(at, name, ret_value, why);
}

int attr_read_any(char **at, char *ret_name, char **ret_value, struct refusal *why)
{
    char c = **at, shown[ATTR_SHOWN];

    if (c == '\0')
        return attr_malformed(why, "Attribute expected, but found end of string.");
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
        return attr_malformed(why, "Attribute expected, but found invalid character \"%s\".",
                              attr_show(shown, c));
    *ret_name = c;
    return read_value(at, c, ret_value, why);
}
