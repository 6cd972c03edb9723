#include "t_store.h"

#include "base/clock.h"

static void what_was_added_is_found_by_each_of_its_names(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("alice");
    struct store_account a;
    struct store_user u;
    struct store_server v;
    struct store_volume w;

    new.email = "Alice@X.edu";
    new.role = STORE_ASSISTANT;
    new.counter = UINT64_MAX;
    T_EQ(store_user_add(s, &new, &a, &e), 0);
    s = reopen(s);
    T_EQ(store_user_by_id(s, a.user.id, &u, &e), 0);
    T_OK(memcmp(&u, &a.user, sizeof(u)) == 0);
    T_EQ(store_user_by_login(s, "alice", &u, &e), 0);
    T_STR(u.display, "Zoë \xf0\x9f\x90\xad");
    T_EQ(u.uid, 200000);
    T_EQ(u.role, STORE_ASSISTANT);
    T_OK(u.counter == UINT64_MAX);
    T_EQ(store_user_by_email(s, "ALICE@x.edu", &u, &e), 0);
    T_STR(u.email, "alice@x.edu");
    T_EQ(store_server_by_id(s, a.server.id, &v, &e), 0);
    T_OK(memcmp(&v, &a.server, sizeof(v)) == 0);
    T_EQ(store_server_by_name(s, "alice", &v, &e), 0);
    T_EQ(store_server_of(s, a.user.id, &v, &e), 0);
    T_EQ(v.kind, STORE_PERSONAL);
    T_EQ(v.image, 17);
    T_EQ(store_volume_of(s, v.id, &w, &e), 0);
    T_OK(memcmp(&w, &a.volume, sizeof(w)) == 0);
    T_EQ(store_volume_by_id(s, w.id, &w, &e), 0);
    T_EQ(w.phase, STORE_PENDING);
    FAILS(store_user_by_login(s, "Alice", &u, &e), ERR_NOT_FOUND, "no user \"Alice\"");
    FAILS(store_user_by_login(s, "ali\x1b", &u, &e), ERR_NOT_FOUND, "ali\\x1b");
    FAILS(store_user_by_email(s, "", &u, &e), ERR_NOT_FOUND, "no user");
    FAILS(store_user_by_email(s, "nonsense", &u, &e), ERR_NOT_FOUND, "nonsense");
    store_close(s);
}

static void a_wrong_wish_leaves_nothing_behind(void)
{
    struct store *s = new_store();
    struct store_user_new new;
    struct store_counts n;
    char long_text[600];

    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
#define REFUSED(field, value, kind, word) \
    new = wish("bob");                    \
    new.field = (value);                  \
    FAILS(store_user_add(s, &new, NULL, &e), kind, word)
    REFUSED(login, "root", ERR_INPUT, "reserved");
    REFUSED(email, "nobody", ERR_INPUT, "e-mail");
    REFUSED(display, long_text, ERR_INPUT, "display name");
    REFUSED(display, "\xff", ERR_INPUT, "UTF-8");
    REFUSED(verifier, long_text, ERR_INPUT, "verifier");
    REFUSED(superuser, NULL, ERR_INPUT, "superuser");
    REFUSED(image, 0, ERR_INPUT, "version of PostgreSQL");
    REFUSED(capacity, 0, ERR_INPUT, "0 bytes");
    REFUSED(capacity, UINT64_MAX, ERR_INPUT, "bytes");
    REFUSED(claim, long_text, ERR_INPUT, "claim");
    REFUSED(claim, NULL, ERR_INPUT, "claim's name is empty");
    REFUSED(modes, 16, ERR_INPUT, "access modes");
    REFUSED(uid_last, 1, ERR_INPUT, "range of uids");
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users + n.servers, 0);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void a_taken_name_is_refused_and_said(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("alice");
    struct store_counts n;

    new.email = "a@x.edu";
    T_EQ(store_user_add(s, &new, NULL, &e), 0);
    FAILS(store_user_add(s, &new, NULL, &e), ERR_EXISTS, "login \"alice\" is taken");
    new.login = "bob";
    new.email = "A@x.edu";
    FAILS(store_user_add(s, &new, NULL, &e), ERR_EXISTS, "belongs to the user \"alice\"");
    new.email = "";
    new.uid = 200000;
    FAILS(store_user_add(s, &new, NULL, &e), ERR_EXISTS, "uid 200000");
    new.uid = 0;
    T_EQ(store_user_add(s, &new, NULL, &e), 0);
    new = wish("carl"); /* a second without an e-mail is no collision */
    T_EQ(store_user_add(s, &new, NULL, &e), 0);
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users, 3);
    T_EQ(n.servers, 3);
    store_close(s);
}

