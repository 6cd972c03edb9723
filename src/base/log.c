#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "err.h"
#include "str.h"
#include "when.h"

static const char *program_name = "dormouse";
static enum log_level least_level = LOG_INFO_;

void log_open(const char *program, enum log_level least)
{
    program_name = program;
    least_level = least;
}

static bool withheld(struct log_limit *limit, uint32_t *ret_before)
{
    uint64_t second = clock_ms() / 1000;

    *ret_before = 0;
    if (limit->second != second) {
        *ret_before = limit->withheld;
        *limit = (struct log_limit){.second = second};
    }
    if (limit->lines >= 5) {
        limit->withheld++;
        return true;
    }
    limit->lines++;
    return false;
}

static size_t put_context(const struct log *log, char *at, size_t size)
{
    const char *quote;
    char shown[96];
    size_t n;
    int wrote;

    if (log == NULL)
        return 0;
    n = put_context(log->outer, at, size);
    if (log->value == NULL)
        return n;
    str_show(shown, sizeof(shown), log->value, strlen(log->value));
    quote = shown[strcspn(shown, " =\"")] == '\0' ? "" : "\"";
    for (char *p = shown; *p != '\0'; p++)
        if (*p == '"')
            *p = '\''; /* or the value could end where it likes and go on as another field */
    wrote = snprintf(at + n, size - n, " %s=%s%s%s", log->key, quote, shown, quote);
    if (wrote >= 0 && (size_t)wrote < size - n)
        return n + (size_t)wrote;
    at[n] = '\0'; /* whole or not at all: half a value names someone else */
    return n;
}

void log_line(const struct log *log, enum log_level level, struct log_limit *limit, const char *fmt,
              ...)
{
    char context[512] = "", message[1024], shown[1400], line[2100], when[WHEN_SIZE];
    uint32_t before = 0;
    va_list ap;
    int n;

    if (level > least_level || (limit != NULL && withheld(limit, &before)))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    str_show(shown, sizeof(shown), message, strlen(message));
    (void)put_context(log, context, sizeof(context));
    n = snprintf(line, sizeof(line), "<%d>%s %s%s %s", (int)level, when_iso(when, clock_unix()),
                 program_name, context, shown);
    if (before > 0 && n > 0 && (size_t)n < sizeof(line))
        n += snprintf(line + n, sizeof(line) - (size_t)n, " (%u such lines withheld before)",
                      before);
    if (n >= (int)sizeof(line) - 1)
        n = (int)sizeof(line) - 2;
    line[n] = '\n';
    /* one write, so that lines of several processes never mix; nobody to tell if it fails */
    if (write(STDERR_FILENO, line, (size_t)n + 1) < 0)
        return;
}

void log_err(const struct log *log, enum log_level level, const struct err *e)
{
    log_line(log, level, NULL, "%s%s%s (%s:%d)", e->msg,
             e->hint[0] == '\0' ? "" : "; hint: ", e->hint, e->file == NULL ? "?" : e->file,
             e->line);
}
