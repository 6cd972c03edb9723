#include "commands.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/hub.h"

/* The gate's socket is named by its port, which need not be the one of the hub file. */
static int find_port(const char *run_dir, uint64_t *ret_port, struct err *e)
{
    AUTO_CLOSEDIR DIR *dir = opendir(run_dir);
    const struct dirent *entry;

    if (dir == NULL)
        return err_set_os(e, errno, "could not look into \"%s\"", run_dir);
    while ((entry = readdir(dir)) != NULL)
        if (str_starts(entry->d_name, ".s.PGSQL.") &&
            str_u64(entry->d_name + sizeof(".s.PGSQL.") - 1, ret_port))
            return 0;
    (void)err_set(e, ERR_MISSING, "the gate of hub at %s does not listen", run_dir);
    return err_hint(e, "see: dorm status");
}

static int run(struct cli *c, struct err *e)
{
    char state[HUB_PATH], run_dir[HUB_PATH], port_text[24];
    AUTO_CLOSE int fd = -1;
    AUTO_FREE const char **argv = mem_new(((size_t)c->rest_n + 10) * sizeof(*argv));
    uint64_t port = 0;
    int n = 0;

    if (hub_state(c, state, e) < 0 || hub_connect(c, &fd, e) < 0 ||
        hub_run_dir(state, run_dir, e) < 0 || find_port(run_dir, &port, e) < 0)
        return -1;
    (void)snprintf(port_text, sizeof(port_text), "%llu", (unsigned long long)port);
    argv[n++] = "psql";
    argv[n++] = "-h";
    argv[n++] = run_dir;
    argv[n++] = "-p";
    argv[n++] = port_text;
    argv[n++] = "-U";
    argv[n++] = cli_value(c, "name");
    for (int i = 0; i < c->rest_n; i++)
        argv[n++] = c->rest[i];
    (void)execvp("psql", (char *const *)(uintptr_t)argv);
    (void)err_set_os(e, errno, "could not start psql");
    return err_hint(e, "apt install postgresql-client");
}

const struct cmd cmd_server_psql = {
    .name = "server psql",
    .summary = "open psql on a server, through the socket on this machine",
    .example = "dorm server psql alice\ndorm server psql alice -c 'select version()'",
    .args = (const struct cmd_arg[]){{"SERVER", "name", false}, {0}},
    .rest = "ARG",
    .run = run,
};
