#include "t.h"

#include "claim/claim.h"
#include "dice.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define GIB          (UINT64_C(1) << 30)

static struct err e;

/* The two of the example in the contracts. */
static struct claim fixed(void)
{
    return (struct claim){.name = "pgdata-finance-0",
                          .hub = "sql101",
                          .class = "",
                          .capacity = 10 * GIB,
                          .modes = CLAIM_RWO};
}

static struct claim_offer pv(void)
{
    return (struct claim_offer){.name = "postgres-pv",
                                .class = "",
                                .capacity = 10 * GIB,
                                .modes = CLAIM_RWO,
                                .ref_hub = "sql101",
                                .ref_name = "pgdata-finance-0",
                                .bound_to = ""};
}

static struct claim_offer offer(const char *name, const char *class, uint64_t gib)
{
    return (struct claim_offer){.name = name,
                                .class = class,
                                .capacity = gib * GIB,
                                .modes = CLAIM_RWO,
                                .ref_hub = "",
                                .ref_name = "",
                                .bound_to = ""};
}

static void the_field_that_does_not_match_is_named(void)
{
    struct claim c = fixed();
    struct claim_offer o[] = {pv(), pv(), pv(), pv(), pv(), pv(), pv(), pv(), pv(), pv()};
    static const char *const said[] = {
        "name: claimRef.name is \"pgdata-0\", the claim is \"pgdata-finance-0\"",
        "hub: claimRef.hub is \"sql102\", this hub is \"sql101\"",
        "class: the volume's is \"ssd\", the claim asks for none",
        ("accessModes: the volume offers ReadOnlyMany, ReadWriteMany, the claim asks for "
         "ReadWriteOnce"),
        "accessModes: the volume offers none, the claim asks for ReadWriteOnce",
        "capacity: 5Gi is less than the 10Gi that the claim asks for",
        "capacity: 10737418240 is less than the 10737418241 that the claim asks for",
        "capacity: 0 is less than the 10Gi that the claim asks for",
        "it is released: its data is still another's",
        "it is bound to server finance",
    };

    T_EQ(claim_fits(&c, &o[0], &e), 0);
    o[0].ref_name = "pgdata-0";
    o[1].ref_hub = "sql102";
    o[2].class = "ssd";
    o[3].modes = CLAIM_ROX | CLAIM_RWX;
    o[4].modes = 0;
    o[5].capacity = 5 * GIB;
    o[7].capacity = 0;
    o[8].released = true;
    o[9].bound_to = "finance";
    for (size_t i = 0; i < COUNT(o); i++) {
        char whole[320];

        c.capacity = 10 * GIB + (i == 6); /* 10Gi, too, when it is rounded */
        memset(&e, 0, sizeof(e));
        T_EQ(claim_fits(&c, &o[i], &e), -1);
        T_EQ(e.kind, ERR_CONFIG);
        (void)snprintf(whole, sizeof(whole),
                       "volume \"postgres-pv\" does not fit claim \"pgdata-finance-0\": %s",
                       said[i]);
        T_STR(e.msg, whole);
        memset(&e, 0, sizeof(e));
        T_EQ(claim_choose(&c, &o[i], 1, &e), CLAIM_REFUSED);
        T_OK(strstr(e.msg, said[i]) != NULL);
    }
}

static void the_volumes_may_offer_more_than_is_asked_for(void)
{
    struct claim c = fixed();
    struct claim_offer o = pv();

    o.modes = CLAIM_ANY_MODE;
    o.capacity = UINT64_MAX;
    o.ref_hub = "";
    T_EQ(claim_fits(&c, &o, &e), 0);
    c.modes = CLAIM_RWO | CLAIM_RWX;
    T_EQ(claim_fits(&c, &o, &e), 0);
    o.modes = CLAIM_RWO;
    T_EQ(claim_fits(&c, &o, &e), -1);
    c = fixed();
    c.class = o.class = "ssd";
    T_EQ(claim_fits(&c, &o, &e), 0);
    o.class = "";
    T_EQ(claim_fits(&c, &o, &e), -1);
    T_OK(strstr(e.msg, "class: the volume has none, the claim asks for \"ssd\"") != NULL);
    o.class = "nas";
    T_EQ(claim_fits(&c, &o, &e), -1);
    T_OK(strstr(e.msg, "class: the volume's is \"nas\", the claim asks for \"ssd\"") != NULL);
}

