#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "pg/pg.h"
#include "t.h"

static struct pg_install of_15 = {.major = 15, .bin = "/usr/lib/postgresql/15/bin"};
static struct err e;

static const char *value(const struct pg_server *s, const char *name)
{
    static char text[100];
    const struct pg_setting *t = pg_setting_find(name, s->install->major);

    if (t == NULL)
        return "(none)";
    pg_setting_value(t, s, text, sizeof(text));
    return text;
}

/* The last word "name=..." counts, as for PostgreSQL; its value, or "(none)". */
static const char *given(const struct pg_words *w, const char *name)
{
    const char *found = "(none)";

    for (size_t i = 0; i < w->n; i++)
        if (str_starts(w->at[i], name) && w->at[i][strlen(name)] == '=')
            found = w->at[i] + strlen(name) + 1;
    return found;
}

static void every_setting_has_a_reason_and_a_value(void)
{
    struct pg_server s = {.install = &of_15};
    size_t n;
    const struct pg_setting *t = pg_settings(&n);

    T_OK(n > 30);
    for (size_t i = 0; i < n; i++) {
        char text[100];

        T_OK(t[i].reason[0] != '\0');
        pg_setting_value(&t[i], &s, text, sizeof(text));
        T_OK(t[i].value != NULL || text[0] != '\0');
        for (size_t j = 0; j < i; j++)
            T_OK(!str_is(t[i].name, t[j].name));
    }
}

static void sizes_follow_the_memory(void)
{
    struct pg_server s = {.install = &of_15, .memory = 512u << 20};

    T_STR(value(&s, "shared_buffers"), "32MB");
    T_STR(value(&s, "max_connections"), "100");
    s.memory = 64u << 20;
    T_STR(value(&s, "shared_buffers"), "16MB");
    T_STR(value(&s, "max_connections"), "20");
    s.memory = 64ull << 30;
    T_STR(value(&s, "shared_buffers"), "128MB");
    s.memory = 1;
    T_STR(value(&s, "effective_cache_size"), "32MB");
    s.memory = UINT64_MAX;
    T_STR(value(&s, "maintenance_work_mem"), "64MB");
}

static void wal_stays_below_a_quarter_of_the_volume(void)
{
    static const uint64_t capacities[] = {1u << 28, 1u << 29, 1u << 30, 5ull << 30, 1ull << 40};

    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        struct pg_server s = {.install = &of_15, .capacity = capacities[i]};
        uint64_t most = strtoull(value(&s, "max_wal_size"), NULL, 10);
        uint64_t least = strtoull(value(&s, "min_wal_size"), NULL, 10);

        T_OK(most << 20 <= capacities[i] / 4);
        T_OK(least >= 32 && least <= most);
        T_OK(most % 16 == 0 && least % 16 == 0);
    }
}

static void a_tiny_or_unknown_volume_still_gets_values_that_start(void)
{
    struct pg_server s = {.install = &of_15, .capacity = 1};

    T_STR(value(&s, "max_wal_size"), "32MB");
    s.capacity = 0;
    T_STR(value(&s, "max_wal_size"), "1024MB");
    s.capacity = UINT64_MAX;
    T_OK(strtoull(value(&s, "max_wal_size"), NULL, 10) <= 1024);
}

static void the_hub_changes_sizes_and_defaults_but_nothing_forced(void)
{
    static const struct pg_param fine[] = {{"shared_buffers", "64MB"}, {"auto_explain.x", "a b=c"}};
    static const struct pg_param wrong[] = {
        {"port", "1"}, {"PORT", "1"},      {"config_file", "/x"}, {"unix-socket-directories", "/x"},
        {"", "1"},     {"a b", "1"},       {"a=b", "1"},          {"1a", "1"},
        {".a", "1"},   {"work_mem\n", "1"}};
    struct pg_server s = {.install = &of_15, .params = fine, .param_n = 2};
    struct pg_words w = {0};

    T_EQ(pg_server_argv(&s, &w, &e), 0);
    T_STR(given(&w, "shared_buffers"), "64MB");
    T_STR(given(&w, "auto_explain.x"), "a b=c");
    pg_words_done(&w);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        s.params = &wrong[i];
        s.param_n = 1;
        e = (struct err){0};
        T_EQ(pg_server_argv(&s, &w, &e), -1);
        T_EQ(e.kind, ERR_CONFIG);
        T_EQ(w.n, 0);
    }
}

static void a_command_line_begins_with_the_program_and_the_data(void)
{
    struct pg_server s = {.install = &of_15, .memory = 512u << 20, .capacity = 1u << 30};
    struct pg_words w = {0};

    T_EQ(pg_server_argv(&s, &w, &e), 0);
    T_STR(w.at[0], "/usr/lib/postgresql/15/bin/postgres");
    T_STR(w.at[1], "-D");
    T_STR(w.at[2], PG_DATA);
    T_OK(w.at[w.n] == NULL);
    T_STR(given(&w, "listen_addresses"), "127.0.0.1,::1");
    T_STR(given(&w, "hba_file"), PG_HBA);
    T_STR(given(&w, "fsync"), "(none)");
    T_STR(given(&w, "jit"), "(none)");
    pg_words_done(&w);
}

