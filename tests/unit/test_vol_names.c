#include "vol/vol-int.h"

#include "t.h"

static void good_names_are_taken(void)
{
    T_OK(vol_name_ok("k3j5x2q7w3abc"));
    T_OK(vol_name_ok("template-15.2_a"));
    T_OK(vol_name_ok("0"));
    T_OK(vol_name_ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void names_that_could_leave_the_pool_or_look_like_options_are_refused(void)
{
    T_OK(!vol_name_ok(""));
    T_OK(!vol_name_ok("."));
    T_OK(!vol_name_ok(".."));
    T_OK(!vol_name_ok("../x"));
    T_OK(!vol_name_ok("a/b"));
    T_OK(!vol_name_ok("-rf"));
    T_OK(!vol_name_ok(".hidden"));
    T_OK(!vol_name_ok("Upper"));
    T_OK(!vol_name_ok("a b"));
    T_OK(!vol_name_ok("a\nb"));
    T_OK(!vol_name_ok("\303\251"));
    T_OK(!vol_name_ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static bool parse(const char *text, struct poolid *id)
{
    return poolid_parse(text, strlen(text), id);
}

static void an_identity_reads_back_as_it_was_written(void)
{
    static const enum vol_how hows[] = {VOL_REFLINK, VOL_XFS, VOL_COPY};

    for (size_t i = 0; i < 3; i++) {
        struct poolid id = {.how = hows[i], .hub = "sql101", .pool = "abcdefghijklm"}, back;
        char text[POOLID_SIZE];

        poolid_print(&id, text);
        T_OK(parse(text, &back));
        T_EQ(back.how, hows[i]);
        T_STR(back.hub, "sql101");
        T_STR(back.pool, "abcdefghijklm");
    }
}

static void the_longest_identity_fits(void)
{
    struct poolid id = {.how = VOL_REFLINK, .pool = "abcdefghijklm"}, back;
    char text[POOLID_SIZE];

    memset(id.hub, 'h', sizeof(id.hub) - 1);
    poolid_print(&id, text);
    T_OK(parse(text, &back));
    T_STR(back.hub, id.hub);
}

static void an_identity_that_is_not_whole_is_refused(void)
{
    static const char whole[] = "dormouse-pool 1\nhub sql101\npool abcdefghijklm\nhow xfs\n";
    struct poolid id;
    char text[sizeof(whole)];

    T_OK(parse(whole, &id));
    for (size_t n = 0; n < sizeof(whole) - 1; n++) {
        memcpy(text, whole, n);
        text[n] = '\0';
        T_OK(!parse(text, &id));
    }
    T_OK(!poolid_parse(whole, sizeof(whole), &id)); /* with a NUL in it */
}

static void an_identity_with_other_words_is_refused(void)
{
    struct poolid id;

    T_OK(!parse("dormouse-pool 2\nhub sql101\npool abcdefghijklm\nhow xfs\n", &id));
    T_OK(!parse("dormouse-pool 1\nhub sql101\npool abcdefghijklm\nhow zfs\n", &id));
    T_OK(!parse("dormouse-pool 1\nhub ../x\npool abcdefghijklm\nhow xfs\n", &id));
    T_OK(!parse("dormouse-pool 1\nhub sql101\npool abcdefghijklmn\nhow xfs\n", &id));
    T_OK(!parse("dormouse-pool 1\npool abcdefghijklm\nhub sql101\nhow xfs\n", &id));
    T_OK(!parse("dormouse-pool 1\nhub sql101\npool abcdefghijklm\nhow xfs\nmore\n", &id));
}

int main(void)
{
    T_RUN(good_names_are_taken);
    T_RUN(names_that_could_leave_the_pool_or_look_like_options_are_refused);
    T_RUN(an_identity_reads_back_as_it_was_written);
    T_RUN(the_longest_identity_fits);
    T_RUN(an_identity_that_is_not_whole_is_refused);
    T_RUN(an_identity_with_other_words_is_refused);
    return t_end();
}
