/* Data that others made: where they are in a volume, what is refused, and the way into them. */
#include "pg/adopt.h"

#include "t_pg.h"

#define MADE "/var/lib/made" /* what initdb made, its superuser is postgres */

static struct pg_found found;
static struct err e;

static int look(void)
{
    AUTO_CLOSE int dir = open(PG_VOLUME, O_PATH | O_DIRECTORY | O_CLOEXEC);

    memset(&found, 0, sizeof(found));
    memset(&e, 0, sizeof(e));
    return pg_adopt_look(dir, installed.major, &found, &e);
}

static bool empty_volume(void)
{
    return remove_tree(PG_VOLUME) && folder(PG_VOLUME);
}

static bool fresh(void)
{
    return empty_volume() && copy_tree(MADE, PG_DATA);
}

static void an_empty_volume_is_one(void)
{
    T_OK(empty_volume());
    T_EQ(look(), 0);
    T_OK(folder(PG_VOLUME "/lost+found"));
    T_EQ(look(), 0);
    T_OK(folder(PG_DATA) && folder(PG_DATA "/lost+found"));
    T_EQ(look(), 0);
}

static void data_are_found_in_three_places(void)
{
    T_OK(fresh());
    T_EQ(look(), 1);
    T_STR(found.where, "data");
    T_EQ(found.uid, NOBODY);
    T_EQ(found.gid, NOBODY);
    T_EQ(found.state, PG_STATE_SHUT_DOWN);
    T_OK(!found.locked);
    T_EQ(chown(PG_DATA, 1234, 5678), 0);
    T_OK(put_file(PG_DATA "/postmaster.pid", "1\n", NOBODY));
    T_EQ(look(), 1);
    T_EQ(found.uid, 1234);
    T_EQ(found.gid, 5678);
    T_OK(found.locked);
    T_EQ(rename(PG_DATA, PG_VOLUME "/pgdata"), 0);
    T_OK(put_file(PG_VOLUME "/notes", "", 0));
    T_EQ(look(), 1);
    T_STR(found.where, "pgdata");
    T_OK(remove_tree(PG_VOLUME) && copy_tree(MADE, PG_VOLUME));
    T_EQ(look(), 1);
    T_STR(found.where, ".");
}

