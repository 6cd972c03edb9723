#include "commands.h"

#include <stdio.h>

static int run(struct cli *c, struct err *e)
{
    (void)c;
    (void)e;
    (void)printf("dorm %s\n", DORM_VERSION);
    return 0;
}

const struct cmd cmd_version = {
    .name = "version",
    .summary = "the version of dorm",
    .example = "dorm version",
    .run = run,
};
