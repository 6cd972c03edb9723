#include <assert.h>

#include "dormd/scrape.h"

#include "fuzz.h"

/* Once there is an answer, more bytes do not change it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int status = scrape_read((const char *)data, len);

    assert(status == 0 || status == 200 || status == 400 || status == 404 || status == 405);
    assert(status != 0 || len < SCRAPE_MAX);
    for (size_t n = 0; n < len && len < 600; n++) {
        int before = scrape_read((const char *)data, n);

        assert(before == 0 || before == status);
    }
    return 0;
}
