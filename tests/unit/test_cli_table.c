/* Rows as a table, as JSON and as names; none of it steers a terminal. */
#include "cli/table.h"
#include "t.h"

static char *printed;
static size_t printed_n;
static struct table t;

static void begin(enum cli_output form)
{
    FILE *out = open_memstream(&printed, &printed_n);

    if (out == NULL)
        abort();
    table_init(&t, out, form);
}

static void ends_as(const char *want)
{
    table_end(&t);
    (void)fclose(t.out);
    T_STR(printed, want);
    table_done(&t);
    free(printed);
}

#define COLUMNS(...)                                      \
    table_columns(&t, (const char *const[]){__VA_ARGS__}, \
                  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))
#define ROW(...)                                      \
    table_row(&t, (const char *const[]){__VA_ARGS__}, \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void columns_are_aligned_by_characters(void)
{
    begin(CLI_TABLE);
    COLUMNS("login", "state", "disk");
    ROW("alice", "asleep", "1Gi");
    ROW("j\xc3\xbcrgen-long", "", "512Mi");
    ends_as("LOGIN        STATE   DISK\n"
            "alice        asleep  1Gi\n"
            "j\xc3\xbcrgen-long          512Mi\n");
}

static void a_table_without_rows_is_its_header(void)
{
    begin(CLI_TABLE);
    COLUMNS("a", "b");
    ends_as("A  B\n");
}

static void a_short_row_is_filled_and_a_long_one_cut(void)
{
    begin(CLI_TABLE);
    COLUMNS("a", "b");
    ROW("1");
    ROW("1", "2", "3");
    ends_as("A  B\n1  \n1  2\n");
}

static void a_row_without_columns_is_dropped(void)
{
    begin(CLI_TABLE);
    ROW("1");
    ends_as("");
}

static void nothing_foreign_reaches_the_terminal(void)
{
    begin(CLI_TABLE);
    COLUMNS("a\x1b[m", "b");
    ROW("\x1b[2J\n", "\xe2\x80\xae");
    table_say(&t, "\x9b ok C:\\x");
    ends_as("A\\X1B[M      B\n"
            "\\x1b[2J\\x0a  \\xe2\\x80\\xae\n"
            "\\x9b ok C:\\\\x\n");
    begin(CLI_NAME);
    COLUMNS("a");
    ROW("\x1b[2J");
    ends_as("\\x1b[2J\n");
    begin(CLI_TABLE);
    table_say(&t, "a backslash alone, \\d, is left alone");
    ends_as("a backslash alone, \\d, is left alone\n");
}

static void lines_and_rows_keep_their_order(void)
{
    begin(CLI_TABLE);
    table_say(&t, "before");
    COLUMNS("a");
    ROW("1");
    table_say(&t, "between");
    ROW("2");
    ends_as("before\nA\n1\nbetween\n2\n");
}

static void rows_are_an_array_of_objects(void)
{
    begin(CLI_JSON);
    COLUMNS("login", "state");
    ROW("ali\"ce", "\x1b");
    ROW("bob");
    ends_as(
        "[{\"login\": \"ali\\\"ce\", \"state\": \"\\u001b\"},\n {\"login\": \"bob\", \"state\": "
        "\"\"}]\n");
    begin(CLI_JSON);
    COLUMNS("a");
    ends_as("[]\n");
}

static void lines_alone_are_an_array_of_texts(void)
{
    begin(CLI_JSON);
    table_say(&t, "one");
    table_say(&t, "two");
    ends_as("[\"one\",\n \"two\"]\n");
    begin(CLI_JSON);
    ends_as("[]\n");
}

static void names_are_the_first_column(void)
{
    begin(CLI_NAME);
    COLUMNS("login", "state");
    ROW("alice", "asleep");
    ROW("bob", "awake");
    ends_as("alice\nbob\n");
}

static void a_list_without_end_is_printed_in_blocks(void)
{
    begin(CLI_TABLE);
    COLUMNS("a", "b", "c");
    for (int i = 0; i < 40000; i++) {
        ROW("x", "y", "z");
        T_OK(t.cells_n <= 50000);
    }
    table_end(&t);
    (void)fclose(t.out);
    T_EQ(printed_n, 40001 * strlen("x  y  z\n"));
    table_done(&t);
    free(printed);
}

int main(void)
{
    T_RUN(columns_are_aligned_by_characters);
    T_RUN(a_table_without_rows_is_its_header);
    T_RUN(a_short_row_is_filled_and_a_long_one_cut);
    T_RUN(a_row_without_columns_is_dropped);
    T_RUN(nothing_foreign_reaches_the_terminal);
    T_RUN(lines_and_rows_keep_their_order);
    T_RUN(rows_are_an_array_of_objects);
    T_RUN(lines_alone_are_an_array_of_texts);
    T_RUN(names_are_the_first_column);
    T_RUN(a_list_without_end_is_printed_in_blocks);
    return t_end();
}
