/* A real PostgreSQL, at its real paths, in a mount namespace of our own: template, naming, crashes.
 */
#include "t_pg.h"

static const char auto_conf[] = PG_DATA "/" PG_AUTO_CONF;

static void make_data(void)
{
    struct pg_words argv = {0};
    int status = -1;
    struct err e;

    T_EQ(pg_initdb_argv(&installed, &argv, &e), 0);
    T_EQ(waitpid(run(&argv, "/run/initdb.log"), &status, 0) > 0, 1);
    T_EQ(status, 0);
    pg_words_done(&argv);
    T_OK(put_file(PG_DATA "/" PG_USER_CONF, pg_user_conf_text(), NOBODY));
}

static int name(const char *who, struct err *e)
{
    int fd = dial(NULL, e);

    return fd < 0 ? -1 : pg_name_owner(fd, who, soon(), e);
}

static bool new_clone(void)
{
    return remove_tree(PG_DATA) && copy_tree("/var/lib/template", PG_DATA);
}

static bool append(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    struct err e;

    return fd >= 0 && fd_write_all(fd, text, strlen(text), &e) == 0;
}

static void a_template_is_made(void)
{
    struct err e = {0};

    make_data();
    server.building = true;
    T_OK(start());
    T_EQ(pg_template_fill(&way, soon(), &e), 0);
    T_EQ(pg_template_fill(&way, soon(), &e), 0); /* a repeated step changes nothing */
    T_STR(ask(PG_SETUP_ROLE, PG_OWNER_ROLE, "SHOW fsync"), "off");
    T_EQ(pg_template_seal(&way, &server, soon(), &e), 0);
    T_STR(ask(PG_SETUP_ROLE, "postgres", "SHOW data_checksums"), "on");
    /* 1 GiB of capacity: 64 MB of segments are there already */
    T_STR(ask(PG_SETUP_ROLE, "postgres", "SELECT count(*) >= 4 FROM pg_ls_waldir()"), "t");
    stop(SIGINT);
    server.building = false;
    T_OK(copy_tree(PG_DATA, "/var/lib/template"));
}

