#include "ipc.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"

/*
 * A datagram: u16 type, u16 number of fields, then each field as u32 length, bytes, NUL. The NUL is
 * not counted; it lets a reader use the field in place as a C string.
 */
enum { HEAD = 4, FIELD_HEAD = 4 };

static const struct {
    const char *name, *fields;
} rows[IPC_N] = {
#define X(name, fields) [IPC_##name] = {#name, fields},
    IPC_MESSAGES(X)
#undef X
};

const char *ipc_name(enum ipc_type type)
{
    return rows[type].name;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get_u64(const uint8_t *p)
{
    return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

/* Does the field fit its kind? Fills in what the kind adds. */
static bool field_fits(struct ipc_field *f, char kind)
{
    if (kind == 'b')
        return true;
    if (kind == 'u') {
        if (f->len != 8)
            return false;
        f->number = get_u64((const uint8_t *)f->at);
        return true;
    }
    return memchr(f->at, '\0', f->len) == NULL;
}

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_PEER, "malformed message between processes: %s", why);
}

int ipc_parse(const void *data, size_t len, struct ipc_msg *ret_msg, struct err *e)
{
    const uint8_t *p = data, *end = p + len;
    const char *kind;
    size_t type, n;

    if (len < HEAD || len > IPC_MAX)
        return refuse(e, "its size");
    type = (size_t)p[0] << 8 | p[1];
    n = (size_t)p[2] << 8 | p[3];
    if (type >= IPC_N)
        return refuse(e, "its type");
    if (n > IPC_FIELDS)
        return refuse(e, "too many fields");
    kind = rows[type].fields;
    ret_msg->type = (enum ipc_type)type;
    ret_msg->n = n;
    p += HEAD;
    for (size_t i = 0; i < n; i++) {
        struct ipc_field *f = &ret_msg->field[i];

        if ((size_t)(end - p) < FIELD_HEAD)
            return refuse(e, "cut off");
        *f = (struct ipc_field){.at = (const char *)p + FIELD_HEAD, .len = get_u32(p)};
        p += FIELD_HEAD;
        if (f->len >= (size_t)(end - p) || p[f->len] != '\0')
            return refuse(e, "a field's length");
        p += f->len + 1;
        if (*kind == '\0' || !field_fits(f, *kind))
            return refuse(e, "a field's kind");
        kind += *kind != '*';
    }
    if (p != end || (*kind != '\0' && *kind != '*'))
        return refuse(e, "missing or surplus fields");
    return 0;
}

static bool put_field(struct buf *b, const void *at, size_t len)
{
    return len < IPC_MAX && buf_put_u32(b, (uint32_t)len) && buf_put(b, at, len) &&
           buf_put_u8(b, 0);
}

static bool put_number(struct buf *b, uint64_t number)
{
    return buf_put_u32(b, 8) && buf_put_u64(b, number) && buf_put_u8(b, 0);
}

static bool put_fields(struct buf *b, const char *kinds, va_list ap, size_t *ret_n)
{
    size_t n = 0;

    for (; *kinds != '\0'; kinds++, n++) {
        bool put = true;

        if (*kinds == 'u') {
            put = put_number(b, va_arg(ap, uint64_t));
        } else if (*kinds == 's') {
            const char *s = va_arg(ap, const char *);

            put = put_field(b, s, strlen(s));
        } else if (*kinds == 'b') {
            const void *at = va_arg(ap, const void *);
            size_t len = va_arg(ap, size_t);

            put = put_field(b, at, len);
        } else {
            const char *const *texts = va_arg(ap, const char *const *);
            size_t count = va_arg(ap, size_t);

            for (size_t i = 0; i < count && put; i++, n++)
                put = put_field(b, texts[i], strlen(texts[i]));
            n--; /* the loop counts the row's '*' itself */
        }
        if (!put)
            return false;
    }
    *ret_n = n;
    return n <= IPC_FIELDS;
}

bool ipc_vformat(struct buf *b, enum ipc_type type, va_list ap)
{
    size_t start = buf_len(b), n = 0;
    uint8_t *head;
    bool put;

    assert(type < IPC_N);
    put = buf_put_u16(b, (uint16_t)type) && buf_put_u16(b, 0) &&
          put_fields(b, rows[type].fields, ap, &n);
    if (!put || buf_len(b) - start > IPC_MAX) {
        b->end = b->start + start;
        return false;
    }
    head = buf_data(b) + start;
    head[2] = (uint8_t)(n >> 8);
    head[3] = (uint8_t)n;
    return true;
}

bool ipc_format(struct buf *b, enum ipc_type type, ...)
{
    va_list ap;
    bool fits;

    va_start(ap, type);
    fits = ipc_vformat(b, type, ap);
    va_end(ap);
    return fits;
}
