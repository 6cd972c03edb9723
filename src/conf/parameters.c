/* Which PostgreSQL settings a hub file may set. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#include "conf-int.h"

static const char *const ours[] = {
    "cluster_name",
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "listen_addresses",
    "log_destination",
    "logging_collector",
    "port",
    "ssl",
    "unix_socket_directories",
    "unix_socket_permissions",
};
/* In postgresql.conf these are no settings: they read other files. */
static const char *const directives[] = {"include", "include_dir", "include_if_exists"};

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(names[i], name))
            return true;
    return false;
}

int conf_parameter_name(const char *name, char why[VALUE_WHY])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.";
    char lower[64] = "";
    size_t n = strlen(name);

    for (size_t i = 0; i < n && n < sizeof(lower); i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    if (lower[0] == '\0' || isdigit((unsigned char)lower[0]) || lower[0] == '.' ||
        strspn(lower, allowed) != n) {
        (void)snprintf(why, VALUE_WHY, "is not the name of a PostgreSQL setting");
        return -1;
    }
    if (!str_is(lower, name)) {
        (void)snprintf(why, VALUE_WHY, "is not the name of a PostgreSQL setting; did you mean %s?",
                       lower);
        return -1;
    }
    if (is_one_of(name, ours, sizeof(ours) / sizeof(ours[0]))) {
        (void)snprintf(why, VALUE_WHY, "cannot be set here: Dormouse sets it");
        return -1;
    }
    if (is_one_of(name, directives, sizeof(directives) / sizeof(directives[0]))) {
        (void)snprintf(why, VALUE_WHY, "is a directive, not a PostgreSQL setting");
        return -1;
    }
    return 0;
}