static void other_things_are_never_taken_for_nothing(void)
{
    T_OK(empty_volume() && put_file(PG_VOLUME "/.x\x1b[31m", "", 0));
    T_EQ(look(), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_STR(e.msg, "the volume is not empty and holds no PostgreSQL data: .x\\x1b[31m");
    T_OK(empty_volume() && folder(PG_DATA) && put_file(PG_DATA "/base", "", 0));
    T_EQ(look(), -1);
    T_STR(e.msg, "the volume is not empty and holds no PostgreSQL data: data");
}

static void no_link_leads_to_data(void)
{
    T_OK(empty_volume());
    T_EQ(symlink(MADE, PG_DATA), 0);
    T_EQ(look(), -1);
    T_STR(e.msg, "the volume is not empty and holds no PostgreSQL data: data");
    T_OK(fresh());
    T_EQ(rename(PG_DATA "/global", PG_DATA "/else"), 0);
    T_EQ(symlink("else", PG_DATA "/global"), 0);
    T_EQ(look(), -1);
    T_EQ(e.kind, ERR_INTERNAL);
    T_OK(fresh());
    T_EQ(unlink(PG_DATA "/PG_VERSION"), 0);
    T_EQ(symlink(MADE "/PG_VERSION", PG_DATA "/PG_VERSION"), 0);
    T_EQ(look(), -1);
    T_OK(fresh());
    T_EQ(unlink(PG_DATA "/PG_VERSION"), 0);
    T_EQ(mkfifo(PG_DATA "/PG_VERSION", 0600), 0);
    T_EQ(look(), -1);
    T_EQ(e.kind, ERR_CONFIG);
}

static void what_would_not_start_is_refused_in_words(void)
{
    T_OK(fresh() && put_file(PG_DATA "/PG_VERSION", "12\n", NOBODY));
    T_EQ(look(), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_OK(strstr(e.msg, "in \"data\" of the volume: the data are of PostgreSQL 12 ") == e.msg);
    T_OK(fresh() && unlink(PG_DATA "/" PG_CONTROL_FILE) == 0);
    T_EQ(look(), -1);
    T_EQ(e.kind, ERR_INTERNAL);
    T_OK(fresh() && chmod(PG_DATA, 0750) == 0);
    T_EQ(look(), 1);
    T_EQ(chmod(PG_DATA, 0755), 0);
    T_EQ(look(), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_OK(strstr(e.msg, "mode 0755") != NULL);
}

static int adopt(const char *name)
{
    memset(&e, 0, sizeof(e));
    return pg_adopt_roles(&way, name, soon(), &e);
}

static void check_owner(const char *name)
{
    T_STR(ask(name, name, "SELECT rolsuper AND rolcanlogin FROM pg_roles WHERE rolname = user"),
          "t");
    T_STR(ask(name, name,
              "SELECT pg_get_userbyid(datdba) = user FROM pg_database WHERE datname = "
              "current_database()"),
          "t");
}

static void a_role_is_added_once_and_others_stay(void)
{
    static const char *const names[] = {"alice", "a\"; DROP DATABASE postgres; --", "o'brien\\",
                                        "Ünï", "\x01\n\t"};

    T_OK(fresh() && start());
    (void)ask("postgres", "postgres", "CREATE ROLE bob LOGIN PASSWORD 'x'; CREATE ROLE staff");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        T_EQ(adopt(names[i]), 1);
        T_EQ(adopt(names[i]), 0);
        check_owner(names[i]);
    }
    T_EQ(adopt("postgres"), 0);
    T_STR(ask("alice", "alice",
              "SELECT rolcanlogin::int + rolsuper::int FROM pg_roles WHERE "
              "rolname = 'bob'"),
          "1");
    T_STR(ask("alice", "alice", "SELECT count(*) FROM pg_roles WHERE oid >= 16384"), "7");
    T_EQ(adopt("pg_monitor"), -1);
    T_EQ(e.kind, ERR_INPUT);
    stop(SIGINT);
}

static void a_lesser_role_and_a_foreign_database_are_raised(void)
{
    T_OK(fresh() && start());
    (void)ask("postgres", "postgres", "CREATE ROLE alice NOLOGIN");
    T_EQ(adopt("alice"), 1);
    check_owner("alice");
    (void)ask("postgres", "postgres", "ALTER ROLE alice NOSUPERUSER LOGIN");
    (void)ask("postgres", "postgres", "ALTER DATABASE alice OWNER TO postgres");
    T_EQ(adopt("alice"), 1);
    check_owner("alice");
    (void)ask("postgres", "postgres", "ALTER DATABASE alice ALLOW_CONNECTIONS false");
    T_EQ(adopt("alice"), 0);
    stop(SIGINT);
}

/* The role itself knows who is a superuser, even if its name is not one we would guess. */
static void a_superuser_of_another_name_is_found(void)
{
    T_OK(fresh() && start());
    (void)ask("postgres", "postgres", "CREATE ROLE boss SUPERUSER LOGIN; CREATE ROLE alice LOGIN");
    (void)ask("boss", "postgres", "ALTER ROLE postgres RENAME TO \"the first\"");
    (void)ask("the first", "postgres", "ALTER ROLE boss NOLOGIN");
    (void)ask("the first", "template1", "DROP DATABASE postgres");
    T_EQ(adopt("alice"), 1);
    check_owner("alice");
    T_EQ(adopt("bob"), -1);
    T_EQ(e.kind, ERR_CONFIG);
    T_OK(strstr(e.msg, "neither \"bob\" nor postgres can log in") != NULL);
    T_OK(strstr(e.hint, "CREATE ROLE \"bob\" LOGIN SUPERUSER") != NULL);
    stop(SIGINT);
}

/* Whatever a superuser has set for sessions, and somebody in template1. */
static void settings_of_roles_do_not_stop_it(void)
{
    struct pg_client sits;

    T_OK(fresh() && start());
    (void)ask("postgres", "postgres",
              "CREATE ROLE low; CREATE ROLE \"Zoë\"; ALTER ROLE postgres SET role TO low; "
              "ALTER ROLE postgres SET default_transaction_read_only TO on; "
              "ALTER ROLE postgres SET search_path TO evil, pg_catalog; "
              "ALTER ROLE postgres SET client_encoding TO latin1; "
              "CREATE SCHEMA evil; CREATE FUNCTION evil.no(name, name) RETURNS bool LANGUAGE sql "
              "AS 'SELECT false'; CREATE OPERATOR evil.= (FUNCTION = evil.no, LEFTARG = name, "
              "RIGHTARG = name)");
    T_EQ(pg_client_start(&sits, dial(NULL, &e), "postgres", "template1", soon(), &e), 0);
    T_EQ(adopt("Zoë"), 1);
    T_EQ(adopt("Zoë"), 0);
    pg_client_close(&sits);
    check_owner("Zoë");
    stop(SIGINT);
}

/* Without -Dinject=true the child comes to its end, and nothing is left to do. */
static void a_kill_in_between_leaves_the_rest_to_do(void)
{
    int status = 0;
    pid_t pid;

    T_OK(fresh() && start());
    pid = fork();
    if (pid == 0) {
        (void)setenv("DORM_INJECT", "pg.adopt.role=kill", 1);
        _exit(adopt("alice") == 1 ? 0 : 1);
    }
    T_EQ(waitpid(pid, &status, 0), pid);
    T_OK(WIFSIGNALED(status) || status == 0);
    stop(SIGKILL);
    T_EQ(look(), 1);
    T_EQ(found.state, PG_STATE_IN_PRODUCTION);
    T_OK(found.locked);
    T_OK(start());
    T_EQ(adopt("alice"), WIFSIGNALED(status) ? 1 : 0);
    T_EQ(adopt("alice"), 0);
    check_owner("alice");
    stop(SIGINT);
    T_EQ(adopt("alice"), -1); /* no server: it says so, not that there is no role */
    T_OK(e.kind != ERR_CONFIG);
}

int main(void)
{
    const char *why = t_pg_begin();

    if (why != NULL) {
        printf("1..0 # SKIP NOT TESTED with a real PostgreSQL: %s\n", why);
        return 0;
    }
    T_OK(run_initdb("postgres") && copy_tree(PG_DATA, MADE));
    T_RUN(an_empty_volume_is_one);
    T_RUN(data_are_found_in_three_places);
    T_RUN(other_things_are_never_taken_for_nothing);
    T_RUN(no_link_leads_to_data);
    T_RUN(what_would_not_start_is_refused_in_words);
    T_RUN(a_role_is_added_once_and_others_stay);
    T_RUN(a_lesser_role_and_a_foreign_database_are_raised);
    T_RUN(a_superuser_of_another_name_is_found);
    T_RUN(settings_of_roles_do_not_stop_it);
    T_RUN(a_kill_in_between_leaves_the_rest_to_do);
    return t_end();
}
