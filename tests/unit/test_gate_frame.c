#include "gate/frame.h"

#include "t.h"

#define PASS(f, text) frame_pass((f), (const uint8_t *)(text), sizeof(text) - 1)

static void a_stream_begins_between_messages(void)
{
    struct frame f = {0};

    T_OK(frame_between(&f));
}

static void whole_messages_leave_it_between(void)
{
    struct frame f = {0};

    PASS(&f, "Z\0\0\0\5I");
    T_OK(frame_between(&f));
    PASS(&f, "1\0\0\0\4"
             "2\0\0\0\4"
             "C\0\0\0\6ok");
    T_OK(frame_between(&f));
}

static void every_cut_inside_a_message_is_noticed(void)
{
    static const uint8_t two[] = "D\0\0\0\7abcZ\0\0\0\5I";
    const size_t len = sizeof(two) - 1;

    for (size_t cut = 0; cut <= len; cut++) {
        struct frame f = {0};

        frame_pass(&f, two, cut);
        T_EQ(frame_between(&f), cut == 0 || cut == 8 || cut == len);
        frame_pass(&f, two + cut, len - cut);
        T_OK(frame_between(&f));
    }
}

static void single_bytes_count_like_one_piece(void)
{
    static const uint8_t bytes[] = "T\0\0\1\4";
    struct frame f = {0};
    uint8_t body = 0;

    for (size_t i = 0; i < 5; i++)
        frame_pass(&f, bytes + i, 1);
    for (int i = 0; i < 256; i++) {
        T_OK(!frame_between(&f));
        frame_pass(&f, &body, 1);
    }
    T_OK(frame_between(&f));
}

static void an_impossible_length_is_never_between_again(void)
{
    static const char *const bad[] = {"D\0\0\0\3", "D\0\0\0\0", "D\x80\0\0\0", "D\xff\xff\xff\xff"};

    for (size_t i = 0; i < 4; i++) {
        struct frame whole = {0}, pieces = {0};

        frame_pass(&whole, (const uint8_t *)bad[i], 5);
        frame_pass(&pieces, (const uint8_t *)bad[i], 2);
        frame_pass(&pieces, (const uint8_t *)bad[i] + 2, 3);
        T_OK(whole.lost && pieces.lost);
        PASS(&whole, "Z\0\0\0\5I");
        PASS(&pieces, "Z\0\0\0\5I");
        T_OK(!frame_between(&whole));
        T_OK(!frame_between(&pieces));
    }
}

static void the_next_end_is_found_wherever_it_was_cut(void)
{
    static const uint8_t two[] = "D\0\0\0\7abcZ\0\0\0\5I";
    const size_t len = sizeof(two) - 1;

    for (size_t cut = 0; cut <= len; cut++) {
        struct frame f = {0};
        size_t n;

        frame_pass(&f, two, cut);
        n = frame_pass_to_end(&f, two + cut, len - cut);
        T_EQ(cut + n, cut == 0 ? 0 : cut <= 8 ? 8 : len);
        T_OK(frame_between(&f));
    }
}

static void where_no_end_can_be_known_all_passes(void)
{
    struct frame f = {0};

    frame_pass(&f, (const uint8_t *)"D\0\0", 3);
    T_EQ(frame_pass_to_end(&f, (const uint8_t *)"\0\3abc", 5), 5);
    T_OK(!frame_between(&f));
}

int main(void)
{
    T_RUN(the_next_end_is_found_wherever_it_was_cut);
    T_RUN(where_no_end_can_be_known_all_passes);
    T_RUN(a_stream_begins_between_messages);
    T_RUN(whole_messages_leave_it_between);
    T_RUN(every_cut_inside_a_message_is_noticed);
    T_RUN(single_bytes_count_like_one_piece);
    T_RUN(an_impossible_length_is_never_between_again);
    return t_end();
}
