/* str: names, sizes, and foreign bytes made fit to print. */
#include "base/str.h"
#include "dice.h"
#include "t.h"

#define T_SHOW(bytes, want) t_show((bytes), sizeof(bytes) - 1, (want))
static void t_show(const char *bytes, size_t len, const char *want)
{
    char at[200];

    T_STR(str_show(at, sizeof(at), bytes, len), want);
}

static void plain_text_is_shown_as_it_is(void)
{
    T_SHOW("", "");
    T_SHOW("alice, 'bob' \"x\"", "alice, 'bob' \"x\"");
    T_SHOW("J\xc3\xbcrgen \xe6\xbc\xa2 \xf0\x9f\x90\xad",
           "J\xc3\xbcrgen \xe6\xbc\xa2 \xf0\x9f\x90\xad");
}

static void what_steers_a_terminal_is_spelt_out(void)
{
    T_SHOW("\x1b[2J", "\\x1b[2J");
    T_SHOW("a\0b", "a\\x00b");
    T_SHOW("a\r\n\t\x7f", "a\\x0d\\x0a\\x09\\x7f");
    T_SHOW("\xc2\x9b"
           "31m",
           "\\xc2\\x9b31m");                   /* C1: CSI in one character */
    T_SHOW("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* right-to-left override */
    T_SHOW("\xe2\x81\xa6", "\\xe2\\x81\\xa6"); /* left-to-right isolate */
    T_SHOW("\xd8\x9c", "\\xd8\\x9c");
    T_SHOW("\xef\xbb\xbf", "\\xef\\xbb\\xbf");
    T_SHOW("C:\\n", "C:\\\\n");
}

static void invalid_utf8_is_spelt_out_byte_by_byte(void)
{
    T_SHOW("\xff", "\\xff");
    T_SHOW("\xc0\xaf", "\\xc0\\xaf");                   /* overlong / */
    T_SHOW("\xe0\x80\xaf", "\\xe0\\x80\\xaf");          /* overlong */
    T_SHOW("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    T_SHOW("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* past U+10FFFF */
    T_SHOW("\x80", "\\x80");
    T_SHOW("\xe6\xbc", "\\xe6\\xbc"); /* cut off */
    T_SHOW("\xe6"
           "a",
           "\\xe6"
           "a");
}

static void text_that_does_not_fit_ends_with_dots_at_a_whole_character(void)
{
    char at[32];

    T_STR(str_show(at, 8, "abcdefg", 7), "abcdefg");
    T_STR(str_show(at, 8, "abcdefgh", 8), "abcd...");
    T_STR(str_show(at, 8, "abc\x1b\x1b", 5), "abc...");
    T_STR(str_show(at, 8, "abc\xc3\xa9\xc3\xa9\xc3\xa9", 9), "abc...");
    T_STR(str_show(at, 4, "abcdef", 6), "...");
    T_STR(str_show(at, 2, "abcdef", 6), ".");
    T_STR(str_show(at, 1, "abcdef", 6), "");
    T_STR(str_show(at, 1, "", 0), "");
}

/* Bytes with a taste for trouble. */
static size_t hostile(struct dice *d, uint8_t *at, size_t max)
{
    static const char *const parts[] = {"\xc3\xa9", "\xe2\x80\xae", "\xf0\x9f\x90\xad",
                                        "\\",       "\x1b[",        "\xf4\x90",
                                        "plain",    "\xc2\x9b"};
    size_t n = 0, want = dice_below(d, max - 8);

    while (n < want) {
        const char *part = parts[dice_below(d, 8)];

        if (dice_below(d, 3) == 0) {
            at[n++] = (uint8_t)dice_u64(d);
        } else {
            memcpy(at + n, part, strlen(part));
            n += strlen(part);
        }
    }
    return n;
}

static void random_show(struct dice *d)
{
    bool good = true;

    for (int i = 0; i < 20000 && good; i++) {
        uint8_t bytes[64];
        char at[80];
        size_t len = hostile(d, bytes, sizeof(bytes)), size = 1 + dice_below(d, 70), n;

        memset(at, '#', sizeof(at));
        str_show(at, size, bytes, len);
        n = strlen(at);
        good = n < size && at[size] == '#' && str_utf8(at, n);
        for (size_t k = 0, step; k < n && good; k += step) {
            uint32_t c = 0;

            step = str_utf8_next(at + k, n - k, &c);
            good = step > 0 && !str_steers(c);
        }
    }
    T_OK(good);
}

static void whatever_is_shown_fits_and_is_harmless_utf8(void)
{
    dice_runs(random_show);
}

static void valid_utf8_is_told_from_invalid(void)
{
    T_OK(str_utf8("", 0));
    T_OK(str_utf8("\xf4\x8f\xbf\xbf", 4));
    T_OK(!str_utf8("a\0b", 3));
    T_OK(!str_utf8("\xed\xbf\xbf", 3));
    T_OK(!str_utf8("\xf0\x8f\xbf\xbf", 4));
    T_OK(!str_utf8("\xc3", 1));
    T_OK(!str_utf8("\xfe\xfe", 2));
}

static void a_copy_fits_or_is_refused(void)
{
    char at[4] = "zzz";

    T_OK(str_copy(at, sizeof(at), "abc"));
    T_STR(at, "abc");
    T_OK(!str_copy(at, sizeof(at), "abcd"));
    T_STR(at, "");
}

static void numbers_are_whole_decimals_only(void)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x1",
                                      "1.0",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999"};
    uint64_t v = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        T_OK(!str_u64(bad[i], &v));
    T_EQ(v, 7);
    T_OK(str_u64("18446744073709551615", &v) && v == UINT64_MAX);
    T_OK(str_u64("0", &v) && v == 0);
    T_OK(str_u64("007", &v) && v == 7);
}

static void the_nearest_word_is_one_that_could_be_meant(void)
{
    static const char *const words[] = {"status", "storage", "server", "up", "user"};
    char endless[80];

    T_STR(str_nearest("statsu", words, 5), "status");
    T_STR(str_nearest("sevrer", words, 5), "server");
    T_STR(str_nearest("usr", words, 5), "user");
    T_OK(str_nearest("elephant", words, 5) == NULL);
    T_OK(str_nearest("x", words, 0) == NULL);
    memset(endless, 'a', sizeof(endless));
    endless[sizeof(endless) - 1] = '\0';
    T_OK(str_nearest(endless, words, 5) == NULL);
}

static void a_candidate_of_any_length_is_survived(void)
{
    char endless[80];
    const char *words[] = {endless};

    memset(endless, 'a', sizeof(endless));
    for (size_t n = 60; n < sizeof(endless); n++) {
        endless[n] = '\0';
        T_OK((str_nearest("a", words, 1)) == NULL);
        endless[n] = 'a';
    }
}

static void sizes_never_claim_more_than_there_is(void)
{
    char at[16];

    T_STR(str_size(at, sizeof(at), 0), "0");
    T_STR(str_size(at, sizeof(at), 1023), "1023");
    T_STR(str_size(at, sizeof(at), 1024), "1Ki");
    T_STR(str_size(at, sizeof(at), (3ull << 30) / 2), "1.5Gi");
    T_STR(str_size(at, sizeof(at), (1ull << 30) - 1), "1023Mi");
    T_STR(str_size(at, sizeof(at), (2ull << 30) - 1), "1.9Gi");
    T_STR(str_size(at, sizeof(at), 512ull << 20), "512Mi");
    T_STR(str_size(at, sizeof(at), UINT64_MAX), "15Ei");
}

static void durations_are_short(void)
{
    char at[16];

    T_STR(str_duration(at, sizeof(at), 999), "999ms");
    T_STR(str_duration(at, sizeof(at), 45000), "45s");
    T_STR(str_duration(at, sizeof(at), 900000), "15m");
    T_STR(str_duration(at, sizeof(at), 28800000), "8h");
    T_STR(str_duration(at, sizeof(at), 604800000), "7d");
}

static void hex_goes_there_and_back(void)
{
    static const uint8_t bytes[] = {0x00, 0x7f, 0x80, 0xff};
    uint8_t back[4];
    char at[9];

    str_to_hex(at, bytes, sizeof(bytes));
    T_STR(at, "007f80ff");
    T_OK(str_hex(at, back, 4) && memcmp(back, bytes, 4) == 0);
    T_OK(!str_hex("007f80f", back, 4));
    T_OK(!str_hex("007f80fg", back, 4));
    T_OK(!str_hex("007F80FF", back, 4));
}

static void base32_is_what_the_standard_says_in_lower_case(void)
{
    char at[20];

    str_to_base32(at, "", 0);
    T_STR(at, "");
    str_to_base32(at, "f", 1);
    T_STR(at, "my");
    str_to_base32(at, "foobar", 6);
    T_STR(at, "mzxw6ytboi");
    str_to_base32(at, "\xff\xff\xff\xff\xff", 5);
    T_STR(at, "77777777");
}

int main(void)
{
    T_RUN(plain_text_is_shown_as_it_is);
    T_RUN(what_steers_a_terminal_is_spelt_out);
    T_RUN(invalid_utf8_is_spelt_out_byte_by_byte);
    T_RUN(text_that_does_not_fit_ends_with_dots_at_a_whole_character);
    T_RUN(whatever_is_shown_fits_and_is_harmless_utf8);
    T_RUN(valid_utf8_is_told_from_invalid);
    T_RUN(a_copy_fits_or_is_refused);
    T_RUN(numbers_are_whole_decimals_only);
    T_RUN(the_nearest_word_is_one_that_could_be_meant);
    T_RUN(a_candidate_of_any_length_is_survived);
    T_RUN(sizes_never_claim_more_than_there_is);
    T_RUN(durations_are_short);
    T_RUN(hex_goes_there_and_back);
    T_RUN(base32_is_what_the_standard_says_in_lower_case);
    return t_end();
}
