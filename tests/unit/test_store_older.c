/* A record as the first release made it, brought up to date. */
#include "t_store.h"

static struct store *open_steps(int n)
{
    struct store_schema schema = {store_schema.steps, n};
    struct store *s = NULL;

    if (store_open_as(in_dir("record.db"), &schema, &s, &e) < 0) {
        printf("Bail out! %s\n", e.msg);
        exit(1);
    }
    return s;
}

static void run(struct store *s, const char *text)
{
    char *why = NULL;

    if (sqlite3_exec(s->db, text, NULL, NULL, &why) != SQLITE_OK) {
        printf("# %s: %s\n", text, why);
        t_failures++;
    }
    sqlite3_free(why);
}

/* A user of the first release; number is at most two digits and makes ids and uid. */
static void older(struct store *s, int number, const char *claim, int64_t created, int64_t removed)
{
    char *text = sqlite3_mprintf(
        "INSERT INTO users VALUES ('user-------%02d', 'login%d', 'l%d@x.edu', 'Zoë', 'SCRAM', %d,"
        "    'assistant', %d, 1, %lld, %lld);"
        "INSERT INTO servers VALUES ('server-----%02d', 'user-------%02d', 'login%d', 'personal',"
        "    16, 'super%d', 1, %lld, 77, %lld);"
        "INSERT INTO volumes VALUES ('volume-----%02d', 'server-----%02d', %Q, 'ssd', 'empty',"
        "    12345, 'bound', %lld, %lld);",
        number, number, number, number, 200000 + number, created, removed, number, number, number,
        number, created, removed, number, number, claim, created, removed);

    run(s, text);
    sqlite3_free(text);
}

static const char *claim_of(struct store *s, int number)
{
    static struct store_volume v;
    char id[ID_SIZE];

    (void)snprintf(id, sizeof(id), "volume-----%02d", number);
    v.claim[0] = '\0';
    T_EQ(store_volume_by_id(s, id, &v, &e), 0);
    return v.claim;
}

static void users_servers_and_volumes_are_as_they_were(void)
{
    struct store *s;
    struct store_user u;
    struct store_server v;
    struct store_volume w, again;
    struct store_counts n;
    char value[16];

    empty_dir();
    s = open_steps(1);
    older(s, 1, "postgres-one", 1000, 0);
    older(s, 2, "postgres-two", 2000, 3000);
    run(s, "INSERT INTO settings VALUES ('hub', 'sql101')");
    s = reopen(s);
    T_EQ(store_check(s, &e), 0);
    T_EQ(store_setting_get(s, "hub", value, sizeof(value), &e), 1);
    T_STR(value, "sql101");
    T_EQ(store_user_by_login(s, "login1", &u, &e), 0);
    T_STR(u.email, "l1@x.edu");
    T_STR(u.display, "Zoë");
    T_EQ(u.uid, 200001);
    T_EQ(u.role, STORE_ASSISTANT);
    T_OK(u.disabled && u.counter == 1 && u.created == 1000);
    T_EQ(store_server_of(s, u.id, &v, &e), 0);
    T_STR(v.superuser, "super1");
    T_OK(v.named && v.image == 16 && v.last_awake == 77);
    T_EQ(store_volume_of(s, v.id, &w, &e), 0);
    T_EQ(store_volume_by_claim(s, "postgres-one", &again, &e), 0);
    T_OK(memcmp(&w, &again, sizeof(w)) == 0);
    T_STR(w.id, "volume-----01");
    T_STR(w.server, v.id);
    T_STR(w.class, "ssd");
    T_STR(w.template, "empty");
    T_STR(w.path, "");
    T_STR(w.moving_to, "");
    T_STR(w.component, "postgres");
    T_OK(w.capacity == 12345 && w.modes == STORE_RWO && w.phase == STORE_BOUND);
    T_OK(w.created == 1000 && w.removed_at == 0);
    T_EQ(store_user_restore(s, "user-------02", &e), 0);
    T_STR(claim_of(s, 2), "postgres-two");
    T_EQ(store_volume_of(s, "server-----02", &w, &e), 0);
    T_EQ(w.removed_at, 0);
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.users + n.servers + n.volumes, 6);
    T_EQ(add(s, "late").user.uid, 200000);
    store_close(s);
}

static int see_disk(void *arg, const struct store_disk *d, const struct store_volume *v,
                    struct err *error)
{
    (void)error;
    T_EQ(d->place, 0);
    T_STR(d->mount, "");
    T_OK(!d->read_only);
    T_STR(v->server, d->server);
    ++*(int *)arg;
    return 0;
}