static void a_claim_that_nothing_could_match_is_not_looked_for(void)
{
    struct claim c[] = {fixed(), fixed(), fixed(), fixed()};
    struct claim_offer o = pv();

    c[0].name = "";
    c[1].modes = 0;
    c[2].modes = 16;
    c[3].capacity = 0;
    for (size_t i = 0; i < COUNT(c); i++) {
        memset(&e, 0, sizeof(e));
        T_EQ(claim_fits(&c[i], &o, &e), -1);
        T_EQ(e.kind, ERR_INPUT);
        T_EQ(claim_choose(&c[i], &o, 1, &e), CLAIM_REFUSED);
        T_EQ(claim_choose(&c[i], NULL, 0, &e), CLAIM_REFUSED);
    }
}

static void what_is_reserved_comes_first_then_the_smallest(void)
{
    struct claim c = fixed();
    struct claim_offer o[] = {offer("d", "", 12), offer("c", "", 11), offer("b", "", 11),
                              offer("a", "", 5),  offer("x", "", 90), offer("y", "", 10)};

    T_EQ(claim_choose(&c, o, 4, &e), 2);
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 5);
    o[5].bound_to = "alice";
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 2);
    o[4].ref_name = "pgdata-finance-0";
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 4);
    o[4].ref_hub = "sql101";
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 4);
    o[4].ref_hub = "sql102"; /* another hub's claim of that name */
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 2);
    o[4].ref_name = "other", o[4].ref_hub = "";
    o[2].released = true;
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 1);
    o[1].ref_hub = "sql102";
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 0);
}

static void what_was_reserved_and_does_not_fit_is_an_error_whatever_else_there_is(void)
{
    struct claim c = fixed();
    struct claim_offer o[] = {offer("big", "standard", 50), pv()};

    c.class = o[1].class = "standard";
    T_EQ(claim_choose(&c, o, 2, &e), 1);
    o[1].capacity = 5 * GIB;
    T_EQ(claim_choose(&c, o, 2, &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "\"postgres-pv\"") != NULL && strstr(e.msg, "capacity: ") != NULL);
    o[1] = pv(); /* without a class */
    T_EQ(claim_choose(&c, o, 2, &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "class: ") != NULL);
    o[0] = pv(); /* two reserved, and one does */
    o[0].class = "standard";
    T_EQ(claim_choose(&c, o, 2, &e), 0);
    o[0].bound_to = "x";
    T_EQ(claim_choose(&c, o, 2, &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "it is bound to server x") != NULL);
}

static void a_claim_with_a_class_leaves_static_volumes_that_do_not_fit_alone(void)
{
    struct claim c = fixed();
    struct claim_offer o[] = {offer("small", "standard", 5), offer("other", "", 50), pv(), pv()};

    c.name = "postgres-alice";
    c.class = "standard";
    o[3].ref_name = "postgres-bob";
    T_EQ(claim_choose(&c, o, COUNT(o), &e), CLAIM_NONE);
    T_EQ(claim_choose(&c, NULL, 0, &e), CLAIM_NONE);
    o[3].ref_name = "postgres-alice", o[3].ref_hub = "sql1O1";
    T_EQ(claim_choose(&c, o, COUNT(o), &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "hub: claimRef.hub is \"sql1O1\"") != NULL);
    o[0].capacity = 20 * GIB;
    T_EQ(claim_choose(&c, o, COUNT(o), &e), 0);
}

