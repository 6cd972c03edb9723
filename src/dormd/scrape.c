#include "scrape.h"

#include <string.h>

#define PATH "/metrics"

static int of_line(const char *line, size_t len)
{
    static const char get[] = "GET ";
    const char *path = line + sizeof(get) - 1, *space;

    if (len < sizeof(get) - 1 || memcmp(line, get, sizeof(get) - 1) != 0)
        return 405;
    space = memchr(path, ' ', len - (sizeof(get) - 1));
    if (space == NULL || len - (size_t)(space - line) < sizeof(" HTTP/1.") - 1 ||
        memcmp(space, " HTTP/1.", sizeof(" HTTP/1.") - 1) != 0)
        return 400;
    /* what comes after a '?' is for others */
    if ((size_t)(space - path) < sizeof(PATH) - 1 || memcmp(path, PATH, sizeof(PATH) - 1) != 0 ||
        (path + sizeof(PATH) - 1 != space && path[sizeof(PATH) - 1] != '?'))
        return 404;
    return 200;
}

int scrape_read(const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    const char *line;

    if (end == NULL)
        return len >= SCRAPE_MAX ? 400 : 0;
    line = memmem(bytes, len, "\r\n", 2);
    return of_line(bytes, (size_t)(line - bytes));
}
