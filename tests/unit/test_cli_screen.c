#include "base/buf.h"
#include "base/str.h"
#include "cli/screen.h"
#include "t.h"

static char drawn[4096];

static const char *put(const char *text, unsigned rows, unsigned columns)
{
    struct buf b;

    buf_init(&b, sizeof(drawn));
    drawn[0] = '\0';
    if (screen_put(&b, text, strlen(text), rows, columns) && buf_put_str(&b, ""))
        (void)snprintf(drawn, sizeof(drawn), "%s", (char *)buf_data(&b));
    buf_done(&b);
    return drawn;
}

static void as_much_is_drawn_as_there_is_room_for(void)
{
    T_STR(put("ab\ncd\n", 9, 9), "\033[Hab\033[K\r\ncd\033[K\033[J");
    T_STR(put("abc\ndef\nghi", 2, 2), "\033[Hab\033[K\r\nde\033[K\033[J");
    T_STR(put("", 2, 2), "\033[H\033[J");
    T_STR(put("\n\nx", 3, 1), "\033[H\033[K\r\n\033[K\r\nx\033[K\033[J");
}

static void a_character_is_never_cut_in_two(void)
{
    T_STR(put("\xc3\xa4\xc3\xb6\xc3\xbc", 1, 2), "\033[H\xc3\xa4\xc3\xb6\033[K\033[J");
    T_STR(put("\xe2\x82\xac"
              "x",
              1, 1),
          "\033[H\xe2\x82\xac\033[K\033[J");
}

int main(void)
{
    T_RUN(as_much_is_drawn_as_there_is_room_for);
    T_RUN(a_character_is_never_cut_in_two);
    return t_end();
}
