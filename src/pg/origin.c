#include "origin.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"

#include "place.h"
#include "visit.h"

enum { ANSWER_SIZE = 512 << 10, WORDS = 8, VALUE_BYTES = 400 };

/* clang-format off */
/* In front of the digits an x: a text may be empty, a word may not. */
#define HEX(text, most) \
    "pg_catalog.concat('x', pg_catalog.encode(pg_catalog.textsend(pg_catalog.left((" \
    text ")::text, " most ")), 'hex'))"

#define ASK_LINE \
    "SELECT pg_catalog.concat_ws(' ', 0, 0, 0, " HEX("name", "63") ", " \
    HEX("pg_catalog.current_setting(name)", "180") ", 'x', 0, 'x') AS line " \
    "FROM pg_catalog.pg_settings WHERE source = 'command line'"

/*
 * Of several lines for one setting the last counts; one that is no setting at all has no name. What
 * has changed since the server has read the file is seen by the file's time, in seconds, unless the
 * value is the one that holds: then another line has changed (which of a setting of our own
 * session cannot be seen). Of what only a start can change the server
 * says "could not be applied", as it does of what is wrong.
 */
#define ASK_FILES \
    "SELECT DISTINCT ON (pg_catalog.lower(f.name)) f.name, f.setting, f.sourcefile, f.sourceline, " \
    "f.error, coalesce(s.source, '') AS source, coalesce(s.context, '') AS context, " \
    "coalesce(s.pending_restart, false) AS pending, " \
    "coalesce((pg_catalog.pg_stat_file(f.sourcefile, true)).modification >= CASE s.source " \
    "WHEN 'session' THEN pg_catalog.pg_conf_load_time() " \
    "ELSE pg_catalog.date_trunc('second', pg_catalog.pg_conf_load_time()) END, true) AND NOT coalesce(f.setting = s.reset_val OR " \
    "f.setting = pg_catalog.current_setting(f.name, true), false) AS stale " \
    "FROM pg_catalog.pg_file_settings f LEFT JOIN pg_catalog.pg_settings s " \
    "ON pg_catalog.lower(s.name) = pg_catalog.lower(f.name) " \
    "ORDER BY pg_catalog.lower(f.name), f.seqno DESC LIMIT 400"

/* The numbers are those of enum pg_says and enum pg_holds. */
static const char question[] =
    "SELECT pg_catalog.string_agg(line, ' ' ORDER BY line) FROM (" ASK_LINE
    " UNION ALL SELECT pg_catalog.concat_ws(' ', "
    "CASE WHEN sourcefile = '" PG_CONF "' THEN 1 "
    "WHEN sourcefile LIKE '%/" PG_AUTO_CONF "' THEN 2 ELSE 3 END, "
    "CASE WHEN source = 'command line' THEN 1 "
    "WHEN context = 'postmaster' AND (pending OR error IS NOT NULL) THEN 2 "
    "WHEN error IS NOT NULL THEN 4 WHEN stale AND context <> 'postmaster' THEN 3 ELSE 0 END, 0, "
    HEX("name", "63") ", " HEX("setting", "180") ", " HEX("sourcefile", "110") ", sourceline, "
    HEX("error", "150") ") FROM (" ASK_FILES ") files) lines";
/* clang-format on */

static bool take_word(char **at, char **ret_word)
{
    char *word = *at + strspn(*at, " ");
    size_t n = strcspn(word, " ");

    if (n == 0)
        return false;
    *at = word + n + (word[n] != '\0');
    word[n] = '\0';
    *ret_word = word;
    return true;
}

static bool take_number(char **at, uint64_t most, uint64_t *ret)
{
    char *word;

    return take_word(at, &word) && str_u64(word, ret) && *ret <= most;
}

static bool take_text(char **at, char *ret, size_t size)
{
    char bytes[4 * 200], *word;
    size_t n;

    if (!take_word(at, &word) || *word != 'x')
        return false;
    n = strlen(word + 1) / 2;
    if (n >= sizeof(bytes) || !str_hex(word + 1, bytes, n))
        return false;
    (void)str_show(ret, size, bytes, n);
    return true;
}

