#include "commands.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/hub.h"

/*
 * Whom to log in as. A server that nobody has would ask for a password, as the gate tells no
 * stranger who exists. Here dormd may know better: a server's name, or what people log in as,
 * "alice.reader" and "alice~old" included. What it may not tell us the gate decides.
 */
static int who(const struct cli *c, const char *name, char **ret_who, struct err *e)
{
    AUTO_FREE char *login = mem_copy(name), *owner = NULL;
    struct call_words server = {.at = {"server show"}, .n = 1};
    struct call_words user = {.at = {"user show"}, .n = 1};
    struct err unused;

    call_words_add(&server, "name", name);
    if (call_value(c, &server, "owner", &owner, e) == 0) {
        /* only their own has their name */
        *ret_who = str_is(owner, name) ? mem_copy(name) : mem_printf("%s~%s", owner, name);
        return 0;
    }
    *ret_who = mem_copy(name);
    if (e->kind == ERR_DENIED)
        return 0;
    if (e->kind != ERR_NOT_FOUND)
        return -1;
    login[strcspn(login, strchr(login, '@') == NULL ? ".~" : "~")] = '\0';
    call_words_add(&user, "login", login);
    return call_unseen(c, &user, &unused);
}

static int run(struct cli *c, struct err *e)
{
    char state[HUB_PATH], run_dir[HUB_PATH];
    AUTO_FREE char *login = NULL;
    AUTO_FREE const char **argv = mem_new(((size_t)c->rest_n + 10) * sizeof(*argv));
    int n = 0;

    if (hub_state(c, state, e) < 0 || who(c, cli_value(c, "name"), &login, e) < 0 ||
        hub_run_dir(state, run_dir, e) < 0)
        return -1;
    argv[n++] = "psql";
    argv[n++] = "-h";
    argv[n++] = run_dir;
    argv[n++] = "-p";
    argv[n++] = "5432"; /* there, whatever port the network sees */
    argv[n++] = "-U";
    argv[n++] = login;
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