static void only_the_building_of_a_template_goes_without_fsync(void)
{
    struct pg_server s = {.install = &of_15, .building = true};
    struct pg_words w = {0};

    T_EQ(pg_server_argv(&s, &w, &e), 0);
    T_STR(given(&w, "fsync"), "off");
    T_STR(given(&w, "listen_addresses"), "");
    pg_words_done(&w);
}

static void a_host_without_ip6_is_not_asked_for_it(void)
{
    struct pg_server s = {.install = &of_15, .ip4_only = true};
    struct pg_words w = {0};

    T_EQ(pg_server_argv(&s, &w, &e), 0);
    T_STR(given(&w, "listen_addresses"), "127.0.0.1");
    pg_words_done(&w);
}

static void settings_are_given_to_the_majors_that_know_them(void)
{
    struct pg_install of_18 = {.major = 18, .bin = "/x"}, of_13 = {.major = 13, .bin = "/x"};
    struct pg_server s = {.install = &of_18};
    AUTO_FREE char *conf_18 = NULL, *conf_13 = NULL;
    struct pg_words w = {0};

    T_EQ(pg_server_argv(&s, &w, &e), 0);
    T_STR(given(&w, "reserved_connections"), "0");
    T_STR(given(&w, "db_user_namespace"), "(none)");
    pg_words_done(&w);
    conf_18 = pg_conf_text(&s);
    T_OK(strstr(conf_18, "io_method = 'sync'") != NULL);
    s.install = &of_13;
    T_EQ(pg_server_argv(&s, &w, &e), 0);
    T_STR(given(&w, "reserved_connections"), "(none)");
    T_STR(given(&w, "db_user_namespace"), "off");
    pg_words_done(&w);
    conf_13 = pg_conf_text(&s);
    T_OK(strstr(conf_13, "io_method") == NULL);
    T_OK(strstr(conf_13, "recovery_init_sync_method") == NULL);
}

static void the_users_file_is_read_last_and_not_in_safe_mode(void)
{
    struct pg_server s = {.install = &of_15};
    AUTO_FREE char *usual = pg_conf_text(&s), *safe = NULL;
    const char *include = strstr(usual, "include_if_exists '" PG_DATA "/postgresql.conf'\n");

    T_OK(include != NULL && strchr(include, '\n')[1] == '\0');
    s.safe = true;
    safe = pg_conf_text(&s);
    T_OK(strstr(safe, "include") == NULL);
}

static void one_processor_gets_no_parallel_plans(void)
{
    struct pg_server s = {.install = &of_15, .cpus = 1};

    T_STR(value(&s, "max_parallel_workers_per_gather"), "0");
    s.cpus = 2;
    T_STR(value(&s, "max_parallel_workers_per_gather"), "1");
    s.cpus = UINT_MAX;
    T_STR(value(&s, "max_parallel_workers_per_gather"), "2");
}

static void the_environment_holds_nothing_of_ours(void)
{
    struct pg_words w = {0};

    T_EQ(setenv("SECRET", "x", 1), 0);
    pg_server_env(&of_15, &w);
    T_STR(given(&w, "SECRET"), "(none)");
    T_STR(given(&w, "NOTIFY_SOCKET"), PG_NOTIFY);
    T_STR(given(&w, "PG_OOM_ADJUST_VALUE"), "500");
    pg_words_done(&w);
}

static void a_template_has_a_name_fit_for_a_file(void)
{
    char name[64];

    T_STR(pg_template_name(name, sizeof(name), &of_15, 1u << 30, 1), "pg15-1073741824-1");
    T_STR(pg_template_name(name, sizeof(name), &of_15, UINT64_MAX, UINT_MAX),
          "pg15-18446744073709551615-4294967295");
}

static void a_template_is_initialized_with_checksums(void)
{
    struct pg_words w = {0};
    bool sums = false;

    T_EQ(pg_initdb_argv(&of_15, &w, &e), 0);
    T_STR(w.at[0], "/usr/lib/postgresql/15/bin/initdb");
    for (size_t i = 0; i < w.n; i++)
        sums |= str_is(w.at[i], "--data-checksums");
    T_OK(sums);
    pg_words_done(&w);
}

int main(void)
{
    T_RUN(every_setting_has_a_reason_and_a_value);
    T_RUN(sizes_follow_the_memory);
    T_RUN(wal_stays_below_a_quarter_of_the_volume);
    T_RUN(a_tiny_or_unknown_volume_still_gets_values_that_start);
    T_RUN(the_hub_changes_sizes_and_defaults_but_nothing_forced);
    T_RUN(a_command_line_begins_with_the_program_and_the_data);
    T_RUN(only_the_building_of_a_template_goes_without_fsync);
    T_RUN(a_host_without_ip6_is_not_asked_for_it);
    T_RUN(settings_are_given_to_the_majors_that_know_them);
    T_RUN(the_users_file_is_read_last_and_not_in_safe_mode);
    T_RUN(one_processor_gets_no_parallel_plans);
    T_RUN(the_environment_holds_nothing_of_ours);
    T_RUN(a_template_has_a_name_fit_for_a_file);
    T_RUN(a_template_is_initialized_with_checksums);
    return t_end();
}
