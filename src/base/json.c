#include "json.h"

#include "buf.h"
#include "str.h"

bool json_put_string(struct buf *b, const char *s, size_t len)
{
    bool valid = str_utf8(s, len); /* otherwise byte by byte, as if it were Latin-1 */

    if (!buf_put_u8(b, '"'))
        return false;
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = (unsigned char)s[i];
        bool plain, put;

        n = valid ? str_utf8_next(s + i, len - i, &c) : 1;
        plain = !str_steers(c) && (c < 0x80 || valid);
        if (c == '"' || c == '\\')
            put = buf_put_u8(b, '\\') && buf_put_u8(b, (uint8_t)c);
        else /* all that steers lies below U+10000: one \u is enough */
            put = plain ? buf_put(b, s + i, n) : buf_printf(b, "\\u%04x", c);
        if (!put)
            return false;
    }
    return buf_put_u8(b, '"');
}