static void a_claim_without_a_class_is_told_the_nearest_miss(void)
{
    struct claim c = fixed();
    struct claim_offer o[] = {offer("a", "ssd", 50), offer("b", "", 5), offer("c", "", 7),
                              offer("d", "", 6), pv()};

    T_EQ(claim_choose(&c, NULL, 0, &e), CLAIM_NONE);
    o[4].ref_name = "pgdata-0";
    T_EQ(claim_choose(&c, o, 1, &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "volume \"a\"") != NULL);
    T_EQ(claim_choose(&c, o, COUNT(o), &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "volume \"c\" does not fit") != NULL && strstr(e.msg, "7Gi") != NULL);
    T_EQ(claim_choose(&c, o + 4, 1, &e), CLAIM_REFUSED);
    T_OK(strstr(e.msg, "claimRef.name is \"pgdata-0\"") != NULL);
}

static struct claim_offer random_offer(struct dice *d)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    static const char *const classes[] = {"", "ssd"}, *const hubs[] = {"", "h", "g"};
    static const char *const refs[] = {"", "", "x", "y"}, *const owners[] = {"", "", "", "bob"};

    return (struct claim_offer){.name = names[dice_below(d, 4)],
                                .class = classes[dice_below(d, 2)],
                                .capacity = dice_below(d, 4),
                                .modes = (unsigned)dice_below(d, 16),
                                .ref_hub = hubs[dice_below(d, 3)],
                                .ref_name = refs[dice_below(d, 4)],
                                .bound_to = owners[dice_below(d, 4)],
                                .released = dice_below(d, 6) == 0};
}

/* What may be said of every answer, and that the order of the offers does not matter. */
static void any_offers(struct dice *d)
{
    for (unsigned round = 0; round < 20000; round++) {
        struct claim_offer o[6], turned[6];
        struct claim c = {.name = "x",
                          .hub = "h",
                          .class = dice_below(d, 2) == 0 ? "" : "ssd",
                          .capacity = 1 + dice_below(d, 3),
                          .modes = 1 + (unsigned)dice_below(d, 15)};
        size_t n = dice_below(d, 7);
        ssize_t at, again;
        bool kept = false;

        for (size_t i = 0; i < n; i++) {
            o[i] = turned[n - 1 - i] = random_offer(d);
            kept |= strcmp(o[i].ref_name, "x") == 0 && strcmp(o[i].ref_hub, "g") != 0;
        }
        memset(&e, 0, sizeof(e));
        at = claim_choose(&c, o, n, &e);
        again = claim_choose(&c, turned, n, &e);
        T_OK((at < 0) == (again < 0));
        T_OK(at != CLAIM_REFUSED || e.kind == ERR_CONFIG);
        T_OK(at != CLAIM_NONE || (again == CLAIM_NONE && !kept && (n == 0 || c.class[0] != '\0')));
        T_OK(at < 0 || (claim_fits(&c, &o[at], &e) == 0 && kept == (o[at].ref_name[0] != '\0')));
        for (size_t i = 0; i < n; i++) {
            bool fits = claim_fits(&c, &o[i], &e) == 0, named = o[i].ref_name[0] != '\0';

            T_OK(!fits || at >= 0 || (kept && !named));
            T_OK(at < 0 || !fits || named != kept || o[i].capacity >= o[at].capacity);
        }
        if (at >= 0) {
            T_EQ(o[at].capacity, turned[again].capacity);
            T_STR(o[at].name, turned[again].name);
        }
    }
}

static void every_choice_keeps_the_rules(void)
{
    dice_runs(any_offers);
}

int main(void)
{
    T_RUN(the_field_that_does_not_match_is_named);
    T_RUN(the_volumes_may_offer_more_than_is_asked_for);
    T_RUN(a_claim_that_nothing_could_match_is_not_looked_for);
    T_RUN(what_is_reserved_comes_first_then_the_smallest);
    T_RUN(what_was_reserved_and_does_not_fit_is_an_error_whatever_else_there_is);
    T_RUN(a_claim_with_a_class_leaves_static_volumes_that_do_not_fit_alone);
    T_RUN(a_claim_without_a_class_is_told_the_nearest_miss);
    T_RUN(every_choice_keeps_the_rules);
    return t_end();
}
