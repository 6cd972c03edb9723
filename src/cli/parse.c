/* From argv to an invocation. Whatever does not fit is answered with what was probably meant. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

enum { NAMES = 64, WORD = 64 };

const struct cmd_option global_options[] = {
    {"state", 0, "DIR", "state", "the hub's state directory (or DORM_STATE; /var/lib/dormouse)"},
    {"output", 'o', "FORM", "output", "table, json or name"},
    {"quiet", 'q', NULL, "quiet", "no remarks, no progress"},
    {"help", 'h', NULL, "help", "this text"},
    {"version", 0, NULL, "version", "the version of dorm"},
    {0},
};

static const char *shown(char at[WORD], const char *word)
{
    return str_show(at, WORD, word, strlen(word));
}

/* Commands have short names: the cut is never reached. */
static const char *first_word(char at[WORD], const char *name)
{
    (void)snprintf(at, WORD, "%.*s", (int)strcspn(name, " "), name);
    return at;
}

static bool in_group(const char *name, const char *group)
{
    size_t n = strlen(group);

    return strncmp(name, group, n) == 0 && name[n] == ' ';
}

/* "user" alone, or with something after it that is none of its commands. */
static int no_such_in_group(const char *group, const char *word, struct err *e)
{
    const char *names[NAMES], *nearest;
    char all[WORD * 4] = "", typed[WORD];
    size_t n = 0;

    for (size_t i = 0; i < command_n && n < NAMES; i++) {
        const char *name = commands[i]->name;
        size_t used = strlen(all);

        if (!in_group(name, group))
            continue;
        names[n] = name + strlen(group) + 1;
        (void)snprintf(all + used, sizeof(all) - used, "%s%s", n == 0 ? "" : ", ", names[n]);
        n++;
    }
    if (word == NULL)
        (void)err_set(e, ERR_INPUT, "\"%s\" needs a command after it", group);
    else
        (void)err_set(e, ERR_INPUT, "unrecognized command \"%s %s\"", group, shown(typed, word));
    nearest = word == NULL ? NULL : str_nearest(word, names, n);
    if (nearest != NULL)
        return err_hint(e, "did you mean: dorm %s %s", group, nearest);
    return err_hint(e, "one of: %s", all);
}

static int no_such(const char *word, struct err *e)
{
    const char *names[NAMES], *nearest;
    char firsts[NAMES][WORD], typed[WORD];
    size_t n = command_n < NAMES ? command_n : NAMES;

    for (size_t i = 0; i < n; i++)
        names[i] = first_word(firsts[i], commands[i]->name);
    nearest = str_nearest(word, names, n);
    (void)err_set(e, ERR_INPUT, "unrecognized command \"%s\"", shown(typed, word));
    if (nearest != NULL)
        return err_hint(e, "did you mean: dorm %s", nearest);
    return err_hint(e, "all commands: dorm --help");
}

bool cli_is_group(const char *word)
{
    for (size_t i = 0; i < command_n; i++)
        if (in_group(commands[i]->name, word))
            return true;
    return false;
}

const struct cmd *cli_find(int argc, const char *const *argv, int *ret_words, struct err *e)
{
    bool group = false;

    for (size_t i = 0; i < command_n; i++) {
        const char *name = commands[i]->name, *space = strchr(name, ' ');
        size_t first = space == NULL ? strlen(name) : (size_t)(space - name);

        if (strlen(argv[0]) != first || strncmp(argv[0], name, first) != 0)
            continue;
        if (space == NULL || (argc > 1 && str_is(argv[1], space + 1))) {
            *ret_words = space == NULL ? 1 : 2;
            return commands[i];
        }
        group = true;
    }
    if (group)
        (void)no_such_in_group(argv[0], argc > 1 && argv[1][0] != '-' ? argv[1] : NULL, e);
    else
        (void)no_such(argv[0], e);
    return NULL;
}

static const struct cmd_option no_options[] = {{0}};

static const struct cmd_option *own_options(const struct cli *c)
{
    return c->cmd == NULL || c->cmd->options == NULL ? no_options : c->cmd->options;
}

static size_t options_count(const struct cmd_option *options)
{
    size_t n = 0;

    while (options[n].name != NULL)
        n++;
    return n;
}

static int no_such_option(const struct cli *c, const char *word, struct err *e)
{
    const struct cmd_option *own = own_options(c);
    const char *names[NAMES], *nearest, *command = c->cmd == NULL ? "" : c->cmd->name;
    const char *space = c->cmd == NULL ? "" : " ";
    char typed[WORD], bare[WORD];
    size_t n = 0;

    for (size_t i = 0; i < options_count(own); i++)
        names[n++] = own[i].name;
    for (size_t i = 0; i < options_count(global_options); i++)
        names[n++] = global_options[i].name;
    (void)shown(bare, word + strspn(word, "-"));
    bare[strcspn(bare, "=")] = '\0';
    nearest = word[1] == '-' ? str_nearest(bare, names, n) : NULL;
    (void)err_set(e, ERR_INPUT, "unrecognized option \"%s\"", shown(typed, word));
    if (nearest != NULL)
        return err_hint(e, "did you mean: --%s", nearest);
    return err_hint(e, "its options: dorm %s%s--help", command, space);
}