static int count_volume(void *arg, const struct store_volume *v, struct err *ignored)
{
    (void)ignored;
    (void)v;
    ++*(int *)arg;
    return 0;
}

static int count_user(void *arg, const struct store_user *u, struct err *ignored)
{
    (void)ignored;
    (void)u;
    ++*(int *)arg;
    return 0;
}

static void the_lowest_free_uid_is_given_and_a_removed_users_is_kept(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("d");
    struct store_account a = add(s, "a"), b = add(s, "b"), c = add(s, "c"), d;
    int n = 0;

    T_EQ(b.user.uid, 200001);
    T_EQ(store_user_remove(s, b.user.id, 2000, &e), 0);
    new.uid_last = 200002;
    FAILS(store_user_add(s, &new, NULL, &e), ERR_LIMIT, "200000 to 200002");
    T_EQ(store_user_purge(s, b.user.id, count_volume, &n, &e), 0);
    T_EQ(store_user_add(s, &new, &d, &e), 0);
    T_EQ(d.user.uid, 200001);
    new = wish("low");
    new.uid_first = 100000;
    T_EQ(store_user_add(s, &new, &d, &e), 0);
    T_EQ(d.user.uid, 100000);
    T_EQ(add(s, "e").user.uid, 200003);
    T_OK(a.user.uid != c.user.uid);
    T_EQ(store_begin(s, &e), 0);
    T_EQ(add(s, "f").user.uid, 200004);
    T_EQ(add(s, "h").user.uid, 200005);
    store_rollback(s);
    T_EQ(add(s, "g").user.uid, 200004);
    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_EQ(store_user_purge(s, a.user.id, NULL, NULL, &e), 0);
    store_close(s);
}

static void a_removed_user_comes_back_with_server_and_volume(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    struct store_user u;
    struct store_server v;
    struct store_volume w;

    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    FAILS(store_user_remove(s, a.user.id, 2000, &e), ERR_NOT_FOUND, a.user.id);
    FAILS(store_user_by_login(s, "alice", &u, &e), ERR_NOT_FOUND, "alice");
    FAILS(store_server_by_name(s, "alice", &v, &e), ERR_NOT_FOUND, "alice");
    FAILS(store_server_of(s, a.user.id, &v, &e), ERR_NOT_FOUND, a.user.id);
    FAILS(store_user_set_disabled(s, a.user.id, true, &e), ERR_NOT_FOUND, a.user.id);
    T_EQ(store_volume_of(s, a.server.id, &w, &e), 0);
    T_EQ(w.removed_at, 2000);
    T_EQ(store_user_removed(s, "alice", &u, &e), 0);
    T_STR(u.id, a.user.id);
    s = reopen(s);
    T_EQ(store_user_restore(s, a.user.id, &e), 0);
    FAILS(store_user_restore(s, a.user.id, &e), ERR_INPUT, "not removed");
    T_EQ(store_server_of(s, a.user.id, &v, &e), 0);
    T_EQ(store_volume_of(s, a.server.id, &w, &e), 0);
    T_EQ(w.removed_at, 0);
    store_close(s);
}

