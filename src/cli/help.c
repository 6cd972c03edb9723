#include "help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/cli.h"

/* The table is ours and the buffer is made for it: that it fits is an invariant. */
#define put(...)                      \
    do {                              \
        if (!buf_printf(__VA_ARGS__)) \
            abort();                  \
    } while (0)

static void put_usage(struct buf *b, const struct cmd *cmd)
{
    put(b, "%s", cmd->name);
    for (const struct cmd_arg *a = cmd->args; a != NULL && a->name != NULL; a++) {
        const char *more = cmd->many && a[1].name == NULL ? " ..." : "";

        put(b, a->optional ? " [%s%s]" : " %s%s", a->name, more);
    }
    if (cmd->rest != NULL)
        put(b, " [%s ...]", cmd->rest);
}

static void put_options(struct buf *b, const struct cmd_option *options)
{
    for (const struct cmd_option *o = options; o != NULL && o->name != NULL; o++) {
        char left[40];

        (void)snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value == NULL ? "" : " ",
                       o->value == NULL ? "" : o->value);
        put(b, "  %c%c%c %-20s  %s\n", o->letter == 0 ? ' ' : '-', o->letter == 0 ? ' ' : o->letter,
            o->letter == 0 ? ' ' : ',', left, o->help);
    }
}

static void put_line(struct buf *b, const struct cmd *cmd)
{
    struct buf usage;

    buf_init(&usage, 1000);
    put_usage(&usage, cmd);
    put(b, "  %-33.*s  %s\n", (int)buf_len(&usage), (const char *)buf_data(&usage), cmd->summary);
    buf_done(&usage);
}

/* "user" of "user add"; commands of one word are one group. */
static size_t group_len(const char *name)
{
    const char *space = strchr(name, ' ');

    return space == NULL ? 0 : (size_t)(space - name);
}

static bool same_group(const char *a, const char *b)
{
    return group_len(a) == group_len(b) && strncmp(a, b, group_len(a)) == 0;
}

void help_group(struct buf *b, const char *group)
{
    put(b, "usage: dorm %s COMMAND [ARGUMENTS] [OPTIONS]\n\n", group);
    for (size_t i = 0; i < command_n; i++)
        if (group_len(commands[i]->name) == strlen(group) &&
            strncmp(commands[i]->name, group, strlen(group)) == 0)
            put_line(b, commands[i]);
    put(b, "\nMore about one, with an example: dorm %s COMMAND --help\n", group);
}

void help_all(struct buf *b)
{
    put(b, "Dormouse: a PostgreSQL server for every user, asleep until they connect.\n\n"
           "usage: dorm COMMAND [ARGUMENTS] [OPTIONS]\n\n");
    for (size_t i = 0; i < command_n; i++) {
        if (i > 0 && !same_group(commands[i - 1]->name, commands[i]->name))
            put(b, "\n");
        put_line(b, commands[i]);
    }
    put(b, "\noptions of every command:\n");
    put_options(b, global_options);
    put(b, "\nMore about one, with an example: dorm COMMAND --help\n");
}

void help_command(struct buf *b, const struct cmd *cmd)
{
    put(b, "usage: dorm ");
    put_usage(b, cmd);
    put(b, "%s\n\n%s.\n", cmd->options == NULL ? "" : " [OPTIONS]", cmd->summary);
    if (cmd->help != NULL)
        put(b, "%s\n", cmd->help);
    if (cmd->options != NULL) {
        put(b, "\noptions:\n");
        put_options(b, cmd->options);
    }
    put(b, "\noptions of every command:\n");
    put_options(b, global_options);
    put(b, "\nexample:\n");
    for (const char *line = cmd->example; *line != '\0';) {
        int n = (int)strcspn(line, "\n");

        put(b, "  %.*s\n", n, line);
        line += n + (line[n] == '\n');
    }
}

static void put_option_words(struct buf *b, const struct cmd_option *options)
{
    for (const struct cmd_option *o = options; o != NULL && o->name != NULL; o++)
        put(b, " --%s", o->name);
}

/* The first words, each once: the table has the commands of a group next to each other. */
static void put_first_words(struct buf *b)
{
    const char *last = "";

    for (size_t i = 0; i < command_n; i++) {
        size_t n = strcspn(commands[i]->name, " ");

        if (strncmp(last, commands[i]->name, n) != 0 || strcspn(last, " ") != n)
            put(b, " %.*s", (int)n, commands[i]->name);
        last = commands[i]->name;
    }
}

static void put_second_words(struct buf *b)
{
    for (size_t i = 0; i < command_n; i++) {
        const char *name = commands[i]->name;
        size_t n = strcspn(name, " ");

        if (name[n] == '\0')
            continue;
        if (i == 0 || strncmp(name, commands[i - 1]->name, n + 1) != 0)
            put(b, "        %.*s) words=\"", (int)n, name);
        put(b, "%s ", name + n + 1);
        if (i + 1 == command_n || strncmp(name, commands[i + 1]->name, n + 1) != 0)
            put(b, "\" ;;\n");
    }
}

/* Commands whose first argument is of this kind are offered what the list command names. */
static void put_names_of(struct buf *b, const char *kind, const char *list)
{
    const char *between = "        ";

    for (size_t i = 0; i < command_n; i++)
        if (commands[i]->args != NULL && str_is(commands[i]->args[0].name, kind)) {
            put(b, "%s\"%s\"", between, commands[i]->name);
            between = "|";
        }
    put(b, ") words=$(dorm %s -q -o name 2>/dev/null) ;;\n", list);
}

void help_completion_bash(struct buf *b)
{
    put(b, "# Completion of dorm for bash: source <(dorm completion bash)\n"
           "_dorm() {\n"
           "    local now=${COMP_WORDS[COMP_CWORD]} words=\"\"\n"
           "    local one=${COMP_WORDS[1]} two=${COMP_WORDS[1]}\\ ${COMP_WORDS[2]}\n"
           "    if [[ $COMP_CWORD -eq 1 ]]; then\n"
           "        words=\"");
    put_first_words(b);
    put(b, "\"\n"
           "    elif [[ $now == -* ]]; then\n"
           "        words=\"");
    put_option_words(b, global_options);
    put(b, "\"\n"
           "        case $two in\n");
    for (size_t i = 0; i < command_n; i++)
        if (commands[i]->options != NULL) {
            put(b, "        \"%s\"%s) words+=\"", commands[i]->name,
                strchr(commands[i]->name, ' ') == NULL ? "*" : "");
            put_option_words(b, commands[i]->options);
            put(b, "\" ;;\n");
        }
    put(b, "        esac\n"
           "    elif [[ $COMP_CWORD -eq 2 ]]; then\n"
           "        case $one in\n");
    put_second_words(b);
    put(b, "        esac\n"
           "    else\n"
           "        case $two in\n");
    put_names_of(b, "LOGIN", "user list");
    put_names_of(b, "SERVER", "server list");
    put_names_of(b, "VOLUME", "volume list");
    put_names_of(b, "BACKUP", "backup list");
    put(b, "        esac\n"
           "    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$now\"))\n"
           "}\n"
           "complete -F _dorm dorm\n");
}
