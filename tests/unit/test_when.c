/* when: the same time for every reader, wherever their machine stands. */
#include "base/when.h"

#include <stdlib.h>
#include <time.h>

#include "t.h"

#define LEAP_DAY INT64_C(951827696) /* 2000-02-29 12:34:56 */

static void a_time_reads_the_same_in_every_zone(void)
{
    char at[WHEN_SIZE];

    T_EQ(setenv("TZ", "Asia/Kathmandu", 1), 0);
    tzset();
    T_STR(when_minute(at, LEAP_DAY), "2000-02-29 12:34");
    T_STR(when_second(at, LEAP_DAY), "2000-02-29 12:34:56");
    T_STR(when_name(at, LEAP_DAY), "20000229-123456");
    T_STR(when_iso(at, LEAP_DAY), "2000-02-29T12:34:56Z");
    T_STR(when_second(at, 0), "1970-01-01 00:00:00");
}

static void what_can_be_no_time_of_ours_is_a_question_mark(void)
{
    char at[WHEN_SIZE] = "before";

    T_STR(when_minute(at, INT64_MAX), "?");
    T_STR(when_iso(at, INT64_MIN), "?");
    T_STR(when_name(at, -1), "?");
    T_STR(when_second(at, INT64_C(253402300799)), "9999-12-31 23:59:59");
    T_STR(when_second(at, INT64_C(253402300800)), "?");
}

int main(void)
{
    T_RUN(a_time_reads_the_same_in_every_zone);
    T_RUN(what_can_be_no_time_of_ours_is_a_question_mark);
    return t_end();
}
