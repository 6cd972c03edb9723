/* scrape.h: the request of whoever reads our figures, as far as it matters to us. Pure. */
#pragma once

#include <stddef.h>

enum { SCRAPE_MAX = 4096 }; /* bytes of a request, headers included */

/* The HTTP status to answer with, or 0: it is not whole yet. */
int scrape_read(const char *bytes, size_t len);
