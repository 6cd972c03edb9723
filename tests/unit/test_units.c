#include "conf/units.h"

#include "t.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void sizes_have_units_of_1024_and_1000(void)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"1048576", 1048576},
                {"1k", 1000},
                {"1Ki", 1024},
                {"400Mi", 400ull << 20},
                {"400M", 400000000},
                {"1Gi", 1ull << 30},
                {"1G", 1000000000},
                {"2Ti", 2ull << 40},
                {"2T", 2000000000000},
                {"9223372036854775807", INT64_MAX}};
    static const struct {
        const char *text, *why;
    } wrong[] = {{"1gi", "is not a size; did you mean 1Gi?"},
                 {"1GI", "is not a size; did you mean 1Gi?"},
                 {"1GiB", "is not a size; did you mean 1Gi?"},
                 {"400m", "is not a size; did you mean 400Mi?"},
                 {"256 MB", "is not a size; did you mean 256Mi?"},
                 {"4K", "is not a size; did you mean 4Ki?"},
                 {"256X", "is not a size; write one like 512Mi or 10G"},
                 {"1.5Gi", "is not a size; write one like 512Mi or 10G"},
                 {"-1", "is not a size; write one like 512Mi or 10G"},
                 {"", "is not a size; write one like 512Mi or 10G"},
                 {"Gi", "is not a size; write one like 512Mi or 10G"},
                 {"9223372036854775808", "is too large"},
                 {"18446744073709551616", "is too large"},
                 {"99999999999999999999g", "is not a size; write one like 512Mi or 10G"},
                 {"8388608Ti", "is too large"},
                 {"18446744073709551615Ti", "is too large"}};
    char why[UNITS_WHY];
    uint64_t bytes = 7;

    for (size_t i = 0; i < COUNT(good); i++) {
        T_EQ(units_size(good[i].text, &bytes, why), 0);
        T_OK(bytes == good[i].bytes);
    }
    bytes = 7;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        T_EQ(units_size(wrong[i].text, &bytes, why), -1);
        T_STR(why, wrong[i].why);
    }
    T_EQ(bytes, 7);
}

static void durations_need_a_unit(void)
{
    char why[UNITS_WHY];
    uint64_t ms = 7;

    T_EQ(units_duration("15", &ms, why), -1);
    T_STR(why, "has no unit; did you mean 15s or 15m?");
    T_EQ(units_duration("15min", &ms, why), -1);
    T_STR(why, "is not a duration; did you mean 15m?");
    T_EQ(units_duration("2 Hours", &ms, why), -1);
    T_STR(why, "is not a duration; did you mean 2h?");
    T_EQ(units_duration("1h30m", &ms, why), -1);
    T_EQ(units_duration("soon", &ms, why), -1);
    T_STR(why, "is not a duration; write one like 45s, 15m, 8h or 7d");
    T_EQ(units_duration("18446744073709551615d", &ms, why), -1);
    T_STR(why, "is too long");
    T_EQ(ms, 7);
    T_EQ(units_duration("45s", &ms, why), 0);
    T_EQ(ms, 45000);
    T_EQ(units_duration("15m", &ms, why), 0);
    T_EQ(ms, 900000);
    T_EQ(units_duration("8h", &ms, why), 0);
    T_EQ(ms, 28800000);
    T_EQ(units_duration("7d", &ms, why), 0);
    T_EQ(ms, 604800000);
}

static void cores_are_counted_in_thousandths(void)
{
    static const struct {
        const char *text;
        uint32_t milli;
    } good[] = {{"1", 1000}, {"0.5", 500}, {"500m", 500}, {"2.125", 2125}, {"1m", 1}, {"0.001", 1}};
    static const char *const wrong[] = {
        "",   ".5",    "1.",  "1.0005",     "0",         "0.0",
        "0m", "-1",    "1e3", "0.5m",       "1 ",        "5mm",
        "x",  "1.5.5", "1,5", "4294967296", "4294967m1", "18446744073709551616"};
    char why[UNITS_WHY];
    uint32_t milli = 7;

    for (size_t i = 0; i < COUNT(good); i++) {
        T_EQ(units_cores(good[i].text, &milli, why), 0);
        T_EQ(milli, good[i].milli);
    }
    milli = 7;
    for (size_t i = 0; i < COUNT(wrong); i++)
        T_EQ(units_cores(wrong[i], &milli, why), -1);
    T_EQ(milli, 7);
    T_EQ(units_cores("0", &milli, why), -1);
    T_STR(why, "is no core at all");
    T_EQ(units_cores("5000000", &milli, why), -1);
    T_STR(why, "is too many cores");
}

int main(void)
{
    T_RUN(sizes_have_units_of_1024_and_1000);
    T_RUN(durations_need_a_unit);
    T_RUN(cores_are_counted_in_thousandths);
    return t_end();
}