static void a_removed_user_whose_name_was_taken_stays_removed(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("alice");
    struct store_account a, b;
    struct store_server v;

    new.email = "a@x.edu";
    T_EQ(store_user_add(s, &new, &a, &e), 0);
    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    b = add(s, "alice");
    FAILS(store_user_restore(s, a.user.id, &e), ERR_EXISTS, "login \"alice\" is taken");
    T_OK(strstr(e.hint, "rename") != NULL);
    T_EQ(store_user_rename(s, b.user.id, "alice-2", &e), 0);
    T_EQ(store_server_by_name(s, "alice-2", &v, &e), 0);
    T_STR(v.id, b.server.id);
    new.login = "carl";
    T_EQ(store_user_add(s, &new, &b, &e), 0);
    FAILS(store_user_restore(s, a.user.id, &e), ERR_EXISTS, "belongs to the user \"carl\"");
    T_EQ(store_user_remove(s, b.user.id, 3000, &e), 0);
    T_EQ(store_user_restore(s, a.user.id, &e), 0);
    FAILS(store_user_rename(s, a.user.id, "alice-2", &e), ERR_EXISTS, "\"alice-2\" is taken");
    FAILS(store_user_rename(s, a.user.id, "public", &e), ERR_INPUT, "reserved");
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void the_removed_are_listed_by_age_and_purged_for_good(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice"), b = add(s, "bob");
    struct store_user u;
    struct store_volume w;
    int n = 0;

    T_EQ(store_user_remove(s, a.user.id, 2000, &e), 0);
    T_EQ(store_user_remove(s, b.user.id, 3000, &e), 0);
    T_EQ(store_removed(s, 3000, count_user, &n, &e), 0);
    T_EQ(n, 1);
    T_EQ(store_removed(s, 3001, count_user, &n, &e), 0);
    T_EQ(n, 3);
    n = 0;
    T_EQ(store_volumes_of_user(s, a.user.id, count_volume, &n, &e), 0);
    T_EQ(store_user_purge(s, a.user.id, count_volume, &n, &e), 0);
    T_EQ(n, 2);
    FAILS(store_user_by_id(s, a.user.id, &u, &e), ERR_NOT_FOUND, a.user.id);
    FAILS(store_volume_by_id(s, a.volume.id, &w, &e), ERR_NOT_FOUND, a.volume.id);
    a = add(s, "carl");
    FAILS(store_user_purge(s, a.user.id, count_volume, &n, &e), ERR_INPUT, "not removed");
    T_EQ(n, 2);
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void each_field_that_may_change_is_changed(void)
{
    struct store *s = new_store();
    struct store_account a = add(s, "alice");
    char long_text[400];

    T_EQ(store_user_set_password(s, a.user.id, "SCRAM-SHA-256$x", 7, &e), 0);
    T_EQ(store_user_set_disabled(s, a.user.id, true, &e), 0);
    T_EQ(store_server_set_named(s, a.server.id, true, &e), 0);
    T_EQ(store_server_set_awake(s, a.server.id, 5000, &e), 0);
    s = reopen(s);
    T_EQ(store_user_by_id(s, a.user.id, &a.user, &e), 0);
    T_EQ(store_server_by_id(s, a.server.id, &a.server, &e), 0);
    T_EQ(store_volume_by_id(s, a.volume.id, &a.volume, &e), 0);
    T_STR(a.user.verifier, "SCRAM-SHA-256$x");
    T_EQ(a.user.counter, 7);
    T_OK(a.user.disabled && a.server.named);
    T_EQ(a.server.last_awake, 5000);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    FAILS(store_user_set_password(s, a.user.id, long_text, 0, &e), ERR_INPUT, "verifier");
    FAILS(store_server_set_named(s, "x", true, &e), ERR_NOT_FOUND, "no server");
    store_close(s);
}

static void settings_are_kept_and_bounded(void)
{
    struct store *s = new_store();
    char value[STORE_VALUE_SIZE], long_text[STORE_VALUE_SIZE + 1], small[4];

    T_EQ(store_setting_get(s, "hub", value, sizeof(value), &e), 0);
    T_STR(value, "");
    T_EQ(store_setting_set(s, "hub", "sql101", &e), 0);
    T_EQ(store_setting_set(s, "hub", "sql102", &e), 0);
    s = reopen(s);
    T_EQ(store_setting_get(s, "hub", value, sizeof(value), &e), 1);
    T_STR(value, "sql102");
    FAILS(store_setting_get(s, "hub", small, sizeof(small), &e), ERR_LIMIT, "hub");
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    FAILS(store_setting_set(s, "k", long_text, &e), ERR_INPUT, "longer");
    FAILS(store_setting_set(s, long_text, "v", &e), ERR_INPUT, "name of a setting");
    FAILS(store_setting_set(s, "", "v", &e), ERR_INPUT, "name of a setting");
    store_close(s);
}

static void a_batch_holds_whole_or_not_at_all(void)
{
    struct store *s = new_store();
    struct store_user_new twice = wish("a");
    struct store_counts n;

    T_EQ(store_begin(s, &e), 0);
    (void)add(s, "a");
    FAILS(store_user_add(s, &twice, NULL, &e), ERR_EXISTS, "taken");
    (void)add(s, "b");
    T_EQ(store_commit(s, &e), 0);
    T_EQ(store_begin(s, &e), 0);
    (void)add(s, "c");
    store_rollback(s);
    T_EQ(store_begin(s, &e), 0);
    (void)add(s, "d");
    s = reopen(s); /* closed without a commit */
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users, 2);
    store_close(s);
}

static void a_failed_add_in_a_batch_leaves_no_half_user(void)
{
    struct store *s = new_store();
    struct store_user_new new = wish("zed");
    struct store_counts n;

    (void)add(s, "a");
    T_EQ(sqlite3_exec(s->db, "UPDATE servers SET name = 'zed'", NULL, NULL, NULL), SQLITE_OK);
    T_EQ(store_begin(s, &e), 0);
    FAILS(store_user_add(s, &new, NULL, &e), ERR_EXISTS, "\"zed\" is the name of a server");
    (void)add(s, "b");
    T_EQ(store_commit(s, &e), 0);
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users, 2);
    T_EQ(n.servers, 2);
    store_close(s);
}

