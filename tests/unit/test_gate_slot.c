#include "gate/slot.h"

#include "t.h"

static int owners[3000];

static void an_id_finds_its_owner_until_it_leaves(void)
{
    struct slots t = {0};
    struct slot *a = slot_enter(&t, &owners[0]), *b = slot_enter(&t, &owners[1]);
    uint64_t id = a->id;

    T_OK(slot_find(&t, a->id) == &owners[0]);
    T_OK(slot_find(&t, b->id) == &owners[1]);
    slot_leave(&t, a);
    T_OK(slot_find(&t, id) == NULL);
    T_OK(slot_find(&t, b->id) == &owners[1]);
    slots_done(&t);
}

static void an_id_is_never_used_again(void)
{
    struct slots t = {0};
    uint64_t first = 0;

    for (int i = 0; i < 1000; i++) {
        struct slot *s = slot_enter(&t, &owners[0]);

        T_OK(s->id != first);
        if (i == 0)
            first = s->id;
        slot_leave(&t, s);
    }
    T_OK(slot_find(&t, first) == NULL);
    slots_done(&t);
}

static void what_is_no_id_finds_nobody(void)
{
    struct slots t = {0};

    T_OK(slot_find(&t, 0) == NULL);
    T_OK(slot_find(&t, 1) == NULL);
    (void)slot_enter(&t, &owners[0]);
    T_OK(slot_find(&t, 1) == NULL);
    T_OK(slot_find(&t, 1 << 20) == NULL);
    T_OK(slot_find(&t, UINT64_MAX) == NULL);
    slots_done(&t);
}

static void only_the_whole_right_key_cancels(void)
{
    struct slots t = {0};
    struct slot *s = slot_enter(&t, &owners[0]);
    uint8_t key[4];

    T_OK(s->pid != 0);
    memcpy(key, s->key, 4);
    T_OK(slot_of_key(&t, s->pid, key, 4) == s);
    T_OK(slot_of_key(&t, s->pid, key, 3) == NULL);
    T_OK(slot_of_key(&t, s->pid + 1, key, 4) == NULL);
    T_OK(slot_of_key(&t, 0, key, 4) == NULL);
    for (int i = 0; i < 4; i++) {
        key[i] ^= 1;
        T_OK(slot_of_key(&t, s->pid, key, 4) == NULL);
        key[i] ^= 1;
    }
    slot_leave(&t, s);
    T_OK(slot_of_key(&t, s->pid, key, 4) == NULL);
    slots_done(&t);
}

static void a_slot_is_not_reused_while_a_cancel_is_on_its_way(void)
{
    struct slots t = {0};
    struct slot *a = slot_enter(&t, &owners[0]), *b;

    slot_hold(a);
    slot_hold(a);
    slot_leave(&t, a);
    b = slot_enter(&t, &owners[1]);
    T_OK(a != b);
    slot_release(&t, a);
    T_OK(slot_enter(&t, &owners[2]) != a);
    slot_release(&t, a);
    T_OK(slot_enter(&t, &owners[2]) == a);
    slots_done(&t);
}

static void the_slot_free_for_longest_goes_first(void)
{
    struct slots t = {0};
    struct slot *at[3];

    for (int i = 0; i < 3; i++)
        at[i] = slot_enter(&t, &owners[i]);
    slot_leave(&t, at[1]);
    slot_leave(&t, at[0]);
    slot_leave(&t, at[2]);
    T_OK(slot_enter(&t, &owners[0]) == at[1]);
    T_OK(slot_enter(&t, &owners[0]) == at[0]);
    T_OK(slot_enter(&t, &owners[0]) == at[2]);
    slots_done(&t);
}

static void thousands_have_different_pids(void)
{
    struct slots t = {0};
    static bool seen[3002];

    for (int i = 0; i < 3000; i++) {
        struct slot *s = slot_enter(&t, &owners[i]);

        T_OK(s->pid > 0 && s->pid <= 3000 && !seen[s->pid]);
        seen[s->pid] = true;
    }
    slots_done(&t);
}

int main(void)
{
    T_RUN(an_id_finds_its_owner_until_it_leaves);
    T_RUN(an_id_is_never_used_again);
    T_RUN(what_is_no_id_finds_nobody);
    T_RUN(only_the_whole_right_key_cancels);
    T_RUN(a_slot_is_not_reused_while_a_cancel_is_on_its_way);
    T_RUN(the_slot_free_for_longest_goes_first);
    T_RUN(thousands_have_different_pids);
    return t_end();
}
