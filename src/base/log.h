/*
 * log.h: one line per change of state, logfmt on stderr with the <N> prefix journald understands.
 *
 *     <6>2026-03-01T08:00:00Z dormd server=k3j5x2q7w3abc user=alice "asleep -> waking" cause=client
 *
 * Only edges log (a session, a request, a supervisor's turn); what is below them returns an err.
 * Values are escaped here, so a hostile name cannot forge a line or steer a terminal.
 */
#pragma once

#include <stdint.h>

struct err;

enum log_level { LOG_ERROR_ = 3, LOG_WARN_ = 4, LOG_INFO_ = 6, LOG_DEBUG_ = 7 };

/* Whose lines these are: printed before the message, innermost last. */
struct log {
    const struct log *outer; /* borrowed; may be NULL */
    const char *key;         /* "server", "session" */
    const char *value;       /* borrowed */
};

/* At most this many lines a second may come from one place in the code; the rest are counted. */
struct log_limit {
    uint64_t second;
    uint32_t lines, withheld;
};

void log_open(const char *program, enum log_level least);

#define log_error(log, ...) log_line((log), LOG_ERROR_, NULL, __VA_ARGS__)
#define log_warn(log, ...)  log_line((log), LOG_WARN_, NULL, __VA_ARGS__)
#define log_info(log, ...)  log_line((log), LOG_INFO_, NULL, __VA_ARGS__)
#define log_debug(log, ...) log_line((log), LOG_DEBUG_, NULL, __VA_ARGS__)

/* For whatever a stranger can cause: 5 lines a second from this place, then a count. */
#define log_limited(log, level, ...)                        \
    do {                                                    \
        static struct log_limit log_limit_;                 \
        log_line((log), (level), &log_limit_, __VA_ARGS__); \
    } while (0)

void log_line(const struct log *log, enum log_level level, struct log_limit *limit, const char *fmt,
              ...) __attribute__((format(printf, 4, 5)));
/* The failure with its place in the code: what an operator needs, and the user was not shown. */
void log_err(const struct log *log, enum log_level level, const struct err *e);
