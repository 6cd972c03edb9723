#include "put.h"

#include <string.h>

#include "base/str.h"

#define TEXT_MAX ((size_t)1000)

struct put put_begin(struct buf *b, uint8_t type)
{
    struct put p = {.b = b, .began = buf_len(b), .head = type == 0 ? 0 : 1, .ok = true};

    if (type != 0)
        put_u8(&p, type);
    put_u32(&p, 0);
    return p;
}

void put_bytes(struct put *p, const void *data, size_t n)
{
    p->ok = p->ok && buf_put(p->b, data, n);
}

void put_u8(struct put *p, uint8_t v)
{
    p->ok = p->ok && buf_put_u8(p->b, v);
}

void put_u32(struct put *p, uint32_t v)
{
    p->ok = p->ok && buf_put_u32(p->b, v);
}

void put_str(struct put *p, const char *s)
{
    p->ok = p->ok && buf_put_str(p->b, s);
}

/* Backslashes and newlines stay: what was foreign was escaped when the text was made, and a second
 * escaping would show it twice as long. */
void put_text(struct put *p, const char *text)
{
    size_t len = strnlen(text, TEXT_MAX + 1), cut = len;
    char shown[4 * TEXT_MAX + 1];

    if (len > TEXT_MAX) {
        cut = TEXT_MAX;
        while (cut > TEXT_MAX - 3 && ((uint8_t)text[cut] & 0xc0) == 0x80)
            cut--;
    }
    for (size_t at = 0; at < cut;) {
        size_t n = 0;

        while (at + n < cut && text[at + n] != '\\' && text[at + n] != '\n')
            n++;
        if (n == 0) {
            put_u8(p, (uint8_t)text[at++]);
            continue;
        }
        (void)str_show(shown, sizeof(shown), text + at, n);
        put_bytes(p, shown, strlen(shown));
        at += n;
    }
    put_str(p, len > TEXT_MAX ? "..." : "");
}

bool put_end(struct put *p, size_t max)
{
    size_t len = p->ok ? buf_len(p->b) - p->began - p->head : 0;
    uint8_t *at;

    if (!p->ok || len > max) {
        p->b->end = p->b->start + p->began;
        return false;
    }
    at = buf_data(p->b) + p->began + p->head;
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(len >> (24 - 8 * i));
    return true;
}
