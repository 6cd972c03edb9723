/* news.h: one sentence for a server's users, kept until one of them comes in. */
#pragma once

#include "dormd/hub.h"

/* A later sentence replaces an earlier one that nobody has heard. */
void news_leave(struct hub *h, const char *server, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The caller frees it; NULL: none. */
char *news_take(struct hub *h, const char *server);
