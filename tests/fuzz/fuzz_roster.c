#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "dormd/roster.h"

#include "fuzz.h"

/* What is read, written again and read again is the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = mem_new(len + 1), image[ROSTER_IMAGE_SIZE];
    struct roster r, again;
    struct buf b;
    struct err e;

    memcpy(text, data, len);
    if (roster_parse(text, len, &r, &e) < 0)
        return 0;
    buf_init(&b, len + r.n * 40 + 1); /* numbers may have had zeros in front */
    for (size_t i = 0; i < r.n; i++) {
        assert(roster_put(&b, &r.at[i]));
        assert(strlen(roster_image(image, r.at[i].volume)) == sizeof("volume-") - 1 + ID_LEN);
    }
    assert(buf_put_u8(&b, '\0'));
    text = mem_copy((const char *)buf_data(&b));
    assert(roster_parse(text, buf_len(&b) - 1, &again, &e) == 0 && again.n == r.n);
    for (size_t i = 0; i < r.n; i++)
        assert(strcmp(r.at[i].server, again.at[i].server) == 0 &&
               r.at[i].capacity == again.at[i].capacity);
    (void)roster_find(&again, "alice");
    roster_done(&again);
    roster_done(&r);
    buf_done(&b);
    return 0;
}
