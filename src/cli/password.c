#include "password.h"

#include <string.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/call.h"
#include "cli/cli.h"

int call_with_password(struct cli *c, struct err *e)
{
    char password[ASK_PASSWORD];
    struct call_words w;
    int r = 0;

    call_words_of(&w, c);
    for (size_t i = 1; i + 1 < w.n && r == 0; i += 2) {
        if (!str_is(w.at[i], "password"))
            continue;
        if (!str_is(w.at[i + 1], "-")) {
            (void)err_set(e, ERR_INPUT, "a password on the command line can be read by others");
            r = err_hint(e, "--password - asks for it, or reads it from standard input");
        } else {
            r = ask_password(password, e);
            w.at[i + 1] = password;
        }
    }
    if (r == 0)
        r = call_dormd(c, &w, CALL_ENDS_DONE, e);
    explicit_bzero(password, sizeof(password));
    return r;
}
