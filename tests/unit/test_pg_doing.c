/* What a server says of what it does: read, and nothing else believed. */
#include "pg/doing.h"
#include "t.h"

static void every_answer_of_ours_is_read(void)
{
    for (int i = 0; i < PG_DOING_N; i++)
        for (int timed = 0; timed < 2; timed++) {
            char text[8];
            enum pg_doing doing = PG_DOING_N;
            bool is_timed = timed == 0;

            (void)snprintf(text, sizeof(text), "%d %d", i, timed);
            T_OK(pg_doing_parse(text, &doing, &is_timed));
            T_EQ((int)doing, i);
            T_EQ(is_timed, timed == 1);
        }
}

static void anything_else_is_not(void)
{
    static const char *const bad[] = {"",    "0",   "0 ",   "0 2",  "00",  " 0 0", "9 0",
                                      "6 0", "/ 0", "0 0 ", "-1 0", "a 0", "0\t0", "0 00"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum pg_doing doing = PG_DOING_VACUUM;
        bool timed = true;

        T_OK(!pg_doing_parse(bad[i], &doing, &timed));
        T_EQ(doing, PG_DOING_VACUUM);
        T_OK(timed);
    }
}

static void each_has_words_but_nothing(void)
{
    T_STR(pg_doing_words(PG_DOING_NOTHING), "");
    for (int i = PG_DOING_NOTHING + 1; i < PG_DOING_N; i++)
        T_OK(pg_doing_words((enum pg_doing)i)[0] != '\0');
}

int main(void)
{
    T_RUN(every_answer_of_ours_is_read);
    T_RUN(anything_else_is_not);
    T_RUN(each_has_words_but_nothing);
    return t_end();
}