struct seen {
    struct store *s;
    char logins[200];
    int stop_at, n;
};

static int see_user(void *arg, const struct store_user *u, struct err *error)
{
    struct seen *seen = arg;
    struct store_user again;
    size_t at = strlen(seen->logins);

    (void)snprintf(seen->logins + at, sizeof(seen->logins) - at, "%s ", u->login);
    T_EQ(store_user_by_id(seen->s, u->id, &again, error), 0);
    T_EQ(store_users(seen->s, NULL, see_user, arg, error),
         -1); /* listed already: refused, no loop */
    return ++seen->n == seen->stop_at;
}

static int see_server(void *arg, const struct store_server *v, const char *login,
                      const struct store_volume *w, struct err *error)
{
    struct seen *seen = arg;
    size_t at = strlen(seen->logins);

    (void)error;
    T_STR(v->name, login);
    T_STR(w->server, v->id);
    (void)snprintf(seen->logins + at, sizeof(seen->logins) - at, "%s ", login);
    return 0;
}

static void lists_come_in_order_of_login_and_by_prefix(void)
{
    struct store *s = new_store();
    struct store_user_new shared = wish("finance");
    struct store_account gone;
    static const struct {
        const char *prefix, *want;
    } cases[] = {{NULL, "a a-b ab abc finance zed "},
                 {"a", "a a-b ab abc "},
                 {"ab", "ab abc "},
                 {"b", ""},
                 {"%", ""},
                 {"a\xff", ""},
                 {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""}};

    shared.kind = STORE_SHARED;
    shared.role = STORE_SERVICE;
    (void)add(s, "zed");
    (void)add(s, "abc");
    (void)add(s, "ab");
    (void)add(s, "a-b");
    (void)add(s, "a");
    T_EQ(store_user_add(s, &shared, NULL, &e), 0);
    gone = add(s, "abd");
    T_EQ(store_user_remove(s, gone.user.id, 2000, &e), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen users = {.s = s}, servers = {.s = s};

        T_EQ(store_users(s, cases[i].prefix, see_user, &users, &e), 0);
        T_STR(users.logins, cases[i].want);
        T_EQ(store_servers(s, cases[i].prefix, see_server, &servers, &e), 0);
        T_STR(servers.logins, cases[i].want);
    }
    struct seen two = {.s = s, .stop_at = 2};
    T_EQ(store_users(s, NULL, see_user, &two, &e), 1);
    T_STR(two.logins, "a a-b ");
    store_close(s);
}

