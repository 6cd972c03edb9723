#include "restart.h"

#include <stdlib.h>

#include "base/auto.h"
#include "base/str.h"
#include "cli/call.h"
#include "cli/start.h"

int restart_dormd(const struct cli *c, const char *state, struct err *e)
{
    struct call_words w = {.at = {"restart"}, .n = 1};

    if (start_by_unit(state))
        return start_again(c, state, e);
    if (call_dormd(c, &w, CALL_ENDS_GONE, e) < 0 && e->kind != ERR_MISSING)
        return -1;
    return start_again(c, state, e);
}

int restart_gate(const struct cli *c, struct err *e)
{
    struct call_words w = {.at = {"restart"}, .n = 1};

    call_words_add(&w, "gate", "1");
    return call_dormd(c, &w, CALL_ENDS_DONE, e);
}

/* A dormd that does not know the question is from before there was an answer. */
static bool is_outdated(const struct cli *c, const char *program)
{
    struct call_words w = {.at = {"programs"}, .n = 1};
    AUTO_FREE char *value = NULL;
    struct err ignored;

    return call_value(c, &w, program, &value, &ignored) == 0 && str_is(value, "another");
}

int restart_outdated(const struct cli *c, const char *state, struct err *e)
{
    bool dormd = is_outdated(c, "dormd"), gate = is_outdated(c, "gate");

    if (dormd) {
        call_remark(c, "another dormd is installed than runs: it takes over, servers stay");
        if (restart_dormd(c, state, e) < 0)
            return -1;
    }
    if (!gate)
        return 0;
    call_remark(c, "another gate is installed than runs: it takes over, sessions stay");
    return restart_gate(c, e);
}
