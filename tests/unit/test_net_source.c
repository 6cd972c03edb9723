#include "net/source.h"

#include "t.h"

static struct addr ip4(uint8_t last)
{
    return (struct addr){.kind = ADDR_IP4, .at = {10, 0, 0, last}, .uid = UINT64_MAX};
}

static void members_are_counted_by_source(void)
{
    struct map table = {0};
    struct addr one = ip4(1), two = ip4(2);
    struct list a, b, c;
    struct source *first = source_enter(&table, &one, &a);

    T_OK(source_enter(&table, &one, &b) == first);
    T_OK(source_enter(&table, &two, &c) != first);
    T_EQ(first->n, 2);
    T_EQ(source_find(&table, &two)->n, 1);
    source_leave(&table, first, &a);
    T_EQ(first->n, 1);
    source_leave(&table, first, &b);
    source_leave(&table, source_find(&table, &two), &c);
    map_done(&table);
}

static void a_source_is_forgotten_with_its_last_member(void)
{
    struct map table = {0};
    struct addr one = ip4(1);
    struct list a;

    source_leave(&table, source_enter(&table, &one, &a), &a);
    T_OK(source_find(&table, &one) == NULL);
    T_EQ(table.used, 0);
    map_done(&table);
}

static void the_first_member_is_the_one_that_came_first(void)
{
    struct map table = {0};
    struct addr one = ip4(1);
    struct list a, b;
    struct source *s = source_enter(&table, &one, &a);

    (void)source_enter(&table, &one, &b);
    T_OK(list_first(&s->members) == &a);
    source_leave(&table, s, &a);
    T_OK(list_first(&s->members) == &b);
    source_leave(&table, s, &b);
    map_done(&table);
}

int main(void)
{
    T_RUN(members_are_counted_by_source);
    T_RUN(a_source_is_forgotten_with_its_last_member);
    T_RUN(the_first_member_is_the_one_that_came_first);
    return t_end();
}