/* The plan of a statement that concerns one user goes through an index, and sorts nothing. */
static void every_statement_about_one_user_goes_by_index(void)
{
    struct store *s = new_store();

    for (int i = 0; i < QUERY_N; i++) {
        const struct query_row *q = &store_queries[i];
        char text[2048];
        sqlite3_stmt *st = NULL;

        (void)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", q->text);
        T_EQ(sqlite3_prepare_v2(s->db, text, -1, &st, NULL), SQLITE_OK);
        while (sqlite3_step(st) == SQLITE_ROW) {
            const char *detail = (const char *)sqlite3_column_text(st, 3);

            if (q->reach == ONE &&
                (strstr(detail, "SCAN") != NULL || strstr(detail, "TEMP B-TREE") != NULL)) {
                printf("# %s: %s\n", q->name, detail);
                t_failures++;
            }
        }
        (void)sqlite3_finalize(st);
    }
    store_close(s);
}

static uint64_t look_ups_us(struct store *s, const char *login, const char *email)
{
    uint64_t start = clock_us();

    for (int i = 0; i < 2000; i++) {
        struct store_user u;
        struct store_server v;
        struct store_volume w;

        T_EQ(store_user_by_login(s, login, &u, &e), 0);
        T_EQ(store_user_by_email(s, email, &u, &e), 0);
        T_EQ(store_server_of(s, u.id, &v, &e), 0);
        T_EQ(store_volume_of(s, v.id, &w, &e), 0);
    }
    return clock_us() - start;
}

static void ten_thousand_users_are_added_at_once_and_found_as_fast_as_one(void)
{
    struct store *s = new_store();
    struct store_counts n;
    uint64_t few = 0, many, adding = clock_us(), removing;
    struct store_user u;

    T_EQ(store_begin(s, &e), 0);
    for (int i = 0; i < 10000; i++) {
        char login[16], email[32];
        struct store_user_new new = wish(login);

        (void)snprintf(login, sizeof(login), "student%d", i);
        (void)snprintf(email, sizeof(email), "student%d@example.edu", i);
        new.email = email;
        T_EQ(store_user_add(s, &new, NULL, &e), 0);
        if (i == 9) {
            T_EQ(store_commit(s, &e), 0);
            few = look_ups_us(s, "student5", "student5@example.edu");
            T_EQ(store_begin(s, &e), 0);
        }
    }
    T_EQ(store_commit(s, &e), 0);
    adding = clock_us() - adding - few;
    many = look_ups_us(s, "student7777", "student7777@example.edu");
    removing = clock_us();
    T_EQ(store_user_by_login(s, "student5000", &u, &e), 0);
    T_EQ(store_user_remove(s, u.id, 2000, &e), 0);
    T_EQ(store_user_purge(s, u.id, count_volume, &(int){0}, &e), 0);
    removing = clock_us() - removing;
    s = reopen(s);
    T_EQ(add(s, "late").user.uid, u.uid);
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users, 10000);
    printf("# 10000 added in %" PRIu64 " ms; 8000 look-ups among 10: %" PRIu64
           " us, among 10000: %" PRIu64 " us; one removed and purged in %" PRIu64 " us\n",
           adding / 1000, few, many, removing);
    T_OK(adding < 10000000);       /* generous: sanitizers, a busy machine */
    T_OK(many < few * 4 + 100000); /* a scan of 10,000 would be hundreds of times slower */
    store_close(s);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    T_RUN(what_was_added_is_found_by_each_of_its_names);
    T_RUN(a_wrong_wish_leaves_nothing_behind);
    T_RUN(a_taken_name_is_refused_and_said);
    T_RUN(the_lowest_free_uid_is_given_and_a_removed_users_is_kept);
    T_RUN(a_removed_user_comes_back_with_server_and_volume);
    T_RUN(a_removed_user_whose_name_was_taken_stays_removed);
    T_RUN(the_removed_are_listed_by_age_and_purged_for_good);
    T_RUN(each_field_that_may_change_is_changed);
    T_RUN(settings_are_kept_and_bounded);
    T_RUN(a_batch_holds_whole_or_not_at_all);
    T_RUN(a_failed_add_in_a_batch_leaves_no_half_user);
    T_RUN(lists_come_in_order_of_login_and_by_prefix);
    T_RUN(every_statement_about_one_user_goes_by_index);
    T_RUN(ten_thousand_users_are_added_at_once_and_found_as_fast_as_one);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