static void the_data_directory_is_of_its_own_major_only(void)
{
    AUTO_CLOSE int data = open(PG_DATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err e;

    T_EQ(pg_data_check(data, installed.major, &e), 0);
    T_EQ(pg_data_check(data, installed.major + 1, &e), -1);
    T_EQ(e.kind, ERR_CONFIG);
}

static void the_owner_is_named_once(void)
{
    struct err e = {0};

    T_OK(new_clone() && start());
    T_EQ(name("alice", &e), 1);
    T_EQ(name("alice", &e), 0);
    T_EQ(name("bob", &e), 0);
    T_STR(ask("alice", "alice", "SELECT current_user || rolsuper FROM pg_roles WHERE oid = 10"),
          "alicetrue");
    T_STR(ask("alice", "alice",
              "SELECT pg_get_userbyid(datdba) FROM pg_database "
              "WHERE datname = 'alice'"),
          "alice");
    T_STR(ask("alice", "alice", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dorm%'"), "0");
    T_STR(ask("alice", "alice", "SELECT count(*) FROM pg_database WHERE datname LIKE 'dorm%'"),
          "0");
    T_STR(ask("alice", "alice", "SHOW fsync"), "on");
    stop(SIGINT);
    T_OK(start());
    T_EQ(name("alice", &e), 0);
    stop(SIGINT);
}

static void roles_of_our_names_do_not_confuse_a_later_wake(void)
{
    struct err e = {0};

    T_OK(new_clone() && start());
    T_EQ(name("alice", &e), 1);
    (void)ask("alice", "alice", "CREATE ROLE dorm_setup SUPERUSER LOGIN");
    T_EQ(name("alice", &e), 0);
    (void)ask("alice", "alice", "CREATE ROLE dorm_owner");
    T_EQ(name("alice", &e), 0);
    T_STR(ask("alice", "alice", "SELECT rolname FROM pg_roles WHERE oid = 10"), "alice");
    stop(SIGINT);
}

static void any_name_is_quoted_right(void)
{
    static const char *const names[] = {
        "a\"; DROP DATABASE postgres; --",
        "o'brien\\",
        "Ünï \xf0\x9f\x90\x98",
        "default",
        "user",
        "\x01\n\t",
        "x123456789012345678901234567890123456789012345678901234567890bc"};
    struct err e = {0};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        T_OK(new_clone() && start());
        T_EQ(name(names[i], &e), 1);
        T_STR(ask(names[i], names[i], "SELECT rolname FROM pg_roles WHERE oid = 10"), names[i]);
        stop(SIGINT);
    }
}

static void a_database_of_that_name_becomes_the_users_own(void)
{
    struct err e = {0};

    T_OK(new_clone() && start());
    T_EQ(name("postgres", &e), 1);
    T_STR(
        ask("postgres", "postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'dorm%'"),
        "0");
    T_STR(ask("postgres", "postgres", "SELECT rolname FROM pg_roles WHERE oid = 10"), "postgres");
    stop(SIGINT);
}

static void a_kill_while_naming_leaves_it_done_or_to_do(void)
{
    int done = 0, to_do = 0;

    for (int i = 0; i < 16; i++) {
        struct err e = {0};
        pid_t child;
        int result;

        T_OK(new_clone() && start());
        child = fork();
        if (child == 0) {
            (void)name("alice", &e);
            _exit(0);
        }
        (void)poll(NULL, 0, i / 2); /* not a wait for something: the moment is what varies */
        stop(SIGKILL);
        T_OK(start());
        result = name("alice", &e);
        T_OK(result >= 0);
        done += result == 0;
        to_do += result == 1;
        T_STR(ask("alice", "alice", "SELECT rolname FROM pg_roles WHERE oid = 10"), "alice");
        T_STR(ask("alice", "alice", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dorm%'"),
              "0");
        stop(SIGINT);
    }
    printf("# killed before it was durable: %d, after: %d\n", to_do, done);
}

static void our_settings_win_over_the_users_files(void)
{
    static const char *const nasty =
        "shared_buffers = '1TB'\nport = 6543\nlisten_addresses = '*'\n"
        "unix_socket_directories = '/nowhere'\nunix_socket_group = 'nobodys'\nssl = on\n"
        "hba_file = '/nowhere'\nident_file = '/nowhere'\nexternal_pid_file = '/nowhere/x'\n"
        "logging_collector = on\nlog_directory = '/nowhere'\nlog_destination = 'syslog'\n"
        "max_connections = 1\nsuperuser_reserved_connections = 200\nmax_wal_size = '100GB'\n"
        "huge_pages = on\nshared_memory_type = sysv\npre_auth_delay = 60\nwork_mem = '7MB'\n"
        "archive_mode = on\narchive_command = 'false'\nrestore_command = 'false'\n";
    struct err e = {0};

    T_OK(new_clone());
    T_OK(append(auto_conf, nasty));
    T_OK(start());
    T_EQ(name("alice", &e), 1);
    T_STR(ask("alice", "alice", "SHOW shared_buffers"), "32MB");
    T_STR(ask("alice", "alice", "SHOW max_connections"), "100");
    T_STR(ask("alice", "alice", "SHOW max_wal_size"), "192MB");
    T_STR(ask("alice", "alice", "SHOW work_mem"), "7MB"); /* this one is theirs */
    T_STR(ask("alice", "alice", "ALTER SYSTEM SET port = 7777; SHOW port"), "?");
    stop(SIGINT);

    (void)unlink(PG_DATA "/" PG_USER_CONF);
    T_OK(start());
    T_STR(ask("alice", "alice", "SHOW jit"), "off");
    stop(SIGINT);
}

static void the_hubs_parameters_win_over_sizes(void)
{
    static const struct pg_param own[] = {{"shared_buffers", "24MB"}, {"work_mem", "8MB"}};
    struct err e = {0};

    server.params = own;
    server.param_n = 2;
    T_OK(new_clone() && start());
    T_EQ(name("alice", &e), 1);
    T_STR(ask("alice", "alice", "SHOW shared_buffers"), "24MB");
    T_STR(ask("alice", "alice", "SHOW work_mem"), "8MB");
    stop(SIGINT);
    server.param_n = 0;
}

static const char *failure(void)
{
    static char why[300];
    AUTO_FREE char *log = NULL;
    struct err e;
    int len = fd_read_file(AT_FDCWD, "/run/server.log", 1 << 20, &log, &e);

    (void)pg_start_failure(log, len < 0 ? 0 : (size_t)len, why, sizeof(why));
    return why;
}

static void a_start_that_fails_says_why_and_safe_mode_helps(void)
{
    T_OK(new_clone());
    T_OK(append(auto_conf, "shared_preload_libraries = 'nope'\n"));
    T_OK(!start());
    T_STR(failure(), "could not access file \"nope\": No such file or directory");
    stop(SIGINT);

    T_OK(new_clone());
    T_OK(append(PG_DATA "/" PG_USER_CONF, "work_mem = 'a lot'\n"));
    T_OK(!start());
    T_STR(failure(), "invalid value for parameter \"work_mem\": \"a lot\"");
    stop(SIGINT);
    server.safe = true;
    T_OK(start());
    stop(SIGINT);
    server.safe = false;
}

int main(void)
{
    const char *why = t_pg_begin();

    if (why != NULL) {
        printf("1..0 # SKIP NOT TESTED with a real PostgreSQL: %s\n", why);
        return 0;
    }
    T_RUN(a_template_is_made);
    T_RUN(the_data_directory_is_of_its_own_major_only);
    T_RUN(the_owner_is_named_once);
    T_RUN(roles_of_our_names_do_not_confuse_a_later_wake);
    T_RUN(any_name_is_quoted_right);
    T_RUN(a_database_of_that_name_becomes_the_users_own);
    T_RUN(a_kill_while_naming_leaves_it_done_or_to_do);
    T_RUN(our_settings_win_over_the_users_files);
    T_RUN(the_hubs_parameters_win_over_sizes);
    T_RUN(a_start_that_fails_says_why_and_safe_mode_helps);
    return t_end();
}
