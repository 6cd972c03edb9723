#include "parameters.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "pg/params.h"

enum { PATIENCE_MS = 20000 };

struct faults {
    const struct conf *conf;
    struct conf_problems *all;
};

static void one_fault(void *owner, size_t i, enum pg_fault fault, const char *why)
{
    const struct faults *f = owner;

    conf_blame(f->conf, &f->conf->server.parameters[i],
               fault == PG_FAULT_NAME ? CONF_BLAME_NAME : CONF_BLAME_VALUE, why, f->all);
}

static int ask(const struct conf *c, struct conf_problems *all, struct err *e)
{
    const struct conf_server *server = &c->server;
    AUTO_FREE struct pg_param *params = mem_new((server->parameter_n + 1) * sizeof(*params));
    struct pg_install install;
    char image[32] = "postgres";

    if (server->image_major != 0)
        (void)snprintf(image, sizeof(image), "postgres:%u", server->image_major);
    if (pg_find("", image, &install, e) < 0)
        return -1;
    for (size_t i = 0; i < server->parameter_n; i++)
        params[i] = (struct pg_param){server->parameters[i].name, server->parameters[i].value};
    return pg_params_check(&install, params, server->parameter_n, clock_ms() + PATIENCE_MS,
                           one_fault, &(struct faults){c, all}, e);
}

int parameters_check(const struct conf *c, struct conf_problems *all, struct err *e)
{
    struct err why;
    int asked;

    *all = (struct conf_problems){0};
    if (c->server.parameter_n == 0)
        return 0;
    asked = ask(c, all, &why);
    if (conf_blame_end(c, all, e) < 0)
        return -1;
    if (asked == 0)
        return 0;
    *e = why;
    (void)err_prefix(e, "the PostgreSQL settings in %s were not checked", c->file);
    return 1;
}

static void print_problems(const struct conf_problems *all, unsigned from)
{
    for (unsigned i = from; i < all->n; i++)
        (void)fprintf(stderr, "%s\n", all->at[i].text); /* fit to print already */
    if (all->full)
        (void)fprintf(stderr, "(there may be more)\n");
}

int parameters_check_file(const char *path)
{
    static struct conf_problems all; /* large */
    struct conf *conf = NULL;
    struct err e;
    int r;

    if (conf_load(path, &conf, &all, &e) < 0) {
        print_problems(&all, 0);
        if (all.n == 0)
            (void)fprintf(stderr, "%s\n", e.msg);
        return err_exit(e.kind);
    }
    r = parameters_check(conf, &all, &e);
    conf_free(conf);
    print_problems(&all, 0);
    if (r == 1)
        (void)fprintf(stderr, "%s%s%s\n", e.msg, e.hint[0] == '\0' ? "" : "\nhint: ", e.hint);
    return r < 0 ? err_exit(e.kind) : 0;
}
