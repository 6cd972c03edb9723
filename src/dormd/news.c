#include "news.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

/* What was done, and how it is undone. */
enum { NEWS_SIZE = 2 * STORE_TEXT_SIZE + 128 };

void news_leave(struct hub *h, const char *server, const char *fmt, ...)
{
    AUTO_FREE char *key = mem_printf("news.%s", server);
    char text[NEWS_SIZE];
    struct err e;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (store_setting_set(h->store, key, text, &e) < 0)
        log_err(NULL, LOG_WARN_, &e);
}

char *news_take(struct hub *h, const char *server)
{
    AUTO_FREE char *key = mem_printf("news.%s", server);
    char text[NEWS_SIZE];
    struct err e;

    if (store_setting_get(h->store, key, text, sizeof(text), &e) <= 0 || text[0] == '\0')
        return NULL;
    if (store_setting_set(h->store, key, "", &e) < 0)
        log_err(NULL, LOG_WARN_, &e); /* then it is heard twice */
    return mem_copy(text);
}