static void every_volume_becomes_the_data_of_its_server(void)
{
    struct store *s;
    int64_t n = 0;
    int seen = 0;

    empty_dir();
    s = open_steps(1);
    older(s, 1, "a", 1000, 0);
    older(s, 2, "b", 2000, 3000);
    s = reopen(s);
    T_EQ(store_disks(s, "server-----01", see_disk, &seen, &e), 0);
    T_EQ(store_disk_users(s, "volume-----01", see_disk, &seen, &e), 0);
    T_EQ(seen, 2);
    T_EQ(sql_number(s, "SELECT count(*) FROM disks WHERE place = 0", &n, &e), 0);
    T_EQ(n, 2);
    store_close(s);
}

static void claims_that_were_alike_get_numbers_the_oldest_keeps_its_name(void)
{
    char long_claim[STORE_CLAIM_SIZE];
    struct store *s;

    memset(long_claim, 'y', sizeof(long_claim) - 1);
    long_claim[sizeof(long_claim) - 1] = '\0';
    empty_dir();
    s = open_steps(1);
    older(s, 1, "x", 3000, 0);
    older(s, 2, "x", 1000, 0);
    older(s, 3, "x", 2000, 0);
    older(s, 4, "x", 500, 9000); /* removed: in nobody's way */
    older(s, 5, "x", 600, 9000);
    older(s, 6, "x-2", 4000, 0); /* the name that the second x would get */
    older(s, 7, "x-2", 5000, 0);
    older(s, 8, "", 1000, 0);
    older(s, 9, "", 1000, 0);
    older(s, 10, long_claim, 1000, 0);
    older(s, 11, long_claim, 1000, 0);
    older(s, 12, "z", 1000, 0); /* in the same second: by id */
    older(s, 13, "z", 1000, 0);
    s = reopen(s);
    T_STR(claim_of(s, 2), "x");
    T_STR(claim_of(s, 3), "x-volume-----03");
    T_STR(claim_of(s, 1), "x-3");
    T_STR(claim_of(s, 4), "x");
    T_STR(claim_of(s, 5), "x");
    T_STR(claim_of(s, 6), "x-2");
    T_STR(claim_of(s, 7), "x-2-2");
    T_STR(claim_of(s, 8), "postgres-volume-----08");
    T_STR(claim_of(s, 9), "postgres-volume-----09");
    T_STR(claim_of(s, 10), long_claim);
    T_OK(strstr(claim_of(s, 11), "yyy-volume-----11") != NULL);
    T_STR(claim_of(s, 12), "z");
    T_STR(claim_of(s, 13), "z-2");
    T_EQ(store_user_restore(s, "user-------04", &e), 0);
    T_STR(claim_of(s, 4), "x-4");
    T_EQ(store_check(s, &e), 0);
    store_close(s);
}

static void ten_thousand_alike_are_numbered_in_seconds(void)
{
    struct store *s;
    struct store_counts n;
    struct store_volume v;

    empty_dir();
    s = open_steps(1);
    run(s, "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 10000)"
           "INSERT INTO users SELECT format('user%09d', n), 'l' || n, '', '', '', 1, 'user',"
           "    100000 + n, 0, 1, 0 FROM i;"
           "INSERT INTO servers SELECT 'serv' || substr(id, 5), id, login, 'personal', 17, 'x', 0,"
           "    1, 0, 0 FROM users;"
           "INSERT INTO volumes SELECT 'volu' || substr(id, 5), id, 'data', '', '', 1, 'bound', 1,"
           "    0 FROM servers");
    s = reopen(s);
    T_EQ(store_count(s, &n, &e), 0);
    T_EQ(n.volumes, 10000);
    T_EQ(store_volume_by_claim(s, "data", &v, &e), 0);
    T_EQ(store_volume_by_claim(s, "data-10000", &v, &e), 0);
    store_close(s);
}

static void a_copy_of_the_older_record_is_kept(void)
{
    struct store *s;
    int64_t n = 0;

    empty_dir();
    s = open_steps(1);
    older(s, 1, "x", 1000, 0);
    older(s, 2, "x", 1000, 0);
    store_close(reopen(s));
    T_EQ(rename(in_dir("record.db.v1"), in_dir("record.db")), 0);
    s = open_steps(1);
    T_EQ(sql_number(s, "SELECT count(*) FROM volumes WHERE claim = 'x'", &n, &e), 0);
    T_EQ(n, 2);
    s = reopen(s);
    T_STR(claim_of(s, 2), "x-2");
    store_close(s);
}

int main(void)
{
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    T_RUN(users_servers_and_volumes_are_as_they_were);
    T_RUN(every_volume_becomes_the_data_of_its_server);
    T_RUN(claims_that_were_alike_get_numbers_the_oldest_keeps_its_name);
    T_RUN(ten_thousand_alike_are_numbered_in_seconds);
    T_RUN(a_copy_of_the_older_record_is_kept);
    empty_dir();
    (void)rmdir(dir);
    return t_end();
}