static bool take_told(char **at, struct pg_told *ret)
{
    uint64_t says, holds, nothing, line;

    *ret = (struct pg_told){0};
    if (!take_number(at, PG_SAYS_N - 1, &says) || !take_number(at, PG_HOLDS_N - 1, &holds) ||
        !take_number(at, 0, &nothing) || !take_text(at, ret->name, sizeof(ret->name)) ||
        !take_text(at, ret->value, sizeof(ret->value)) ||
        !take_text(at, ret->file, sizeof(ret->file)) || !take_number(at, UINT32_MAX, &line) ||
        !take_text(at, ret->error, sizeof(ret->error)))
        return false;
    ret->says = (enum pg_says)says;
    ret->holds = (enum pg_holds)holds;
    ret->line = (unsigned)line;
    return true;
}

bool pg_origin_parse(char *text, pg_told_fn fn, void *owner)
{
    while (text[strspn(text, " ")] != '\0') {
        struct pg_told told;

        if (!take_told(&text, &told))
            return false;
        fn(owner, &told);
    }
    return true;
}

int pg_origin_ask(const struct pg_dial *way, const char *superuser, uint64_t deadline,
                  pg_told_fn fn, void *owner, struct err *e)
{
    AUTO_FREE char *text = mem_new(ANSWER_SIZE);
    struct pg_client c;
    int r;

    if (pg_visit(way, superuser, NULL, deadline, &c, e) < 0)
        return -1;
    r = pg_client_exec(&c, "SET lock_timeout TO '1s'; SET statement_timeout TO '2s'", e);
    if (r == 0)
        r = pg_client_value(&c, question, text, ANSWER_SIZE, e);
    pg_client_close(&c);
    if (r == 0 && !pg_origin_parse(text, fn, owner))
        return err_set(e, ERR_PEER, "the server does not tell its settings");
    return r;
}

/* ---- the file of a server that sleeps ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static size_t name_len(const char *at, size_t len)
{
    size_t n = 0;

    while (n < len &&
           strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.", at[n]) !=
               NULL &&
           at[n] != '\0')
        n++;
    return n;
}

/* What stands in quotes, two of them or a backslash being one; cut where it is too long to show. */
static bool unquote(const char *at, size_t len, char *ret, size_t size)
{
    char bytes[VALUE_BYTES];
    size_t n = 0;

    for (size_t i = 1; i < len; i++) {
        if (at[i] == '\'' && (i + 1 == len || at[i + 1] != '\'')) {
            (void)str_show(ret, size, bytes, n);
            return true;
        }
        if ((at[i] == '\'' || at[i] == '\\') && i + 1 < len)
            i++;
        if (n < sizeof(bytes))
            bytes[n++] = at[i];
    }
    return false;
}

static bool parse_line(const char *at, size_t len, struct pg_told *ret)
{
    size_t n;

    for (; len > 0 && is_blank(*at); len--)
        at++;
    n = name_len(at, len);
    if (n == 0 || n >= sizeof(ret->name))
        return false;
    (void)str_show(ret->name, sizeof(ret->name), at, n);
    at += n;
    len -= n;
    for (; len > 0 && (is_blank(*at) || *at == '='); len--)
        at++;
    if (len > 0 && *at == '\'')
        return unquote(at, len, ret->value, sizeof(ret->value));
    for (n = 0; n < len && !is_blank(at[n]) && at[n] != '#'; n++)
        continue;
    (void)str_show(ret->value, sizeof(ret->value), at, n);
    return n > 0;
}

void pg_auto_parse(const char *text, size_t len, pg_told_fn fn, void *owner)
{
    unsigned line = 1;

    for (; len > 0; line++) {
        const char *end = memchr(text, '\n', len);
        size_t n = end == NULL ? len : (size_t)(end - text);
        struct pg_told told = {.says = PG_SAYS_ALTER, .holds = PG_HOLDS_AT_START, .line = line};

        if (parse_line(text, n, &told))
            fn(owner, &told);
        n += end != NULL;
        text += n;
        len -= n;
    }
}
