#include "t_store.h"

static void a_login_is_what_the_rule_says_and_not_reserved(void)
{
    static const char *const good[] = {"a",    "alice",  "a-1_b", "x234567890123456789012345678901",
                                       "demo", "pgadmin"};
    static const struct {
        const char *login, *word;
    } bad[] = {
        {"", "empty"},
        {"Alice", "begin"},
        {"1a", "begin"},
        {"-a", "begin"},
        {"al ice", "\" \" is not allowed"},
        {"alic\xc3\xa9", "\"\xc3\xa9\" is not allowed"},
        {"a\x1b[31m", "\\x1b"},
        {"x2345678901234567890123456789012", "longer than 31"},
        {"root", "reserved"},
        {"postgres", "reserved"},
        {"shared-readwrite", "reserved"},
        {"template1", "reserved"},
        {"pg_monitor", "reserved"},
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        T_EQ(store_login_check(good[i], &e), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        FAILS(store_login_check(bad[i].login, &e), ERR_INPUT, bad[i].word);
        T_OK(strstr(e.hint, "letter a-z") != NULL);
    }
}

static void an_email_is_folded_or_refused(void)
{
    char folded[STORE_EMAIL_SIZE], long_one[400];

    T_EQ(store_email_fold("Alice.O+x@Uni.EDU", folded, &e), 0);
    T_STR(folded, "alice.o+x@uni.edu");
    T_EQ(store_email_fold("", folded, &e), 0);
    T_STR(folded, "");
    FAILS(store_email_fold("alice", folded, &e), ERR_INPUT, "name@example.edu");
    FAILS(store_email_fold("@b", folded, &e), ERR_INPUT, "name@example.edu");
    FAILS(store_email_fold("a@b@c", folded, &e), ERR_INPUT, "more than one @");
    FAILS(store_email_fold("a b@c", folded, &e), ERR_INPUT, "not allowed");
    FAILS(store_email_fold("a\xc3\xa9@c", folded, &e), ERR_INPUT, "not allowed");
    memset(long_one, 'a', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = '\0';
    FAILS(store_email_fold(long_one, folded, &e), ERR_INPUT, "too long");
}

static void a_login_is_suggested_from_an_email(void)
{
    static const struct {
        const char *email, *login;
        int numbered;
    } cases[] = {
        {"Alice.Smith@x.edu", "alice-smith", 0},
        {"2023117@x.edu", "u2023117", 0},
        {"__..bob+db@x.edu", "bob-db", 0},
        {"root@x.edu", "root-2", 1},
        {"pg_kim@x.edu", "pg-kim", 0},
        {"...@x.edu", "u", 0},
        {"j\xc3\xbcrgen@x.edu", "j-rgen", 0},
        {"taken@x.edu", "taken-3", 1},
        {"x234567890123456789012345678901@x", "x2345678901234567890123456789-2", 1},
    };
    struct store *s = new_store();
    char login[STORE_LOGIN_SIZE];

    (void)add(s, "taken");
    (void)add(s, "taken-2");
    (void)add(s, "x234567890123456789012345678901");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        T_EQ(store_login_suggest(s, cases[i].email, login, &e), cases[i].numbered);
        T_STR(login, cases[i].login);
        T_EQ(store_login_check(login, &e), 0);
    }
    for (int i = 2; i < 40; i++) {
        char want[STORE_LOGIN_SIZE];

        (void)snprintf(want, sizeof(want), "info-%d", i);
        if (i == 2)
            (void)add(s, "info");
        T_EQ(store_login_suggest(s, "info@x", login, &e), 1);
        T_STR(login, want);
        (void)add(s, login);
    }
    store_close(s);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    T_RUN(a_login_is_what_the_rule_says_and_not_reserved);
    T_RUN(an_email_is_folded_or_refused);
    T_RUN(a_login_is_suggested_from_an_email);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
