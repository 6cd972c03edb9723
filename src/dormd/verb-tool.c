/* What `dorm server shell` and `dorm server run` ask for. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/units.h"
#include "dormd/control.h"
#include "dormd/people.h"
#include "dormd/tools.h"

#define WORD_END '\x1f'
#define MIB      (UINT64_C(1) << 20)

enum { WORDS_MOST = 4096, TERM_MOST = 40, MEMORY_LEAST_MIB = 64, PIDS_LEAST = 32 };

static bool find(struct call *c, struct store_account *ret)
{
    const char *name = call_need(c, "name");
    struct err e;

    if (name == NULL)
        return false;
    if (people_server(c->hub, name, ret, &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    if (ret->user.disabled) {
        (void)err_set(&e, ERR_DENIED, "user \"%s\" is disabled", ret->user.login);
        (void)err_hint(&e, "dorm user enable %s", ret->user.login);
        call_fail(c, &e);
        return false;
    }
    return true;
}

/* Beside a server that may be busy to its limit: half of it, the same processors. */
static void describe(const struct hub *h, const struct store_account *a, struct tool_spec *ret)
{
    const struct conf_server *conf = &h->conf->server;
    uint64_t half = conf->limits.memory / 2;

    *ret = (struct tool_spec){
        .server = a->server.id,
        .name = a->server.name,
        .login = a->user.login,
        .superuser = a->server.superuser,
        .major = (uint32_t)a->server.image,
        .uid = a->user.uid,
        .memory = half < MEMORY_LEAST_MIB * MIB ? MEMORY_LEAST_MIB * MIB : half,
        .cpu_milli = conf->limits.cpu_milli,
        .weight_milli = conf->requests.cpu_milli,
        .pids = conf->limits.pids / 2 < PIDS_LEAST ? PIDS_LEAST : conf->limits.pids / 2,
    };
}

static void answer(struct call *c, int r, const struct err *e)
{
    if (r < 0)
        call_fail(c, e);
}

static bool is_term(const char *term)
{
    size_t n = strspn(term, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_");

    return n > 0 && n <= TERM_MOST && term[n] == '\0';
}

static uint16_t size_arg(const struct call *c, const char *key)
{
    const char *text = call_arg(c, key);
    uint64_t n;

    return text != NULL && str_u64(text, &n) && n <= UINT16_MAX ? (uint16_t)n : 0;
}

static void server_shell(struct call *c)
{
    const char *term = call_arg(c, "term");
    struct store_account a;
    struct tool_spec spec;
    struct err e;

    if (!find(c, &a))
        return;
    describe(c->hub, &a, &spec);
    spec.term = term != NULL && is_term(term) ? term : "dumb";
    spec.rows = size_arg(c, "rows");
    spec.columns = size_arg(c, "columns");
    answer(c, tools_start(c, &spec, 0, &e), &e);
}

/* "ls\x1f-l" in place; ret ends with NULL. NULL: they are too many. */
static const char **split(char *words)
{
    const char **argv = mem_new((WORDS_MOST + 1) * sizeof(*argv));
    size_t n = 0;

    while (words != NULL && n < WORDS_MOST) {
        char *end = strchr(words, WORD_END);

        argv[n++] = words;
        if (end != NULL)
            *end++ = '\0';
        words = end;
    }
    argv[n] = NULL;
    if (words == NULL)
        return argv;
    free(argv);
    return NULL;
}

static void server_run(struct call *c)
{
    const char *words = call_need(c, "command"), *limit = call_arg(c, "timeout");
    AUTO_FREE char *copy = words == NULL ? NULL : mem_copy(words);
    AUTO_FREE const char **argv = NULL;
    struct store_account a;
    struct tool_spec spec;
    char why[UNITS_WHY];
    uint64_t limit_ms = 0;
    struct err e;

    if (copy == NULL || !find(c, &a))
        return;
    if (limit != NULL && units_duration(limit, &limit_ms, why) < 0) {
        (void)err_set(&e, ERR_INPUT, "the timeout %s", why);
        call_fail(c, &e);
        return;
    }
    argv = split(copy);
    if (argv == NULL) {
        (void)err_set(&e, ERR_INPUT, "the command has more than %d words", WORDS_MOST);
        call_fail(c, &e);
        return;
    }
    describe(c->hub, &a, &spec);
    spec.argv = argv;
    answer(c, tools_start(c, &spec, limit_ms, &e), &e);
}

static void server_rejoin(struct call *c)
{
    const char *tool = call_need(c, "tool");
    struct store_account a;
    struct err e;

    if (tool == NULL || !find(c, &a))
        return;
    answer(c, tools_rejoin(c, a.server.id, tool, &e), &e);
}

const struct verb verbs_tool[] = {
    {"server shell", VERB_SELF, server_shell},
    {"server run", VERB_SELF, server_run},
    {"server rejoin", VERB_SELF, server_rejoin},
    {NULL, VERB_ROOT, NULL},
};
