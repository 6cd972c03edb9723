#include "commands.h"

#include "cli/ask.h"
#include "cli/call.h"

static int delete_one(const struct cli *c, const char *volume, struct err *e)
{
    struct call_words w = {.at = {c->cmd->name}, .n = 1};

    call_words_add(&w, "volume", volume);
    if (cli_value(c, "yes") != NULL)
        call_words_add(&w, "yes", "1");
    return ask_then_call(c, &w, volume, "delete this volume", e);
}

static int delete_labelled(const struct cli *c, const char *label, struct err *e)
{
    struct call_words w;

    if (label[0] == '\0') /* -l "$UNSET" must not mean every volume there is */
        return err_set(e, ERR_INPUT, "the label is empty");
    call_words_of(&w, c);
    return ask_then_call(c, &w, label, "delete these volumes", e);
}

static int run(struct cli *c, struct err *e)
{
    const char *first = cli_value(c, "volume"), *label = cli_value(c, "label");
    int r;

    if ((first == NULL) == (label == NULL)) {
        (void)err_set(e, ERR_INPUT, "volumes are deleted either by name or by label");
        return err_hint(e, "dorm volume delete VOLUME ..., or: dorm volume delete -l LABEL");
    }
    if (label != NULL)
        return delete_labelled(c, label, e);
    r = delete_one(c, first, e);
    for (size_t i = 0; i < c->more_n && r == 0; i++)
        r = delete_one(c, c->more[i], e);
    return r;
}

const struct cmd cmd_volume_delete = {
    .name = "volume delete",
    .summary = "delete volumes; dorm undo brings each back for a while",
    .help = "Each is asked for by itself. When one cannot be deleted, those after it stay.",
    .example = "dorm volume delete postgres-alice\ndorm volume delete -l component=extra-pvc --yes",
    .args = (const struct cmd_arg[]){{"VOLUME", "volume", true}, {0}},
    .many = true,
    .options = (const struct cmd_option[]){{"label", 'l', "LABEL", "label",
                                            "all that bear it: component=extra-pvc"},
                                           {"yes", 0, NULL, "yes", "do not ask"},
                                           {0}},
    .run = run,
};
