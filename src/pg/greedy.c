#include "greedy.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "visit.h"

#define QUERY_BYTES 400 /* asked for; what is shown is less */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Line ends and runs of blanks become one blank; the rest is made fit to print. */
static void show(const char *query, size_t len, char *ret, size_t size)
{
    char line[QUERY_BYTES];
    size_t n = 0;

    for (size_t i = 0; i < len && n < sizeof(line); i++) {
        if (!is_blank(query[i]))
            line[n++] = query[i];
        else if (n > 0 && line[n - 1] != ' ')
            line[n++] = ' ';
    }
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == ';'))
        n--;
    (void)str_show(ret, size, line, n);
}

int pg_greedy_query(const struct pg_greedy_ask *ask, char *ret, size_t size, struct err *e)
{
    char sql[512], hex[2 * QUERY_BYTES + 1], query[QUERY_BYTES];
    struct pg_client c;
    size_t n;
    int r;

    if (pg_visit(ask->way, ask->superuser, NULL, ask->deadline, &c, e) < 0)
        return -1;
    (void)snprintf(sql, sizeof(sql),
                   "SELECT pg_catalog.encode(pg_catalog.substr(pg_catalog.textsend(query), 1, %d), "
                   "'hex') FROM pg_catalog.pg_stat_activity WHERE pid = %d AND query_start <= "
                   "pg_catalog.to_timestamp(%lld / 1000.0)",
                   QUERY_BYTES, ask->pid, (long long)ask->until_ms);
    r = pg_client_value(&c, sql, hex, sizeof(hex), e);
    pg_client_close(&c);
    if (r < 0)
        return -1;
    n = strlen(hex) / 2;
    if (n == 0 || n > sizeof(query) || !str_hex(hex, query, n))
        return err_set(e, ERR_NOT_FOUND, "the server does not say what that session did");
    show(query, n, ret, size);
    return 0;
}

/* The last place of word in the text, at or after from. */
static const char *last(const char *from, const char *end, const char *word)
{
    const char *found = NULL;

    while (from < end) {
        const char *at = memmem(from, (size_t)(end - from), word, strlen(word));

        if (at == NULL)
            break;
        found = at;
        from = at + 1;
    }
    return found;
}

bool pg_greedy_killed(const void *log, size_t len, size_t *ret_place, char *ret_query, size_t size)
{
    static const char killed[] = "was terminated by signal 9";
    static const char doing[] = "Failed process was running: ";
    const char *text = log, *end = text + len, *at = len == 0 ? NULL : last(text, end, killed);
    const char *query, *line_end;

    if (at == NULL)
        return false;
    *ret_place = (size_t)(at - text);
    ret_query[0] = '\0';
    query = memmem(at, (size_t)(end - at), doing, strlen(doing));
    if (query == NULL)
        return true;
    query += strlen(doing);
    line_end = memchr(query, '\n', (size_t)(end - query));
    show(query, (size_t)((line_end == NULL ? end : line_end) - query), ret_query, size);
    return true;
}
