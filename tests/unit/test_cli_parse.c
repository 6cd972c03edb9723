/* The command line: what it is read as, and what is said when it cannot be. */
#include "base/buf.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/help.h"
#include "t.h"

static struct cli c;
static struct err e;

#define PARSE(...)                                    \
    t_parse((const char *const[]){__VA_ARGS__, NULL}, \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
static int t_parse(const char *const *argv, size_t n)
{
    static const char *kept[16]; /* what is parsed points into it */

    for (size_t i = 0; i < n; i++)
        kept[i] = argv[i];
    e = (struct err){.kind = ERR_NONE};
    return cli_parse(&c, (int)n, kept, &e);
}

static void a_command_of_two_words_with_its_arguments(void)
{
    T_EQ(PARSE("user", "add", "alice", "--role", "admin", "--email=a@b", "-o", "json", "-q"), 0);
    T_STR(c.cmd->name, "user add");
    T_STR(cli_value(&c, "login"), "alice");
    T_STR(cli_value(&c, "role"), "admin");
    T_STR(cli_value(&c, "email"), "a@b");
    T_OK(cli_value(&c, "password") == NULL);
    T_EQ(c.output, CLI_JSON);
    T_OK(c.quiet);
}

static void options_may_stand_anywhere(void)
{
    T_EQ(PARSE("--state", "/x", "user", "remove", "--yes", "bob", "-oname"), 0);
    T_STR(c.cmd->name, "user remove");
    T_STR(c.state, "/x");
    T_STR(cli_value(&c, "login"), "bob");
    T_STR(cli_value(&c, "yes"), "1");
    T_EQ(c.output, CLI_NAME);
    T_EQ(PARSE("purge", "--yes", "it"), 0);
    T_STR(cli_value(&c, "name"), "it");
}

static void nothing_after_two_dashes_is_an_option(void)
{
    T_EQ(PARSE("user", "show", "--", "--yes"), 0);
    T_STR(cli_value(&c, "login"), "--yes");
    T_EQ(PARSE("user", "passwd", "alice", "--password", "-"), 0);
    T_STR(cli_value(&c, "password"), "-");
}

static void what_follows_the_server_goes_to_psql_untouched(void)
{
    T_EQ(PARSE("server", "psql", "-q", "alice", "-c", "select 1", "--help"), 0);
    T_STR(cli_value(&c, "name"), "alice");
    T_OK(c.quiet && !c.help);
    T_EQ(c.rest_n, 3);
    T_STR(c.rest[2], "--help");
    T_EQ(PARSE("server", "psql", "alice", "--", "-c", "--"), 0);
    T_EQ(c.rest_n, 2);
    T_STR(c.rest[0], "-c");
    T_EQ(PARSE("server", "psql", "alice"), 0);
    T_EQ(c.rest_n, 0);
}

static void a_misspelt_command_is_answered_with_the_nearest(void)
{
    T_EQ(PARSE("statsu"), -1);
    T_EQ(err_exit(e.kind), 64);
    T_STR(e.msg, "unrecognized command \"statsu\"");
    T_STR(e.hint, "did you mean: dorm status");
    T_EQ(PARSE("usr", "add"), -1);
    T_STR(e.hint, "did you mean: dorm user");
    T_EQ(PARSE("user", "lst"), -1);
    T_STR(e.msg, "unrecognized command \"user lst\"");
    T_STR(e.hint, "did you mean: dorm user list");
    T_EQ(PARSE("frobnicate"), -1);
    T_STR(e.hint, "all commands: dorm --help");
    T_EQ(PARSE("\x1b[2J"), -1);
    T_STR(e.msg, "unrecognized command \"\\x1b[2J\"");
}

static void a_group_alone_names_its_commands(void)
{
    T_EQ(PARSE("config"), -1);
    T_STR(e.msg, "\"config\" needs a command after it");
    T_STR(e.hint, "one of: check, show");
    T_EQ(PARSE("user", "--yes"), -1);
    T_OK(str_starts(e.hint, "one of: add, list, "));
}

static void a_misspelt_option_is_answered_with_the_nearest(void)
{
    T_EQ(PARSE("user", "add", "alice", "--rloe", "admin"), -1);
    T_EQ(err_exit(e.kind), 64);
    T_STR(e.msg, "unrecognized option \"--rloe\"");
    T_STR(e.hint, "did you mean: --role");
    T_EQ(PARSE("status", "--ouptut=json"), -1);
    T_STR(e.hint, "did you mean: --output");
    T_EQ(PARSE("status", "-x"), -1);
    T_STR(e.hint, "its options: dorm status --help");
    T_EQ(PARSE("user", "remove", "alice", "--yes=1"), -1); /* a switch takes nothing */
    T_EQ(PARSE("status", "-qx"), -1);
}

static void what_is_missing_or_too_much_is_named(void)
{
    T_EQ(PARSE("user", "show"), -1);
    T_STR(e.msg, "LOGIN is missing");
    T_STR(e.hint, "for example: dorm user show alice");
    T_EQ(PARSE("user", "show", "alice", "bob"), -1);
    T_STR(e.msg, "\"bob\" is one argument too many");
    T_EQ(PARSE("status", "now"), -1);
    T_EQ(PARSE("user", "add", "alice", "--role"), -1);
    T_STR(e.msg, "option --role needs ROLE after it");
    T_EQ(PARSE("status", "-o", "xml"), -1);
    T_STR(e.hint, "table, json or name");
}

static void help_is_given_before_anything_is_missed(void)
{
    T_EQ(PARSE("user", "show", "--help"), 0);
    T_OK(c.help);
    T_STR(c.cmd->name, "user show");
    T_EQ(PARSE("-h"), 0);
    T_OK(c.help && c.cmd == NULL);
    T_EQ(PARSE("--version"), 0);
    T_OK(c.version);
    T_EQ(t_parse(NULL, 0), 0);
    T_OK(c.cmd == NULL && !c.help);
}

static char *text_of(struct buf *b)
{
    T_OK(buf_put_u8(b, '\0'));
    return (char *)buf_data(b);
}

static void every_command_has_help_with_an_example(void)
{
    for (size_t i = 0; i < command_n; i++) {
        const struct cmd *cmd = commands[i];
        struct buf b;
        const char *text;
        size_t args = 0, options = 0;

        while (cmd->args != NULL && cmd->args[args].name != NULL)
            args++;
        while (cmd->options != NULL && cmd->options[options].name != NULL)
            options++;
        T_OK(args <= CLI_ARGS && options <= CLI_OPTIONS);
        buf_init(&b, 1 << 16);
        help_command(&b, cmd);
        text = text_of(&b);
        T_OK(strstr(text, cmd->name) != NULL && strstr(text, "example:\n  ") != NULL);
        T_OK(strstr(cmd->example, cmd->name) != NULL);
        T_OK(cmd->run != NULL);
        buf_done(&b);
    }
}

static void help_and_completion_name_every_command(void)
{
    struct buf help, completion;
    const char *text, *words;

    buf_init(&help, 1 << 16);
    buf_init(&completion, 1 << 16);
    help_all(&help);
    help_completion_bash(&completion);
    text = text_of(&help);
    words = text_of(&completion);
    for (size_t i = 0; i < command_n; i++) {
        const char *space = strchr(commands[i]->name, ' ');

        T_OK(strstr(text, commands[i]->name) != NULL);
        T_OK(strstr(words, space == NULL ? commands[i]->name : space + 1) != NULL);
    }
    T_OK(strstr(words, "        user) words=\"add list show ") != NULL);
    T_OK(strstr(words, "\"server psql\"") != NULL);
    T_OK(strstr(words, "user list -q -o name") != NULL);
    T_OK(strstr(words, "        volume) words=\"list show ") != NULL);
    T_OK(strstr(words, "volume list -q -o name") != NULL);
    buf_done(&help);
    buf_done(&completion);
}

static void the_last_argument_of_some_may_be_many(void)
{
    const char *argv[300] = {"volume", "delete"};

    T_EQ(PARSE("volume", "delete", "a", "--yes", "b", "--", "--c"), 0);
    T_STR(cli_value(&c, "volume"), "a");
    T_EQ(c.more_n, 2);
    T_STR(c.more[0], "b");
    T_STR(c.more[1], "--c");
    T_EQ(PARSE("backup", "create", "--all"), 0);
    T_EQ(c.more_n, 0);
    for (int i = 2; i < 300; i++)
        argv[i] = "v";
    T_EQ(cli_parse(&c, 2 + 1 + CLI_MORE, argv, &e), 0);
    T_EQ(c.more_n, CLI_MORE);
    T_EQ(cli_parse(&c, 2 + 1 + CLI_MORE + 1, argv, &e), -1);
    T_STR(e.msg, "\"v\" is one argument too many");
}

static void what_a_new_command_misses_is_named(void)
{
    static const struct {
        const char *words[4], *message;
    } all[] = {{{"server", "reset"}, "SERVER is missing"},
               {{"server", "remove"}, "SERVER is missing"},
               {{"volume", "show"}, "VOLUME is missing"},
               {{"volume", "resize", "v"}, "SIZE is missing"},
               {{"volume", "move"}, "VOLUME is missing"},
               {{"volume", "snapshot"}, "VOLUME is missing"},
               {{"volume", "restore", "v"}, "SNAPSHOT is missing"},
               {{"snapshot", "create"}, "SERVER is missing"},
               {{"snapshot", "restore", "alice"}, "SNAPSHOT is missing"},
               {{"snapshot", "delete", "alice"}, "SNAPSHOT is missing"},
               {{"backup", "restore"}, "BACKUP is missing"},
               {{"volume", "move", "v", "--to"}, "option --to needs CLASS after it"},
               {{"volume", "list", "x"}, "\"x\" is one argument too many"}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        size_t n = 0;

        while (n < 4 && all[i].words[n] != NULL)
            n++;
        T_EQ(t_parse(all[i].words, n), -1);
        T_STR(e.msg, all[i].message);
    }
}

static void a_group_has_help_of_its_own(void)
{
    struct buf b;
    const char *text;

    T_EQ(PARSE("volume", "--help"), 0);
    T_OK(c.help && c.cmd == NULL);
    T_STR(c.group, "volume");
    T_EQ(PARSE("status", "-h"), 0);
    T_OK(c.help && c.group == NULL);
    T_EQ(PARSE("volum", "--help"), -1);
    T_OK(cli_is_group("server") && !cli_is_group("serve") && !cli_is_group("status"));
    buf_init(&b, 1 << 16);
    help_group(&b, "volume");
    text = text_of(&b);
    T_OK(str_starts(text, "usage: dorm volume COMMAND"));
    T_OK(strstr(text, "  volume delete [VOLUME ...]  ") != NULL);
    T_OK(strstr(text, "  volume resize VOLUME SIZE  ") != NULL);
    T_OK(strstr(text, "snapshot create") == NULL && strstr(text, "server") == NULL);
    buf_done(&b);
}

static void the_commands_of_a_group_stand_together(void)
{
    for (size_t i = 1; i < command_n; i++)
        for (size_t k = i + 1; k < command_n; k++) {
            size_t n = strcspn(commands[k]->name, " ") + 1;

            /* completion writes one case per group, and relies on it */
            if (strncmp(commands[i - 1]->name, commands[k]->name, n) == 0)
                T_EQ(strncmp(commands[i]->name, commands[k]->name, n), 0);
        }
}

int main(void)
{
    T_RUN(a_command_of_two_words_with_its_arguments);
    T_RUN(options_may_stand_anywhere);
    T_RUN(nothing_after_two_dashes_is_an_option);
    T_RUN(what_follows_the_server_goes_to_psql_untouched);
    T_RUN(a_misspelt_command_is_answered_with_the_nearest);
    T_RUN(a_group_alone_names_its_commands);
    T_RUN(a_misspelt_option_is_answered_with_the_nearest);
    T_RUN(what_is_missing_or_too_much_is_named);
    T_RUN(help_is_given_before_anything_is_missed);
    T_RUN(every_command_has_help_with_an_example);
    T_RUN(help_and_completion_name_every_command);
    T_RUN(the_last_argument_of_some_may_be_many);
    T_RUN(what_a_new_command_misses_is_named);
    T_RUN(a_group_has_help_of_its_own);
    T_RUN(the_commands_of_a_group_stand_together);
    return t_end();
}
