#include "commands.h"

#include <errno.h>
#include <stdio.h>

#include "base/auto.h"
#include "cli/call.h"
#include "cli/hub.h"
#include "cli/start.h"
#include "conf/conf.h"

static int report(const struct conf_problems *problems, struct err *e)
{
    for (unsigned i = 0; i < problems->n; i++)
        (void)fprintf(stderr, "%s\n", problems->at[i].text); /* fit to print already */
    if (problems->full)
        (void)fprintf(stderr, "(there may be more)\n");
    return problems->n == 0 ? -1 : err_set(e, ERR_CONFIG, "the hub file is not usable as it is");
}

/* dormd knows PostgreSQL: let it ask. It prints what it hears. */
static int check_parameters(const struct cli *c, const struct conf *conf, const char *path,
                            struct err *e)
{
    AUTO_FREE char *dormd = NULL;
    const char *argv[] = {"dormd", "--check", path, NULL};
    struct err why;
    int code;

    if (conf->server.parameter_n == 0)
        return 0;
    if (start_find_dormd(&dormd, &why) < 0) {
        (void)err_prefix(&why, "the PostgreSQL settings were not checked");
        call_remark(c, why.msg);
        return 0;
    }
    code = start_and_wait(dormd, argv, e);
    if (code < 0)
        return -1;
    return code == 0 ? 0 : err_set(e, ERR_CONFIG, "the hub file is not usable as it is");
}

static int run(struct cli *c, struct err *e)
{
    static struct conf_problems problems; /* large */
    const char *path = cli_value(c, "file");
    char state[HUB_PATH], place[HUB_PATH + 16];
    struct conf *conf = NULL;
    int r;

    if (hub_state(c, state, e) < 0)
        return -1;
    (void)snprintf(place, sizeof(place), "%s/hub.yaml",
                   hub_is_default(state) ? "/etc/dormouse" : state);
    if (conf_load(path == NULL ? place : path, &conf, &problems, e) < 0) {
        if (path != NULL || e->os_errno != ENOENT)
            return report(&problems, e);
        (void)printf("there is no %s: every default holds\n", place);
        return 0;
    }
    if (path == NULL)
        path = place;
    r = check_parameters(c, conf, path, e);
    if (r == 0)
        (void)printf("%s is a valid hub file\n", path);
    conf_free(conf);
    return r;
}

const struct cmd cmd_config_check = {
    .name = "config check",
    .summary = "read a hub file and report all that is wrong with it; the hub need not run",
    .help = "PostgreSQL settings are put before the PostgreSQL that new servers would get.",
    .example = "dorm config check\ndorm config check ./hub.yaml",
    .args = (const struct cmd_arg[]){{"FILE", "file", true}, {0}},
    .run = run,
};
