/* buf, map and json: what holds data is checked against the dullest thing that could hold it. */
#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "dice.h"
#include "t.h"

enum { MODEL_MAX = 700 };

struct model {
    uint8_t at[MODEL_MAX];
    size_t n;
};

static bool same(const struct buf *b, const struct model *m)
{
    return buf_len(b) == m->n && b->end <= b->size && b->size <= b->max &&
           (m->n == 0 || memcmp(buf_data(b), m->at, m->n) == 0);
}

/* One appending call. True when it did what the model does. */
static bool append(struct buf *b, struct model *m, struct dice *d)
{
    uint8_t bytes[MODEL_MAX + 1];
    size_t n = dice_below(d, dice_below(d, 4) == 0 ? MODEL_MAX : 30), left = MODEL_MAX - m->n;
    uint64_t v = dice_u64(d);
    bool put;

    memset(bytes, 'a' + (int)dice_below(d, 26), sizeof(bytes));
    switch (dice_below(d, 6)) {
    case 0:
        put = buf_put(b, bytes, n);
        break;
    case 1:
        put = buf_printf(b, "%.*s", (int)n, (const char *)bytes);
        break;
    case 2:
        bytes[n] = '\0';
        put = buf_put_str(b, (const char *)bytes);
        n++;
        break;
    case 3:
        put = buf_put_u32(b, (uint32_t)v);
        for (n = 0; n < 4; n++)
            bytes[n] = (uint8_t)((uint32_t)v >> (24 - 8 * n));
        break;
    case 4:
        put = buf_put_u64(b, v);
        for (n = 0; n < 8; n++)
            bytes[n] = (uint8_t)(v >> (56 - 8 * n));
        break;
    default:
        put = buf_put_u16(b, (uint16_t)v);
        bytes[0] = (uint8_t)(v >> 8);
        bytes[1] = (uint8_t)v;
        n = 2;
        break;
    }
    if (put != (n <= left))
        return false;
    if (put) {
        memcpy(m->at + m->n, bytes, n);
        m->n += n;
    }
    return true;
}

static void random_buffer_walk(struct dice *d)
{
    struct model m = {.n = 0};
    struct buf b;
    bool good = true;

    buf_init(&b, MODEL_MAX);
    for (int i = 0; i < 20000 && good; i++) {
        size_t n = dice_below(d, m.n + 1);

        switch (dice_below(d, 4)) {
        case 0:
            buf_eat(&b, n);
            memmove(m.at, m.at + n, m.n - n);
            m.n -= n;
            break;
        case 1:
            buf_rest(&b);
            good = m.n > 0 || b.at == NULL;
            break;
        default:
            good = append(&b, &m, d);
        }
        good = good && same(&b, &m);
    }
    T_OK(good);
    buf_done(&b);
}

static void a_buffer_holds_what_the_model_holds(void)
{
    dice_runs(random_buffer_walk);
}

static void a_buffer_never_grows_past_its_maximum(void)
{
    struct buf b;

    buf_init(&b, 10);
    T_OK(!buf_put(&b, "12345678901", 11));
    T_EQ(buf_len(&b), 0);
    T_OK(!buf_reserve(&b, SIZE_MAX));
    T_OK(buf_put(&b, "1234567890", 10));
    T_OK(!buf_put_u8(&b, 'x'));
    T_OK(!buf_reserve(&b, SIZE_MAX - 5));
    buf_eat(&b, 3);
    T_OK(buf_reserve(&b, 3));
    T_OK(!buf_reserve(&b, 4));
    T_EQ(b.size, 10);
    buf_done(&b);
}

static void printing_may_fill_a_buffer_to_the_last_byte(void)
{
    struct buf b;

    buf_init(&b, 10);
    T_OK(buf_printf(&b, "%s", ""));
    T_OK(buf_printf(&b, "%010d", 7));
    T_OK(buf_printf(&b, "%s", ""));
    T_OK(!buf_printf(&b, "%d", 7));
    T_EQ(buf_len(&b), 10);
    T_OK(memcmp(buf_data(&b), "0000000007", 10) == 0);
    buf_done(&b);
}