/* The option that word names, in one list; *ret_value is what is attached to it. */
static const struct cmd_option *match(const struct cmd_option *options, const char *word,
                                      const char **ret_value)
{
    for (size_t i = 0; i < options_count(options); i++) {
        const struct cmd_option *o = &options[i];
        size_t n = strlen(o->name);

        *ret_value = NULL;
        if (word[1] == '-' && strncmp(word + 2, o->name, n) == 0 &&
            (word[2 + n] == '\0' || (word[2 + n] == '=' && o->value != NULL))) {
            *ret_value = word[2 + n] == '=' ? word + 3 + n : NULL;
            return o;
        }
        if (o->letter != 0 && word[1] == o->letter && (word[2] == '\0' || o->value != NULL)) {
            *ret_value = word[2] == '\0' ? NULL : word + 2;
            return o;
        }
    }
    return NULL;
}

static int set_output(struct cli *c, const char *word, struct err *e)
{
    static const char *const forms[] = {"table", "json", "name"};
    char typed[WORD];

    for (int i = 0; i < 3; i++)
        if (str_is(word, forms[i])) {
            c->output = (enum cli_output)i;
            return 0;
        }
    (void)err_set(e, ERR_INPUT, "\"%s\" is not a form of output", shown(typed, word));
    return err_hint(e, "table, json or name");
}

static int set_global(struct cli *c, const char *name, const char *value, struct err *e)
{
    if (str_is(name, "output"))
        return set_output(c, value, e);
    if (str_is(name, "state") && value[0] == '\0') /* --state "$UNSET" must not mean another hub */
        return err_set(e, ERR_INPUT, "--state needs a directory");
    if (str_is(name, "state"))
        c->state = value;
    c->quiet = c->quiet || str_is(name, "quiet");
    c->help = c->help || str_is(name, "help");
    c->version = c->version || str_is(name, "version");
    return 0;
}

/* How many words it took, or -1. */
static int parse_option(struct cli *c, int argc, const char *const *argv, struct err *e)
{
    const struct cmd_option *own = own_options(c), *o;
    const char *value;
    int words = 1;
    bool global = false;

    o = match(own, argv[0], &value);
    if (o == NULL) {
        o = match(global_options, argv[0], &value);
        global = true;
    }
    if (o == NULL)
        return no_such_option(c, argv[0], e);
    if (o->value == NULL) {
        value = "1";
    } else if (value == NULL) {
        if (argc < 2)
            return err_set(e, ERR_INPUT, "option --%s needs %s after it", o->name, o->value);
        value = argv[1];
        words = 2;
    }
    if (global)
        return set_global(c, o->name, value, e) < 0 ? -1 : words;
    c->options[o - own] = value;
    return words;
}

static int missing(const struct cli *c, const struct cmd_arg *arg, struct err *e)
{
    (void)err_set(e, ERR_INPUT, "%s is missing", arg->name);
    return err_hint(e, "for example: %.*s", (int)strcspn(c->cmd->example, "\n"), c->cmd->example);
}

static int one_too_many(const struct cli *c, const char *word, struct err *e)
{
    char typed[WORD];

    (void)err_set(e, ERR_INPUT, "\"%s\" is one argument too many", shown(typed, word));
    return err_hint(e, "see: dorm %s --help", c->cmd->name);
}

/* Everything after the command's words. */
static int parse_words(struct cli *c, int argc, const char *const *argv, struct err *e)
{
    const struct cmd_arg *args = c->cmd->args;
    size_t given = 0;
    bool literal = false;

    for (int i = 0; i < argc; i++) {
        if (c->cmd->rest != NULL && args[given].name == NULL) {
            i += str_is(argv[i], "--"); /* ours, not the other program's */
            c->rest = argv + i;
            c->rest_n = argc - i;
            return 0;
        }
        if (!literal && argv[i][0] == '-' && argv[i][1] != '\0') {
            int words = 1;

            literal = str_is(argv[i], "--");
            if (!literal && (words = parse_option(c, argc - i, argv + i, e)) < 0)
                return -1;
            i += words - 1;
        } else if (args != NULL && args[given].name != NULL) {
            c->args[given++] = argv[i];
        } else if (c->cmd->many && c->more_n < CLI_MORE) {
            c->more[c->more_n++] = argv[i];
        } else {
            return one_too_many(c, argv[i], e);
        }
    }
    if (!c->help && args != NULL && args[given].name != NULL && !args[given].optional)
        return missing(c, &args[given], e);
    return 0;
}

int cli_parse(struct cli *c, int argc, const char *const *argv, struct err *e)
{
    int words;

    *c = (struct cli){.cmd = NULL};
    while (argc > 0 && argv[0][0] == '-') {
        words = parse_option(c, argc, argv, e);
        if (words < 0)
            return -1;
        argc -= words;
        argv += words;
    }
    if (argc == 0)
        return 0;
    if (argc == 2 && (str_is(argv[1], "--help") || str_is(argv[1], "-h")) &&
        cli_is_group(argv[0])) {
        c->group = argv[0];
        c->help = true;
        return 0;
    }
    c->cmd = cli_find(argc, argv, &words, e);
    return c->cmd == NULL ? -1 : parse_words(c, argc - words, argv + words, e);
}

const char *cli_value(const struct cli *c, const char *key)
{
    for (size_t i = 0; c->cmd->args != NULL && c->cmd->args[i].name != NULL; i++)
        if (str_is(c->cmd->args[i].key, key))
            return c->args[i];
    for (size_t i = 0; i < options_count(own_options(c)); i++)
        if (str_is(c->cmd->options[i].key, key))
            return c->options[i];
    return NULL;
}