static void a_number_that_does_not_fit_leaves_nothing_behind(void)
{
    struct buf b;

    buf_init(&b, 7);
    T_OK(!buf_put_u64(&b, 1));
    T_EQ(buf_len(&b), 0);
    T_OK(buf_put_u32(&b, 1));
    T_OK(!buf_put_u32(&b, 1));
    T_EQ(buf_len(&b), 4);
    buf_done(&b);
}

/* Keys are "0" to "199"; the model is an array of what each should hold. */
static void random_map_walk(struct dice *d)
{
    static char keys[200][12];
    void *held[200] = {NULL};
    struct map m = {0};
    size_t count = 0, seen = 0;
    bool good = true;

    for (int i = 0; i < 200; i++)
        (void)snprintf(keys[i], sizeof(keys[i]), "%d", i);
    for (int i = 0; i < 20000 && good; i++) {
        size_t k = dice_below(d, 200);

        if (held[k] == NULL && dice_below(d, 3) != 0) {
            held[k] = &held[dice_below(d, 200)];
            map_add(&m, keys[k], held[k]);
            count++;
        } else {
            count -= held[k] != NULL;
            good = map_remove(&m, keys[k]) == held[k];
            held[k] = NULL;
        }
        k = dice_below(d, 200);
        good = good && map_get(&m, keys[k]) == held[k] && m.used == count;
    }
    for (int k = 0; k < 200; k++)
        good = good && map_get(&m, keys[k]) == held[k];
    map_each (&m, slot)
        seen++;
    T_OK(good);
    T_EQ(seen, count);
    map_done(&m);
}

static void a_map_holds_what_the_model_holds(void)
{
    dice_runs(random_map_walk);
}

static void an_empty_map_answers(void)
{
    struct map m = {0};
    int visits = 0;

    T_OK(map_get(&m, "x") == NULL);
    T_OK(map_remove(&m, "x") == NULL);
    map_each (&m, slot)
        visits++;
    T_EQ(visits, 0);
    map_done(&m);
}

#define T_JSON(text, want) t_json((text), sizeof(text) - 1, (want))
static void t_json(const char *text, size_t len, const char *want)
{
    struct buf b;

    buf_init(&b, 1000);
    T_OK(json_put_string(&b, text, len));
    T_OK(buf_put_u8(&b, '\0'));
    T_STR((const char *)buf_data(&b), want);
    buf_done(&b);
}

static void json_strings_are_escaped(void)
{
    T_JSON("", "\"\"");
    T_JSON("plain \xc3\xa9 \xf0\x9f\x90\xad", "\"plain \xc3\xa9 \xf0\x9f\x90\xad\"");
    T_JSON("a\"b\\c\n\x1b[2J\x7f", "\"a\\\"b\\\\c\\u000a\\u001b[2J\\u007f\"");
    T_JSON("\xc2\x9b"
           "31m",
           "\"\\u009b31m\"");
    T_JSON("\xe2\x80\xae", "\"\\u202e\"");
    T_JSON("\xc3\xa9\xff", "\"\\u00c3\\u00a9\\u00ff\"");
    T_JSON("a\0b", "\"a\\u0000b\"");
}

static void json_that_does_not_fit_is_refused_at_every_length(void)
{
    static const char text[] = "a\"\xc3\xa9\n";

    for (size_t max = 0; max <= 14; max++) {
        struct buf b;

        buf_init(&b, max);
        T_EQ(json_put_string(&b, text, sizeof(text) - 1), max >= 13); /* "a\"\xc3\xa9\u000a" */
        buf_done(&b);
    }
}

int main(void)
{
    T_RUN(a_buffer_holds_what_the_model_holds);
    T_RUN(a_buffer_never_grows_past_its_maximum);
    T_RUN(printing_may_fill_a_buffer_to_the_last_byte);
    T_RUN(a_number_that_does_not_fit_leaves_nothing_behind);
    T_RUN(a_map_holds_what_the_model_holds);
    T_RUN(an_empty_map_answers);
    T_RUN(json_strings_are_escaped);
    T_RUN(json_that_does_not_fit_is_refused_at_every_length);
    return t_end();
}
